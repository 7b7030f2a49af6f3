"""The sizes that every ELECTRA model takes as options. The underscore keeps fairseq from importing this file as a model."""

from dataclasses import dataclass, field
from typing import Optional

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import OmegaConf

from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.modules.sizes import MODEL_SIZES, POSITIONS, EncoderSizes, named_sizes
from fairseq_electra.precision import use_fast_fp32

AS_SIZE = "; default: as --arch has it"


@dataclass
class EncoderConfig(FairseqDataclass):
    """Sizes of the (discriminator's) encoder. ``model_size`` names a row of the table; every other field, where given, changes it."""

    # under hydra an arch function alone is ignored in silence: so the table is chosen by a field, and arch functions only set it
    model_size: Optional[ChoiceEnum(list(MODEL_SIZES))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "row of the size table; set by --arch electra_tiny, electra_small, electra_base, electra_large"},
    )
    embedding_size: Optional[int] = field(default=None, metadata={"help": "size of token, position and segment vectors" + AS_SIZE})
    hidden_size: Optional[int] = field(default=None, metadata={"help": "size of the hidden states" + AS_SIZE})
    intermediate_size: Optional[int] = field(default=None, metadata={"help": "size of the feed-forward layer" + AS_SIZE})
    num_hidden_layers: Optional[int] = field(default=None, metadata={"help": "layers" + AS_SIZE})
    num_attention_heads: Optional[int] = field(default=None, metadata={"help": "attention heads" + AS_SIZE})
    positions: Optional[ChoiceEnum(list(POSITIONS))] = field(  # type: ignore[valid-type]
        default=None, metadata={"help": "learned (the original; tiny nets do not learn with it) or rotary" + AS_SIZE}
    )
    max_position_embeddings: Optional[int] = field(default=None, metadata={"help": "longest row with learned positions, tokens" + AS_SIZE})
    dropout: Optional[float] = field(default=None, metadata={"help": "dropout of embeddings and sublayers, probability" + AS_SIZE})
    fast_fp32: bool = field(
        default=False, metadata={"help": "let oneDNN do float32 matrix products on the CPU, after a test that they stay float32"}
    )
    checkpoint_activations: bool = field(
        default=False, metadata={"help": "keep only the layers' inputs for the backward pass and compute the rest again: less memory"}
    )
    attention_dropout: Optional[float] = field(default=None, metadata={"help": "dropout of attention weights, probability" + AS_SIZE})


SIZE_FIELDS = [name for name in EncoderConfig.__dataclass_fields__ if name not in ("_name", "fast_fp32", "checkpoint_activations")]


def with_defaults(cfg, config_class: type[FairseqDataclass]):
    """Fill in the options that the configuration does not have.

    fairseq does so for models named by their own name, not for those named by an arch: a checkpoint of an older version would lack
    what has come since.
    """
    missing = {name: f.default for name, f in config_class.__dataclass_fields__.items() if name not in cfg and name != "_name"}
    return OmegaConf.merge(missing, cfg)


def prepare_processor(cfg) -> None:
    """Set this process up for the model's arithmetic, if it is done on the CPU."""
    if not torch.cuda.is_available():
        keep_freed_memory()
    if cfg.fast_fp32:
        use_fast_fp32()


def encoder_sizes(cfg) -> EncoderSizes:
    """Look up the sizes that a model's configuration asks for."""
    given = {name: str(cfg[name]) if name in ("model_size", "positions") and cfg[name] is not None else cfg[name] for name in SIZE_FIELDS}
    return named_sizes(**given)
