"""The models for pre-training as fairseq knows them: options, ``--arch``, checks of checkpoints."""

import argparse
import functools
import logging
from dataclasses import dataclass, field
from typing import Any, Optional, cast

import torch
from fairseq.dataclass import ChoiceEnum
from fairseq.models import ARCH_CONFIG_REGISTRY, BaseFairseqModel, register_model, register_model_architecture
from omegaconf import OmegaConf
from torch import Tensor

from fairseq_electra.compat import bf16_option
from fairseq_electra.electra.configuration import (
    encoder_sizes,
    generator_layers,
    generator_share,
    model_arguments,
    objective_of,
    temperature_schedule,
)
from fairseq_electra.electra.encoder import check_row_length
from fairseq_electra.electra.frozen_generator import FrozenGeneratorElectra
from fairseq_electra.electra.heads import MaskedLMHead
from fairseq_electra.electra.model import Discriminator, Electra, Generator
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.electra.state import check_dictionary, check_tensors, version_of
from fairseq_electra.errors import InputError
from fairseq_electra.models import _traits
from fairseq_electra.models._config import (
    EncoderConfig,
    checkpoint_to_start_from,
    prepare_processor,
    sizes_to_adopt,
    with_defaults,
    write_options,
)
from fairseq_electra.models._frozen_generator import (
    generator_checkpoint,
    generator_options,
    load_generator,
)
from fairseq_electra.optim.gradients import mark_networks
from fairseq_electra.pretraining.dictionary import dictionary_digest
from fairseq_electra.pretraining.unread_options import refuse_unread_options

logger = logging.getLogger(__name__)


@dataclass
class ElectraConfig(EncoderConfig):
    """Options of ``--arch electra_*``, named as in google-research/electra configure_pretraining.py."""

    generator_hidden_size: Optional[float] = field(
        default=None,
        metadata={
            "help": (
                "the generator's hidden size, as a share of the discriminator's; default: as --arch has it"
            )
        },
    )
    generator_layers: Optional[float] = field(
        default=None,
        metadata={
            "help": "the generator's layers, as a share of the discriminator's; default: as --arch has it"
        },
    )
    generator_num_attention_heads: Optional[int] = field(
        default=None,
        metadata={"help": "the generator's attention heads; default: one for every 64 of its hidden size"},
    )
    generator_intermediate_size: Optional[int] = field(
        default=None,
        metadata={
            "help": (
                "the generator's feed-forward size; default: as --arch has it, mostly four times its hidden"
                " size"
            )
        },
    )
    tie_embeddings: ChoiceEnum(["none", "tokens", "all", "gdes"]) = field(  # type: ignore[valid-type]
        default="all",
        metadata={
            "help": (
                "what the networks share: none, the token table, all embeddings with their LayerNorm (the"
                " original), or gdes: the generator's token table without a gradient from the discriminator"
                " (DeBERTaV3)"
            )
        },
    )
    untie_lm_head: bool = field(
        default=False,
        metadata={
            "help": "the generator predicts with a table of its own; the original: with the one it reads"
        },
    )
    objective: ChoiceEnum(list(OBJECTIVES)) = field(  # type: ignore[valid-type]
        default="electra",
        metadata={"help": "; ".join(f"{name}: {each.help}" for name, each in OBJECTIVES.items())},
    )
    generator_only: bool = field(
        default=False, metadata={"help": "the same as --objective mlm, for command lines from before it"}
    )
    generator_from: Optional[str] = field(
        default=None,
        metadata={
            "help": (
                "of --objective frozen_generator: pre-training checkpoint whose generator corrupts the text,"
                " and stays as it is"
            )
        },
    )
    discriminator_from_generator: bool = field(
        default=False,
        metadata={
            "help": (
                "start the discriminator from the weights of --generator-from, which must be of its sizes:"
                " the second stage of two-stage training"
            )
        },
    )
    temperature: float = field(
        default=1.0, metadata={"help": "divides the generator's scores when it is sampled; above 0"}
    )
    temperature_schedule: Optional[str] = field(
        default=None,
        metadata={
            "help": (
                "--temperature by update: linear, cosine, exponential or step, such as exponential:1@20000 to"
                " reach 1 at update 20,000"
            )
        },
    )
    disallow_correct: bool = field(default=False, metadata={"help": "never sample the original token"})
    duplicate_samples: ChoiceEnum(["first", "mean"]) = field(  # type: ignore[valid-type]
        default="first",
        metadata={
            "help": (
                "what the text gets at a position that --masker with_replacement draws more than once: the"
                " first sample, or the token whose id is the mean of the sampled ids, rounded down, as in the"
                " original's code"
            )
        },
    )
    pad_vocab_to: Optional[int] = field(
        default=None,
        metadata={
            "help": (
                "score a multiple of so many tokens, such as 64, which suits GPUs: those added to the"
                " vocabulary have probability 0, and checkpoints do not hold them"
            )
        },
    )
    compile: bool = field(
        default=False,
        metadata={
            "help": "networks and losses as graphs of torch.compile; the first update takes a minute or more"
        },
    )
    cuda_graphs: bool = field(
        default=False,
        metadata={
            "help": "with --compile, on a GPU: replay updates as CUDA graphs, which small updates gain by"
        },
    )


def compile_options(cuda_graphs: bool) -> dict[str, Any]:
    """Return what ``torch.compile`` is told: one graph for one shape, or an error."""
    return {"fullgraph": True, "dynamic": False, "mode": "reduce-overhead" if cuda_graphs else None}


class PretrainingModel(BaseFairseqModel):
    """What fairseq needs of a model for pre-training; a base class behind the core's class."""

    sizes: EncoderSizes
    dictionary_version: Tensor

    def add_to_core(self, dictionary) -> None:
        """Add what only a training with fairseq needs, once the core's modules are there."""
        # "version" in the name: fairseq's moving average of the weights leaves such buffers alone
        digest = version_of(dictionary_digest(dictionary.symbols))
        self.register_buffer("dictionary_version", digest)
        mark_networks(self)

    def train(self, mode: bool = True):
        """Switch dropout on or off; does nothing if the mode stays: fairseq calls this twice an update."""
        return self if mode == self.training else super().train(mode)

    def set_num_updates(self, num_updates: int) -> None:
        """Nothing in a module depends on it, so none is asked; Electra, which comes first, has its own."""

    def max_positions(self) -> Optional[int]:
        """Longest row: None, since the task makes rows that fit."""
        return None

    def upgrade_state_dict_named(self, state_dict: dict, name: str) -> None:
        """Say plainly why a checkpoint does not fit, before PyTorch lists all that is missing."""
        check_dictionary(state_dict, self.dictionary_version)
        check_tensors(state_dict, self.state_dict())


@functools.cache
def adapted(core: type[Generator] | type[Discriminator]) -> type[PretrainingModel]:
    """Return a class of the core with what fairseq needs; arguments as :class:`ElectraModel`."""

    class Adapted(core, PretrainingModel):  # type: ignore[valid-type, misc]
        def __init__(self, cfg: ElectraConfig, dictionary):
            super().__init__(**model_arguments(cfg, len(dictionary), dictionary.pad()))
            self.add_to_core(dictionary)

    return Adapted


@register_model("electra", dataclass=ElectraConfig)
class ElectraModel(adapted(Electra)):  # type: ignore[misc]
    """The model of ``--objective electra``.

    Args:
        cfg: its options.
        dictionary: fairseq's, with ``<mask>`` as its last entry.
    """

    @classmethod
    def build_model(cls, cfg, task) -> PretrainingModel:
        """Build the model for a task that has ``source_dictionary`` and ``cfg.tokens_per_sample``."""
        by_user = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
        if cfg.model_size is None:
            write_options(cfg, sizes_to_adopt(cfg, ElectraConfig, checkpoint_to_start_from(cfg)))
        given, cfg = cfg, with_defaults(cfg, ElectraConfig)
        objective, state = OBJECTIVES[objective_of(cfg)], None
        is_new = not getattr(task, "loads_weights", False)  # else weights follow, and an older run's options
        if is_new:
            refuse_unread_options(objective, by_user, ElectraConfig)
        if objective.model is FrozenGeneratorElectra:
            if is_new:  # else the sizes are in the options
                state = generator_checkpoint(cfg)
                options = generator_options(cfg, state)
                for target in (given, cfg):
                    write_options(target, options)
        elif cfg.generator_from is not None or cfg.discriminator_from_generator:
            raise InputError(
                "--generator-from and --discriminator-from-generator are of --objective frozen_generator;"
                " give it too, or leave them out"
            )
        _check(cfg)
        prepare_processor(cfg)
        width = task.cfg.tokens_per_sample
        check_row_length(
            encoder_sizes(cfg), width, f"give --max-position-embeddings {width}, or --positions rotary"
        )
        if cfg.cuda_graphs and not (cfg.compile and torch.cuda.is_available()):
            raise InputError("--cuda-graphs needs --compile and a GPU; leave it out")
        model_class = cls if objective.model is Electra else adapted(objective.model)  # type: ignore[arg-type]
        model = model_class(cfg, task.source_dictionary)
        if state is not None:
            load_generator(model, cfg, state, model.dictionary_version)
        if cfg.pad_vocab_to is not None:
            for head in model.modules():
                if isinstance(head, MaskedLMHead):
                    head.pad_vocabulary(cfg.pad_vocab_to)
        if cfg.compile:  # in place: names in checkpoints stay as they are
            model.compile(**compile_options(cfg.cuda_graphs))
        return model


def _check(cfg) -> None:
    width, depth = generator_share(cfg), generator_layers(cfg)
    if not cfg.temperature > 0:
        raise InputError(
            f"--temperature must be above 0, got {cfg.temperature}; 1 samples the generator's own"
            " distribution"
        )
    if cfg.pad_vocab_to is not None and cfg.pad_vocab_to < 1:
        raise InputError(f"--pad-vocab-to must be 1 or more, got {cfg.pad_vocab_to}; such as 64")
    objective = OBJECTIVES[objective_of(cfg)]
    schedule = temperature_schedule(cfg)
    if schedule is not None:
        logger.info(f"sampling temperature: {schedule}")
    if width <= 0 or depth <= 0:
        raise InputError(
            f"--generator-hidden-size and --generator-layers are shares above 0, got {width} and {depth}"
        )
    is_as_large = width >= 1 and depth >= 1
    if is_as_large and objective.has_discriminator and objective.model is not FrozenGeneratorElectra:
        logger.warning(
            f"--generator-hidden-size {width}: a generator as large as the discriminator is known to "
            "collapse it; "
            "the paper found 1/4 to 1/2 best (section 3.2)"
        )


def _register(size: str) -> None:
    @register_model_architecture("electra", f"electra_{size}")
    def architecture(args) -> None:
        args.model_size = size
        bf16_option.unset_tpu(args)
        if isinstance(args, argparse.Namespace):  # fairseq calls this again for the options in a checkpoint
            _traits.fill_in(args)
            _traits.fill_in_betas(args)


def _without_size(args) -> None:
    """A bare ``--arch electra`` takes its sizes from ``--finetune-from-model``."""
    bf16_option.unset_tpu(args)
    if isinstance(args, argparse.Namespace):
        _traits.fill_in_betas(args)


ARCH_CONFIG_REGISTRY["electra"] = _without_size
for _size in MODEL_SIZES:
    _register(_size)
