"""The figures of a model on held-out text, before and after it was adapted."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairseq_electra.pretraining.log import read_record
from fairseq_electra.speedrun.machine import Machine
from fairseq_electra.speedrun.one_run import follow

FIGURES = ("disc_auc", "fixed_auc", "masked_lm_accuracy", "masked_lm_loss")
# A graph of a training on a GPU would have to be compiled again for the validation. The held-out text is no
# folder of languages, whatever the earlier training read. Rows are those of documents, one in each: masks are
# drawn by row, so models that were trained on other rows are still scored on the same tokens
MODEL_OVERRIDES = {
    **{"compile": False, "cuda_graphs": False, "languages": None, "sampling_alpha": None},
    **{"pack": False, "across_documents": False},
}

TITLES = {"valid": "domain"}  # of held-out texts whose names say less

Figures = dict[str, dict[str, float]]  # by the names of the held-out text and of the figure


def figures_in(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield name and value of each figure that a validation has; in little text one may be no number."""
    return ((name, record[name]) for name in FIGURES if math.isfinite(record.get(name, math.nan)))


def shown(record: Mapping[str, Any]) -> str:
    """Return the figures of a validation in one line."""
    return "   ".join(f"{name} {value:.3f}" for name, value in figures_in(record))


def validate(
    checkpoint: Path, data: Path, splits: Sequence[str], rows: int, tokens: int, machine: Machine, log: Path
) -> Figures:
    """Validate a checkpoint with ``fairseq-validate``.

    Args:
        checkpoint: the checkpoint.
        data: folder of binarized text with the checkpoint's vocabulary.
        splits: names of the held-out texts in it.
        rows: rows of a batch.
        tokens: length of a row in tokens.
        machine: the machine to run on.
        log: file to append the output to.

    Raises:
        InputError: ``fairseq-validate`` failed.
    """
    arguments = [
        *(str(data), "--path", str(checkpoint), "--task", "electra_pretraining"),
        *("--valid-subset", ",".join(splits), "--batch-size", str(rows), "--tokens-per-sample", str(tokens)),
        *("--model-overrides", repr(MODEL_OVERRIDES), "--log-format", "json", "--num-workers", "0"),
        *(["--autocast", "bf16"] if machine.bf16 else []),
        *(["--cpu"] if machine.kind == "cpu" else ["--distributed-world-size", "1"]),
    ]
    records = [read_record(line) for _, line in follow(arguments, log, "fairseq-validate")]
    of_splits = {record["subset"]: record for record in records if record is not None}  # and of progress
    return {split: dict(figures_in(of_splits[split])) for split in splits}


def table(figures: Mapping[str, Figures]) -> str:
    """Return a table in Markdown: a line for each figure of each text, a column for each model.

    Args:
        figures: of each model, by its title.
    """
    lines = [f"| held-out text | | {' | '.join(figures)} |", "|---|---" + "|---" * len(figures) + "|"]
    known = dict.fromkeys(
        (split, name) for each in figures.values() for split in each for name in each[split]
    )
    for split, name in known:
        values = (f"{each[split][name]:.3f}" if name in each[split] else "none" for each in figures.values())
        lines.append(f"| {TITLES.get(split, split)} | `{name}` | {' | '.join(values)} |")
    return "\n".join(lines)
