"""Writes what a speedrun produces: an export for transformers, a model card, results.json and a README.md."""

import json
import shutil
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning.results import RESULTS_FILE
from fairseq_electra.pretraining.log import read_log
from fairseq_electra.speedrun.table import markdown

EXPORTED, CARD, README = "transformers", "model_card.md", "README.md"


def export(folder: Path, results: dict[str, Any]) -> list[str]:
    """Write the export, if transformers has a class for the model, and the model card.

    Args:
        folder: The folder of the speedrun.
        results: The content of ``results.json``; its tables go into the model card.

    Returns:
        Lines that report what was written, or why there is no export.
    """
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.interchange import require_transformers
    from fairseq_electra.interchange.export_transformers import export_transformers
    from fairseq_electra.interchange.model_card import model_card

    pretrained = load_checkpoint(folder / "checkpoints" / "checkpoint_last.pt")
    records, more = read_log(folder / "pretraining.log"), f"## Results\n\n{markdown(results)}\n"
    try:
        require_transformers()
        shutil.rmtree(folder / EXPORTED, ignore_errors=True)
        lines = export_transformers(pretrained, folder / EXPORTED, records, more)
        card = (folder / EXPORTED / README).read_text(encoding="utf-8")
    except InputError as error:
        lines = [f"no export for transformers: {error}"]
        card = model_card(pretrained, [], records, more)
    with atomic_write(folder / CARD) as stream:
        stream.write(card)
    return lines


def write(folder: Path, results: dict[str, Any], exported: list[str]) -> None:
    """Write results.json and README.md."""
    with atomic_write(folder / RESULTS_FILE) as stream:
        stream.write(json.dumps(results, indent=2) + "\n")
    with atomic_write(folder / README) as stream:
        stream.write(f"# Speedrun\n\n{markdown(results)}\n\n" + "".join(f"- {line}\n" for line in exported))
