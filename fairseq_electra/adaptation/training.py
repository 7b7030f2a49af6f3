"""The command line of ``fairseq-train`` that goes on with a model's pre-training, and its progress."""

import contextlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq_electra.adaptation.figures import shown
from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetectionConfig
from fairseq_electra.electra.configuration import objective_of, temperature_schedule
from fairseq_electra.electra.mask_rate import DRAWN, MaskRate
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.models.electra import ElectraConfig
from fairseq_electra.pretraining.log import read_record
from fairseq_electra.pretraining.recipes import MASK_PROB
from fairseq_electra.pretraining.unread_options import unread_options
from fairseq_electra.speedrun.machine import Machine
from fairseq_electra.speedrun.one_run import follow
from fairseq_electra.speedrun.pretraining import NEVER
from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig

# options of the earlier training that the further one keeps, by fairseq's groups. --arch electra takes sizes,
# traits and objective from the checkpoint by itself; schedules have ended
KEPT: dict[str, tuple[Any, tuple[str, ...]]] = {
    "task": (
        ElectraPretrainingConfig,
        (
            *("rows", "across_documents", "pack", "leave_unmasked_prob", "random_token_prob"),
            *("mask_whole_words", "mask_spans", "masker"),
        ),
    ),
    "criterion": (ReplacedTokenDetectionConfig, ("gen_weight", "disc_weight", "z_loss")),
    "model": (ElectraConfig, ("disallow_correct", "duplicate_samples")),
}
SAVES, LOG_RECORDS = 10, 100  # checkpoints with validations, and records in the log, of a training


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train.

    Args:
        updates: number of updates.
        rows: rows of a batch.
        tokens: length of a row in tokens.
        lr: peak of the learning rate, which rises over a tenth of the updates and then falls to 0.
    """

    updates: int
    rows: int
    tokens: int
    lr: float


def kept_options(cfg: Mapping[str, Any]) -> list[str]:
    """Return the options of an earlier training that are to stay as they were.

    Args:
        cfg: its options by group, as fairseq saves them.
    """
    task, model = cfg["task"], cfg["model"]
    options: list[str] = []
    unread = unread_options(OBJECTIVES[objective_of(model)])  # an older run may have had them
    for group, (config_class, names) in KEPT.items():
        for name in [name for name in names if name not in unread]:
            value, default = cfg[group].get(name), config_class.__dataclass_fields__[name].default
            if value is not None and value != default:
                options += [_flag(name), *([] if value is True else [str(value)])]
    rate = MaskRate.parse(task["mask_prob"], task.get("mask_prob_schedule"))
    if rate.is_drawn:
        options += ["--mask-prob-schedule", DRAWN]
    elif rate.validated != MASK_PROB:
        options += ["--mask-prob", f"{rate.validated:g}"]
    schedule = temperature_schedule(model)
    temperature = model.get("temperature", 1.0) if schedule is None else schedule.last
    if temperature != 1 and "temperature" not in unread:
        options += ["--temperature", f"{temperature:g}"]
    return options


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def training_arguments(
    data: Path,
    start: Path,
    save_dir: Path,
    splits: list[str],
    recipe: Recipe,
    cfg: Mapping[str, Any],
    machine: Machine,
) -> list[str]:
    """Return the arguments of ``fairseq-train`` without ``--user-dir``.

    Args:
        data: folder of binarized text.
        start: checkpoint to start from.
        save_dir: folder for the checkpoints.
        splits: names of the held-out texts.
        recipe: length and rate of the training.
        cfg: options of the earlier training, as of :func:`kept_options`.
        machine: the machine to train on.
    """
    every, updates = -(-recipe.updates // SAVES), recipe.updates
    options = shlex.split(f"""
        --task electra_pretraining --arch electra --criterion replaced_token_detection
        --tokens-per-sample {recipe.tokens} --batch-size {recipe.rows}
        --optimizer electra_adam --lr {recipe.lr:g} --clip-norm 1.0
        --lr-scheduler polynomial_decay --warmup-updates {updates // 10}
        --total-num-update {updates} --max-update {updates}
        --valid-subset {",".join(splits)} --validate-interval-updates {every} --validate-interval {NEVER}
        --save-interval-updates {every} --save-interval {NEVER} --keep-interval-updates 1
        --no-epoch-checkpoints --log-format json --log-interval {-(-updates // LOG_RECORDS)}
    """)
    frozen = objective_of(cfg["model"]) == "frozen_generator"
    return [
        *(str(data), "--save-dir", str(save_dir), "--finetune-from-model", str(start)),
        *(["--generator-from", str(start)] if frozen else []),
        *options,
        *kept_options(cfg),
        *machine.pretraining_options,
    ]


def train(arguments: list[str], log: Path, splits: list[str], say: Callable[[str], None]) -> None:
    """Run ``fairseq-train`` to its end, and print the validations.

    Args:
        arguments: of :func:`training_arguments`.
        log: file to append its lines to.
        splits: names of the held-out texts.
        say: receives lines of progress.
    """
    with contextlib.closing(follow(arguments, log)) as lines:
        for _, line in lines:
            record = read_record(line)
            if record is not None and record["subset"] in splits:
                say(f"    {record['subset']} after {record['num_updates']:,.0f} updates: {shown(record)}")
