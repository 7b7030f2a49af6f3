"""The sizes that every ELECTRA model takes as options. The underscore keeps fairseq from importing this file as a model."""

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, OmegaConf, open_dict

from fairseq_electra.electra.configuration import generator_sizes, sizes_in
from fairseq_electra.electra.size_table import MODEL_SIZES, arch_names
from fairseq_electra.electra.sizes import NORMS, POSITIONS
from fairseq_electra.errors import InputError
from fairseq_electra.memory import keep_freed_memory
from fairseq_electra.precision import use_fast_fp32

logger = logging.getLogger(__name__)
AS_SIZE = "; default: as --arch has it"


@dataclass
class EncoderConfig(FairseqDataclass):
    """Sizes of the (discriminator's) encoder. ``model_size`` names a row of the table; every other field, where given, changes it."""

    # under hydra an arch function alone is ignored in silence: so the table is chosen by a field, and arch functions only set it
    model_size: Optional[ChoiceEnum(list(MODEL_SIZES))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": f"row of the size table; set by --arch {arch_names()}"},
    )
    embedding_size: Optional[int] = field(
        default=None, metadata={"help": "size of token, position and segment vectors" + AS_SIZE}
    )
    hidden_size: Optional[int] = field(default=None, metadata={"help": "size of the hidden states" + AS_SIZE})
    intermediate_size: Optional[int] = field(
        default=None, metadata={"help": "size of the feed-forward layer" + AS_SIZE}
    )
    num_hidden_layers: Optional[int] = field(default=None, metadata={"help": "layers" + AS_SIZE})
    num_attention_heads: Optional[int] = field(default=None, metadata={"help": "attention heads" + AS_SIZE})
    positions: Optional[ChoiceEnum(list(POSITIONS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "learned (the original; tiny nets do not learn with it) or rotary" + AS_SIZE},
    )
    norm: Optional[ChoiceEnum(list(NORMS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": "LayerNorm behind each sublayer: post (the original), deepnorm, scaled (calmer); before it: pre"
            + AS_SIZE
        },
    )
    max_position_embeddings: Optional[int] = field(
        default=None, metadata={"help": "longest row with learned positions, tokens" + AS_SIZE}
    )
    dropout: Optional[float] = field(
        default=None, metadata={"help": "dropout of embeddings and sublayers, probability" + AS_SIZE}
    )
    fast_fp32: bool = field(
        default=False,
        metadata={
            "help": "let oneDNN do float32 matrix products on the CPU, after a test that they stay float32"
        },
    )
    checkpoint_activations: bool = field(
        default=False,
        metadata={
            "help": "keep only the layers' inputs for the backward pass and compute the rest again: less memory"
        },
    )
    attention_dropout: Optional[float] = field(
        default=None, metadata={"help": "dropout of attention weights, probability" + AS_SIZE}
    )
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    save_dir: str = II("checkpoint.save_dir")


def with_defaults(cfg, config_class: type[FairseqDataclass]):
    """Fill in the options that the configuration does not have.

    fairseq does so for models named by their own name, not for those named by an arch: a checkpoint of an older version would lack
    what has come since.
    """
    missing = {
        name: f.default
        for name, f in config_class.__dataclass_fields__.items()
        if name not in cfg and name != "_name"
    }
    return OmegaConf.merge(missing, cfg)


def prepare_processor(cfg) -> None:
    """Set this process up for the model's arithmetic, if it is done on the CPU."""
    if torch.cuda.is_available():
        if cfg.fast_fp32:  # PyTorch's setting would let the GPU round its products to TF32
            logger.warning("--fast-fp32: off, it is for machines without a GPU")
        return
    keep_freed_memory()
    if cfg.fast_fp32:
        use_fast_fp32()


def adopt_sizes(cfg, config_class: type[EncoderConfig], of_generator: bool = False) -> Any:
    """Fill in the sizes of the checkpoint to start from, here and in the configuration that will be saved.

    So a fine-tuned checkpoint can be loaded when the one it came from is gone. What the user gave wins.

    Args:
        cfg: options of the model to be; nothing is done where it names its size.
        config_class: the fields to adopt are those of this class that :func:`sizes_in` knows.
        of_generator: take the sizes of the checkpoint's generator instead.

    Returns:
        the options of the checkpoint's model; None where it names its size.
    """
    from fairseq import checkpoint_utils

    if cfg.model_size is not None:
        return None
    source, last = cfg.finetune_from_model, Path(cfg.save_dir) / "checkpoint_last.pt"
    if source and not Path(source).is_file() and last.is_file():
        source = str(last)  # a run that is resumed needs no more than its own checkpoint
    if not source:
        raise InputError(
            "the net has no sizes: give --finetune-from-model CHECKPOINT, or, to start from nothing, --arch electra_small or another "
            "size (electra_encoder: --model-size small; hydra: model.model_size=small)"
        )
    saved = checkpoint_utils.load_checkpoint_to_cpu(source).get("cfg")
    model = saved.model if saved is not None and "model" in saved else None
    if model is None or model.get("model_size") is None:
        raise InputError(
            f"{source} holds no ELECTRA; give a checkpoint that --arch electra_* or electra_encoder has saved"
        )
    defaults = {name: f.default for name, f in config_class.__dataclass_fields__.items()}
    found = sizes_in(with_defaults(model, config_class))
    if of_generator and "generator_layers" in model:
        found |= asdict(generator_sizes(model))
    adopted = {
        name: value for name, value in found.items() if name in defaults and cfg[name] == defaults[name]
    }
    parent = cfg._get_parent()  # merge_with_parent has given this copy the parent of the original
    original = parent.get("model") if parent is not None else None
    for target in [cfg, original] if OmegaConf.is_config(original) else [cfg]:
        with open_dict(target):
            for name, value in adopted.items():
                target[name] = value
    return model
