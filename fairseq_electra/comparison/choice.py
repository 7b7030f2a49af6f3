"""What the learning rate of an objective is chosen by."""

import math
from typing import Any

from fairseq_electra.errors import InputError


def deciding_figure(result: dict[str, Any]) -> tuple[str, float]:
    """Return name and value of what a learning rate is chosen by; it says nothing across objectives.

    Where there is a discriminator, that is how well it finds the replacements of one generator in the
    held-out text, which ``fairseq-electra corrupt`` made, or without these random replacements; its own loss
    falls when its generator gets worse. Else it is the loss of the masked language model.

    Raises:
        InputError: the run has no such figure.
    """
    valid = result["valid"]
    names = ("fixed_generator_auc", "fixed_auc") if result["has_discriminator"] else ("masked_lm_loss",)
    for name in names:
        if name in valid:
            return name, valid[name]
    raise InputError(f"cell {result['cell']} has no {names[0]}: remove its file, and make it again")


def quality(result: dict[str, Any]) -> float:
    """Return the deciding figure so that higher is better: a loss with its sign changed.

    A run that diverged is worse than any other.
    """
    value = math.nan if "trouble" in result else deciding_figure(result)[1]
    if not math.isfinite(value):
        return -math.inf
    return value if result["has_discriminator"] else -value
