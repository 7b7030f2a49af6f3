"""Options of models, criteria and the task that an objective does not use."""

from collections.abc import Mapping
from typing import Any

from fairseq.dataclass import FairseqDataclass

from fairseq_electra.electra.objectives import OBJECTIVES, Objective
from fairseq_electra.errors import InputError

GENERATOR_SIZES = (
    "generator_hidden_size",
    "generator_layers",
    "generator_num_attention_heads",
    "generator_intermediate_size",
)
SAMPLING = ("temperature", "temperature_schedule", "disallow_correct")


def unread_options(objective: Objective) -> set[str]:
    """Return the names of the options that change nothing with an objective.

    Those of a frozen generator are not among them: they are compared with its checkpoint.
    """
    unread: set[str] = set()
    if not (objective.has_generator and objective.has_discriminator):
        unread.update(("tie_embeddings", *SAMPLING))
    elif not objective.trains_generator:
        unread.add("tie_embeddings")
    if not objective.has_generator:  # nothing reads the masked text
        unread.update(("untie_lm_head", "leave_unmasked_prob", "random_token_prob"))
    if not (objective.has_generator or objective.has_noise_model):
        unread.update(GENERATOR_SIZES)
        if not objective.predicts_originals:  # nothing predicts tokens
            unread.add("pad_vocab_to")
    if not objective.has_discriminator or objective.has_noise_model:
        unread.add("duplicate_samples")
    if not objective.has_discriminator:
        unread.add("disc_weight")
    if not objective.trains_generator:
        unread.add("z_loss")
        if not objective.has_noise_model:
            unread.add("gen_weight")
    return unread


def refuse_unread_options(
    objective: Objective, given: Mapping[str, Any], config_class: type[FairseqDataclass]
) -> None:
    """Refuse options that would change nothing.

    Args:
        objective: the objective of the run.
        given: the options as the user has given them; missing ones are not given.
        config_class: the class of the options, with their defaults.

    Raises:
        InputError: one is given; names it.
    """
    name = next(name for name, each in OBJECTIVES.items() if each is objective)
    for unread in sorted(unread_options(objective) & config_class.__dataclass_fields__.keys()):
        value, field = given.get(unread), config_class.__dataclass_fields__[unread]
        if value is None or str(value) == str(field.default):
            continue
        option = f"--{unread.replace('_', '-')}" + ("" if value is True else f" {value}")
        raise InputError(f"--objective {name} does not use {option}; leave it out")
