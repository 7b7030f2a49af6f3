"""How the paper fine-tunes, as arguments of ``fairseq-train``.

Different from the original's code: the loss is a mean over the batch, not a sum, before the gradient is
clipped (``--as google`` changes this and more), and numbers such as STS-B's are learned as they are, not
divided by the largest (run_finetuning.py, classification_tasks.py::RegressionTask).
"""

import re
from dataclasses import dataclass

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.finetuning.sentences import PREDICTION


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters for a size and a task.

    Source: Clark et al. 2020, table 7, also if google-research/electra's code differs from it.
    """

    lr: float
    layer_decay: float = 0.8
    epochs: int = 3
    batch_size: int = 32
    warmup: float = 0.1


GRID = {size: row.finetuning.rates for size, row in MODEL_SIZES.items()}  # learning rates to choose from
EPOCHS = {"RTE": 10, "STS-B": 10}  # of these tasks; of all others the kind says how many


def recipe_for(size: str, task: str, kind: str = PREDICTION) -> Recipe:
    """Look up the recipe for a size of the table and a task, GLUE's or another, of a kind."""
    row = MODEL_SIZES[size].finetuning
    return Recipe(row.lr, row.layer_decay, epochs=EPOCHS.get(task, KINDS[kind].epochs))


def arguments(info: TaskInfo, recipe: Recipe, seed: int) -> list[str]:
    """Write a run as arguments of ``fairseq-train``, but for the folders and where the model comes from.

    Args:
        info: what the task is.
        recipe: how to train.
        seed: of the head, of dropout and of the order of examples.
    """
    updates = recipe.epochs * -(-(info.rows or info.examples)["train"] // recipe.batch_size)
    kind = KINDS[info.kind]
    task = ["--task", kind.name, "--criterion", kind.name, *kind.task_options(info)]
    return [
        *task,
        *("--arch", "electra_encoder", *kind.row_options(info)),
        *("--optimizer", "electra_adam", "--lr", f"{recipe.lr:g}"),
        *("--layer-decay", f"{recipe.layer_decay:g}"),
        *("--weight-decay", "0.0", "--clip-norm", "1.0", "--bias-correction", "off"),
        *("--batch-size", str(recipe.batch_size), "--required-batch-size-multiple", "1"),
        *("--max-epoch", str(recipe.epochs)),
        *("--lr-scheduler", "polynomial_decay", "--warmup-updates", str(round(recipe.warmup * updates))),
        *("--total-num-update", str(updates), "--no-epoch-checkpoints", "--seed", str(seed)),
        *("--valid-subset", ",".join(split for split in info.examples if split.startswith("valid"))),
    ]


def head_arguments(info: TaskInfo) -> list[str]:
    """Name the head after the task, so that it is not that of the checkpoint."""
    return [KINDS[info.kind].head_option, re.sub(r"\W", "_", info.name) + "_head"]
