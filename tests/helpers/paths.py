"""Where the repository and its plugin lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
USER_DIR = ROOT / "fairseq_electra"
