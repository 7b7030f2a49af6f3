"""A run's generator from another run's checkpoint. fairseq does not import files that start with ``_``."""

from collections import ChainMap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from fairseq_electra.electra.configuration import encoder_sizes, generator_sizes
from fairseq_electra.electra.frozen_generator import FrozenGeneratorElectra
from fairseq_electra.electra.state import check_dictionary, check_trained, drawn_in
from fairseq_electra.errors import InputError

SHARES = {"generator_hidden_size": "hidden_size", "generator_layers": "num_hidden_layers"}
ONLY_IN_TRAINING = ("dropout", "attention_dropout", "dropout_at")


def generator_checkpoint(cfg) -> dict:
    """Read the checkpoint that ``--generator-from`` names, or that of the run itself if the former is gone.

    Raises:
        InputError: none is named, it is not one of ours, or its generator is still random.
    """
    from fairseq import checkpoint_utils

    source, last = cfg.generator_from, Path(cfg.save_dir) / "checkpoint_last.pt"
    if not source:
        raise InputError(
            "--objective frozen_generator needs --generator-from CHECKPOINT, the generator to use"
        )
    if not Path(source).is_file() and last.is_file():
        source = str(last)  # a resumed run needs only its own checkpoint
    state = checkpoint_utils.load_checkpoint_to_cpu(source)
    saved = state.get("cfg")
    if saved is None or saved.get("model") is None or "generator_layers" not in saved.model:
        raise InputError(f"--generator-from {source} is not a pre-training checkpoint of --arch electra_*")
    check_trained(drawn_in(state), "generator", f"--generator-from {source}")
    return state


def generator_options(cfg, state: dict) -> dict[str, Any]:
    """Return the options that give the model to build the generator's sizes of a checkpoint.

    Raises:
        InputError: a generator of these sizes cannot stand beside the discriminator, or the options ask for
            others.
    """
    theirs, sizes = generator_sizes(state["cfg"].model), encoder_sizes(cfg)
    options = {
        "generator_hidden_size": theirs.hidden_size / sizes.hidden_size,
        "generator_layers": theirs.num_hidden_layers / sizes.num_hidden_layers,
        "generator_num_attention_heads": theirs.num_attention_heads,
        "generator_intermediate_size": theirs.intermediate_size,
        "untie_lm_head": bool(state["cfg"].model.get("untie_lm_head", False)),
    }
    for name, value in options.items():
        if cfg[name] in (None, False, value):
            continue
        size = SHARES.get(name)  # shares are rounded to whole sizes: another share may give the same
        if size is None or getattr(generator_sizes(cfg), size) != getattr(theirs, size):
            raise InputError(
                f"--{name.replace('_', '-')} {cfg[name]}: the generator of --generator-from has {value};"
                " leave it out"
            )
    ours, wanted = asdict(generator_sizes(ChainMap(options, cfg))), asdict(theirs)
    differs = [name for name in wanted if name not in ONLY_IN_TRAINING and ours[name] != wanted[name]]
    if differs:
        name = differs[0]
        raise InputError(
            f"--generator-from: the generator has --{name.replace('_', '-')} {wanted[name]}, the"
            f" discriminator {ours[name]}; both must have the same"
        )
    return options


def load_generator(model: FrozenGeneratorElectra, cfg, state: dict, dictionary_version: Tensor) -> None:
    """Take the weights of the generator, and of the discriminator if it starts from them."""
    tensors = state["model"]
    check_dictionary(tensors, dictionary_version)
    model.load_generator(tensors, cfg.discriminator_from_generator)
