"""Read what ``fairseq-train --log-format json`` printed."""

import json
from pathlib import Path

from fairseq_electra.data.text import read_lines


def read_log(path: str | Path) -> list[dict]:
    """Return the log's records, with ``subset`` (train_inner, valid, ...) and metrics as numbers under their plain names."""
    records = []
    for line in read_lines(path):
        subset, _, body = line.partition("| INFO | ")[2].partition(" | ")
        # a run that was killed may leave its last line unfinished
        if not body.startswith('{"epoch"') or not body.endswith("}") or subset == "train":
            continue
        values = {name.removeprefix(f"{subset}_"): value for name, value in json.loads(body).items()}
        records.append({"subset": subset, **{name: float(value) for name, value in values.items() if value not in (None, "None")}})
    return records
