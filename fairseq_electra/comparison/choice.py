"""What the learning rate of an objective is chosen by."""

import math
from typing import Any

from fairseq_electra.errors import InputError


def deciding_figure(result: dict[str, Any]) -> tuple[str, float]:
    """Return name and value of what a learning rate is chosen by; it says nothing across objectives.

    It is how well the network that is fine-tuned does what it is trained for, on held-out text that is the
    same for all rates: ``fairseq-electra corrupt`` made it, or without it replacements are drawn by
    frequency. With its own generator's replacements it would look better when that generator is worse.

    Raises:
        InputError: the run has no such figure.
    """
    names = names_of(result)
    for name in names:
        if name in result["valid"]:
            return name, result["valid"][name]
    raise InputError(f"cell {result['cell']} has no {names[0]}: remove its file, and make it again")


def names_of(result: dict[str, Any]) -> tuple[str, ...]:
    """Return the names that the deciding figure may have, the best one first."""
    if not result["has_discriminator"]:
        return ("masked_lm_loss",)
    if "main_lm_loss" in result["valid"]:  # it predicts the original tokens
        return "fixed_generator_lm_loss", "fixed_lm_loss", "main_lm_loss"  # the last: runs of before
    # no generator, and no noise model either: its replacements are random
    if not {"masked_lm_loss", "noise_loss"} & set(result["valid"]):
        return ("fixed_auc",)
    return "fixed_generator_auc", "fixed_auc"


def quality(result: dict[str, Any]) -> float:
    """Return the deciding figure so that higher is better: a loss with its sign changed.

    A run that diverged is worse than any other.
    """
    if "trouble" in result:
        return -math.inf
    name, value = deciding_figure(result)
    if not math.isfinite(value):
        return -math.inf
    return -value if name.endswith("loss") else value
