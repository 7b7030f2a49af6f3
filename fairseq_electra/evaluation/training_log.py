"""Read what ``fairseq-train --log-format json``, or fairseq-hydra-train, printed."""

import json
import re
from pathlib import Path

from fairseq_electra.data.text import read_lines

# fairseq-train and fairseq-validate: "time | INFO | valid | {...}"; hydra: "[time][valid][INFO] - {...}"
RECORD = re.compile(r"(?:\| INFO \| (\S+) \| |\[([^]\s]+)\]\[INFO\] - )(\{\".*\})$")

PER_CENT = ("_accuracy", "_precision", "_recall")  # ends the names of metrics in per cent, of pre-training as of all tasks
KNOWS_UNITS = "disc_accuracy"  # above 1 % in any run, as most tokens are original


def read_log(path: str | Path) -> list[dict]:
    """Return the log's records, with ``subset`` (train_inner, valid, ...) and metrics as numbers under their plain names.

    Logs of earlier releases had shares where today's have per cent: they are converted.
    """
    # a last line that a killed run left unfinished is no record
    records = [record for record in map(read_record, read_lines(path)) if record is not None]
    known = [record[KNOWS_UNITS] for record in records if KNOWS_UNITS in record]
    if known and max(known) <= 1:
        for record in records:
            record |= {name: 100 * value for name, value in record.items() if name.endswith(PER_CENT)}
    return records


def read_record(line: str) -> dict | None:
    """Read one line of a log; returns None where it is no record, or the summary of an epoch."""
    found = RECORD.search(line)
    subset = found and (found[1] or found[2])
    if not found or subset == "train":
        return None
    values = {name.removeprefix(f"{subset}_"): value for name, value in json.loads(found[3]).items()}
    # fairseq's criterion for sentences logs all its predictions as lists
    numbers = {name: float(value) for name, value in values.items() if not isinstance(value, list) and value not in (None, "None")}
    return {"subset": subset, **numbers}
