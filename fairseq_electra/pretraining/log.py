"""Read the logs of ``fairseq-train --log-format json`` and fairseq-hydra-train."""

import json
import math
import re
from pathlib import Path

from fairseq_electra.files.text import read_lines

# fairseq-train and fairseq-validate: "time | INFO | valid | {...}"; hydra: "[time][valid][INFO] - {...}" the
# last one of a line: behind a record that a killed run has cut short, the next run's may stand in the same
# line
RECORD = re.compile(r".*(?:\| INFO \| (\S+) \| |\[([^]\s]+)\]\[INFO\] - )(\{\".*\})$")

# endings of the names of metrics in per cent, in all tasks
PER_CENT = ("_accuracy", "_precision", "_recall")
KNOWS_UNITS = "disc_accuracy"  # above 1 % in any run, as most tokens are original


def read_log(path: str | Path) -> list[dict]:
    """Return the records of a log: ``subset`` (train_inner, valid, ...), and the metrics as numbers by name.

    Earlier releases logged shares, not per cent: such records of pre-training are converted one by one, since
    a newer release may have resumed the run. Records of ``--generator-only`` do not show their unit, and stay
    as they are.
    """
    # an incomplete record of a killed run is not one
    return [_in_per_cent(record) for record in map(read_record, read_lines(path)) if record is not None]


def _in_per_cent(record: dict) -> dict:
    unit = 100 if record.get(KNOWS_UNITS, math.inf) <= 1 else 1
    return {name: unit * value if name.endswith(PER_CENT) else value for name, value in record.items()}


def read_record(line: str) -> dict | None:
    """Read one line of a log; None if it is not a record, is a damaged one, or sums up an epoch."""
    match = RECORD.match(line)
    subset = match and (match[1] or match[2])
    if not match or subset == "train":
        return None
    try:
        logged = json.loads(match[3])
    except ValueError:
        return None
    values = {name.removeprefix(f"{subset}_"): value for name, value in logged.items()}
    # fairseq's criterion for sentences logs all its predictions as lists
    numbers = {
        name: float(value)
        for name, value in values.items()
        if not isinstance(value, list) and value not in (None, "None")
    }
    return {"subset": subset, **numbers}
