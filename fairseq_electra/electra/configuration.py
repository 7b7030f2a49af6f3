"""From the options of command lines and checkpoints to the arguments of the core's classes."""

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import Any

from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.electra.schedules import Schedule, parse_schedule
from fairseq_electra.electra.size_table import MODEL_SIZES, named_sizes
from fairseq_electra.electra.sizes import EncoderSizes

# what a run may change when it is resumed: names, and what draws random numbers in training alone
CHANGEABLE = ("model_size", "dropout", "attention_dropout", "dropout_at", "max_position_embeddings")
SIZE_FIELDS = ("model_size", *EncoderSizes.__dataclass_fields__)
# fields of ElectraConfig or ElectraEncoderConfig; missing ones have their defaults
Options = Mapping[str, Any]


def encoder_sizes(options: Options) -> EncoderSizes:
    """Look up the sizes of the discriminator, or of the only network."""
    given = {name: options.get(name) for name in SIZE_FIELDS}
    return named_sizes(
        **{name: str(value) if isinstance(value, Enum) else value for name, value in given.items()}
    )


def objective_of(options: Options) -> str:
    """Return the objective of a model: a key of :data:`fairseq_electra.electra.objectives.OBJECTIVES`."""
    if options.get("generator_only"):  # checkpoints from before --objective
        return "mlm"
    return str(options.get("objective") or "electra")


def generator_share(options: Options) -> float:
    """Return the generator's hidden size as a share of the discriminator's.

    A model without a discriminator has the size that is named.
    """
    if options.get("generator_hidden_size") is not None:
        return options["generator_hidden_size"]
    if not OBJECTIVES[objective_of(options)].has_discriminator:
        return 1.0
    return MODEL_SIZES[str(options["model_size"])].generator_share


def generator_layers(options: Options) -> float:
    """Return the generator's number of layers as a share of the discriminator's: 1 if there is none."""
    if options.get("generator_layers") is not None:
        return options["generator_layers"]
    if not OBJECTIVES[objective_of(options)].has_discriminator:
        return 1.0
    return MODEL_SIZES[str(options["model_size"])].generator_layers


def generator_sizes(options: Options) -> EncoderSizes:
    """Look up the sizes of the generator; without a discriminator they are those of the model."""
    sizes, share = encoder_sizes(options), generator_share(options)
    heads = options.get("generator_num_attention_heads")
    intermediate_size = options.get("generator_intermediate_size")
    if share == 1 and not OBJECTIVES[objective_of(options)].has_discriminator:
        heads = sizes.num_attention_heads if heads is None else heads
        intermediate_size = sizes.intermediate_size if intermediate_size is None else intermediate_size
    return sizes.generator(
        share,
        generator_layers(options),
        heads,
        intermediate_size,
        MODEL_SIZES[str(options["model_size"])].generator_inner,
    )


def temperature_schedule(options: Options) -> Schedule | None:
    """Read the schedule of the sampling temperature; None: it is constant."""
    text = options.get("temperature_schedule")
    return parse_schedule("--temperature-schedule", text, options.get("temperature", 1.0)) if text else None


def model_arguments(options: Options, num_tokens: int, pad: int) -> dict[str, Any]:
    """Return the arguments of the class that the objective trains."""
    objective = OBJECTIVES[objective_of(options)]
    arguments = {
        "num_tokens": num_tokens,
        "pad": pad,
        "checkpoint_activations": options.get("checkpoint_activations", False),
    }
    if objective.has_noise_model:
        return {"sizes": encoder_sizes(options), "generator_sizes": generator_sizes(options), **arguments}
    averages = {"average_duplicates": str(options.get("duplicate_samples") or "first") == "mean"}
    if not objective.has_generator:
        return {"sizes": encoder_sizes(options), **arguments, **averages}
    arguments["untie_lm_head"] = options.get("untie_lm_head", False)
    if not objective.has_discriminator:
        return {"sizes": generator_sizes(options), **arguments}
    return {
        "sizes": encoder_sizes(options),
        "generator_sizes": generator_sizes(options),
        "tie_embeddings": str(options.get("tie_embeddings") or "all"),
        "temperature": options.get("temperature", 1.0),
        "disallow_correct": options.get("disallow_correct", False),
        "temperature_schedule": temperature_schedule(options),
        **arguments,
        **averages,
    }


def build(options: Options, num_tokens: int, pad: int = 1) -> Generator | Discriminator:
    """Build the model of a pre-training checkpoint, with newly drawn parameters."""
    return OBJECTIVES[objective_of(options)].model(**model_arguments(options, num_tokens, pad))


def sizes_in(options: Options) -> dict[str, Any]:
    """Return the options that decide the shapes of a model, each as a value."""
    sizes = {"model_size": str(options["model_size"]), **asdict(encoder_sizes(options))}
    if "generator_layers" not in options:  # of an encoder that was fine-tuned
        return sizes
    return {
        **sizes,
        "generator_hidden_size": generator_share(options),
        "generator_layers": generator_layers(options),
        "generator_num_attention_heads": options["generator_num_attention_heads"],
        "generator_intermediate_size": options["generator_intermediate_size"],
        "tie_embeddings": str(options["tie_embeddings"]),
        "untie_lm_head": options["untie_lm_head"],
        "objective": objective_of(options),
    }


def function_of(options: Options) -> dict[str, Any]:
    """Return the options that decide what a model computes from its weights, each as a value."""
    found = sizes_in(options)
    if "generator_layers" in options:  # as they follow from the others where they are not given
        generator = generator_sizes(options)
        found |= {
            "generator_num_attention_heads": generator.num_attention_heads,
            "generator_intermediate_size": generator.intermediate_size,
        }
    return {name: value for name, value in found.items() if name not in CHANGEABLE}
