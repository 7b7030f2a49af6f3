"""The JSON files in a folder of transformers."""

import json
from pathlib import Path

from fairseq_electra.errors import InputError


def read_json(path: Path) -> dict:
    """Read a JSON object; an absent file is an empty one."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({error}); copy it again") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no JSON object; copy it again")
    return values
