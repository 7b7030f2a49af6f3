"""The options for sizes that all ELECTRA models have. fairseq does not import files that start with ``_``."""

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
from fairseq_electra.models._trait_options import AS_SIZE, TraitOptions
from fairseq_electra.precision import use_fast_fp32

logger = logging.getLogger(__name__)


@dataclass
class EncoderConfig(TraitOptions):
    """Sizes of the encoder: a row of the size table, and the fields that change it."""

    # under hydra an arch function alone is ignored in silence: so the table is chosen by a field, and arch
    # functions only set it
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
            "help": (
                "LayerNorm behind each sublayer: post (the original), deepnorm, scaled (calmer); before"
                " it: pre; pre_but_first: before all but the first (ModernBERT)" + AS_SIZE
            )
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
            "help": (
                "keep only the layers' inputs for the backward pass and compute the rest again: less memory"
            )
        },
    )
    attention_dropout: Optional[float] = field(
        default=None, metadata={"help": "dropout of attention weights, probability" + AS_SIZE}
    )
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    save_dir: str = II("checkpoint.save_dir")


def with_defaults(cfg, config_class: type[FairseqDataclass]):
    """Fill in the options that the configuration does not have.

    fairseq does so for models named by their own name, not for those named by an arch: a checkpoint of an
    older version would lack what has come since.
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


def checkpoint_to_start_from(cfg) -> Any:
    """Read the options of the model whose checkpoint a model without a size starts from.

    Args:
        cfg: options of the model to build.

    Raises:
        InputError: no checkpoint is named, or it is not one of ours.
    """
    from fairseq import checkpoint_utils

    source, last = cfg.finetune_from_model, Path(cfg.save_dir) / "checkpoint_last.pt"
    if source and not Path(source).is_file() and last.is_file():
        source = str(last)  # a resumed run needs only its own checkpoint
    if not source:
        raise InputError(
            "model size unknown: give --finetune-from-model CHECKPOINT, or, to train a new model, --arch "
            "electra_small "
            "or another size (electra_encoder: --model-size small; hydra: model.model_size=small)"
        )
    saved = checkpoint_utils.load_checkpoint_to_cpu(source).get("cfg")
    model = saved.model if saved is not None and "model" in saved else None
    if model is None or model.get("model_size") is None:
        raise InputError(
            f"{source} is not an ELECTRA checkpoint; give one that --arch electra_* or electra_encoder has"
            " saved"
        )
    return model


def sizes_to_adopt(
    cfg, config_class: type[EncoderConfig], start: Any, of_generator: bool = False
) -> dict[str, Any]:
    """Return the sizes of a checkpoint's model, except those that the user has given.

    Args:
        cfg: options of the model to build.
        config_class: the class of ``cfg``; of the sizes, those that it has as fields are returned.
        start: options of the checkpoint's model.
        of_generator: return the sizes of the checkpoint's generator instead of its discriminator.
    """
    defaults = {name: f.default for name, f in config_class.__dataclass_fields__.items()}
    sizes = sizes_in(with_defaults(start, config_class))
    if of_generator and "generator_layers" in start:
        sizes |= asdict(generator_sizes(start))
    return {name: value for name, value in sizes.items() if name in defaults and cfg[name] == defaults[name]}


def write_options(cfg, values: dict[str, Any]) -> None:
    """Write options into a model's configuration, and into the one that fairseq saves in checkpoints.

    So a fine-tuned checkpoint can be loaded without the checkpoint that it started from.

    Args:
        cfg: options of the model, whose parent fairseq's ``merge_with_parent`` has set to the whole
            configuration.
        values: the options to write.
    """
    whole = cfg._get_parent()
    saved = whole.get("model") if whole is not None else None
    for target in [cfg, saved] if OmegaConf.is_config(saved) else [cfg]:
        with open_dict(target):
            for name, value in values.items():
                target[name] = value
