"""The discriminator without its head, for fine-tuning with fairseq's own sentence tasks and with ours."""

import argparse
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum
from fairseq.models import ARCH_CONFIG_REGISTRY, BaseFairseqModel, register_model
from torch import Tensor, nn

from fairseq_electra.compat import bf16_option
from fairseq_electra.electra.embeddings import DIFFERENCE
from fairseq_electra.electra.encoder import check_row_length
from fairseq_electra.electra.state import check_dictionary, check_tensors, version_of
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import HEADS_PREFIX, EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.models import _traits
from fairseq_electra.models._config import (
    EncoderConfig,
    checkpoint_to_start_from,
    prepare_processor,
    sizes_to_adopt,
    with_defaults,
    write_options,
)
from fairseq_electra.optim.depths import mark_depths
from fairseq_electra.pretraining.dictionary import dictionary_digest

logger = logging.getLogger(__name__)
DEFAULT_MAX_POSITIONS = 512  # as the default of sentence_prediction


@dataclass
class ElectraEncoderConfig(EncoderConfig):
    """Options of ``--arch electra_encoder``; sizes from ``--finetune-from-model`` or ``--model-size``."""

    head_dropout: float = field(default=0.1, metadata={"help": "dropout before a sentence head, probability"})
    pooling: ChoiceEnum(["first", "mean"]) = field(  # type: ignore[valid-type]
        default="first",
        metadata={
            "help": (
                "what a sentence head reads: <s>, as in the paper, or the mean of the row, for nets trained"
                " briefly"
            )
        },
    )
    autocast: ChoiceEnum(["none", "bf16"]) = field(  # type: ignore[valid-type]
        default="none",
        metadata={"help": "bf16: the network computes in bfloat16, its weights stay float32; on CPU and GPU"},
    )
    network: ChoiceEnum(["discriminator", "generator"]) = field(  # type: ignore[valid-type]
        default="discriminator", metadata={"help": "which network of a pre-training checkpoint to fine-tune"}
    )
    # the stock tasks write it here; sentence_ranking takes it from here. The table's size is
    # max_position_embeddings
    max_positions: Optional[int] = field(
        default=None, metadata={"help": "tokens of the longest row; default: 512"}
    )


@register_model("electra_encoder", dataclass=ElectraEncoderConfig)
class ElectraEncoder(EncoderWithHeads, BaseFairseqModel):
    """The encoder with heads as fairseq knows it.

    Args:
        cfg: its options, sizes filled in.
        dictionary: fairseq's, with ``<mask>`` as its last entry.

    Attributes:
        pooling_before: ``--pooling`` of the fine-tuned checkpoint that a training starts from, if it starts
            from one.
    """

    dictionary_version: Tensor

    def __init__(self, cfg: ElectraEncoderConfig, dictionary):
        super().__init__(**encoder_arguments(cfg, len(dictionary), dictionary.eos(), dictionary.pad()))
        self.bos, self.network = dictionary.bos(), str(cfg.network)
        digest = version_of(dictionary_digest(dictionary.symbols))
        self.register_buffer("dictionary_version", digest)
        self._separators_checked = False
        self.pooling_before: str | None = None

    @classmethod
    def build_model(cls, cfg, task) -> "ElectraEncoder":
        """Build the model with the sizes of the checkpoint it starts from."""
        prepare_processor(cfg)
        start = None if cfg.model_size is not None else checkpoint_to_start_from(cfg)
        if start is not None:
            of_generator = str(cfg.network) == "generator"
            write_options(cfg, sizes_to_adopt(cfg, EncoderConfig, start, of_generator))
        model = cls(with_defaults(cfg, ElectraEncoderConfig), task.source_dictionary)
        if (
            start is not None
            and "pooling" in start
            and not (Path(cfg.save_dir) / "checkpoint_last.pt").is_file()
        ):
            model.pooling_before = str(start.pooling)
        return model

    def register_classification_head(
        self, name: str, num_classes: int, inner_dim: int | None = None, dense: bool = False, **kwargs: Any
    ) -> None:
        """Add a head for sentences (fairseq's tasks call this); ``inner_dim`` is RoBERTa's and not used."""
        self.register_head(
            name, SentenceHead(self.sizes.hidden_size, num_classes, self.head_dropout, self.pooling, dense)
        )

    def register_head(self, name: str, head: nn.Module) -> None:
        """Add a head, and tell the optimizer how deep each layer lies."""
        super().register_head(name, head)
        mark_depths(
            self, HEADS_PREFIX, "encoder.layers.", "encoder.layer_norm.", self.sizes.num_hidden_layers
        )

    def forward(self, src_tokens: Tensor, *args: Any, **kwargs: Any) -> tuple[Any, dict]:
        """Check the first batch, and encode rows; arguments and result as :class:`EncoderWithHeads`."""
        self._check_rows(src_tokens)
        return super().forward(src_tokens, *args, **kwargs)

    def _check_rows(self, tokens: Tensor) -> None:
        limit = self.sizes.max_position_embeddings
        check_row_length(
            self.sizes, tokens.shape[1], f"cut them: --max-positions {limit} --shorten-method truncate"
        )
        if self._separators_checked:
            return
        self._separators_checked = True  # once is enough, and looking makes a GPU wait
        if bool((tokens[:, 0] != self.bos).any()):
            raise InputError(f"rows must begin with <s>; add --init-token {self.bos}")
        if bool(((tokens[:, 1:] == self.eos) & (tokens[:, :-1] == self.eos)).any()):
            raise InputError(
                "rows hold </s> </s> (RoBERTa's recipe, which ELECTRA never saw), or an empty sentence; drop"
                " --separator-token"
            )

    def max_positions(self) -> int:
        """Longest row, in tokens."""
        return self.sizes.max_position_embeddings if self.sizes.positions == "learned" else 1 << 16

    def upgrade_state_dict_named(self, state_dict: dict, name: str) -> None:
        """Turn a pre-training checkpoint into this model's, and say what became of it."""
        if "embeddings.tokens.weight" not in state_dict:
            raise InputError(
                "the checkpoint holds no ELECTRA discriminator; give one that --arch electra_* or"
                " electra_encoder has saved"
            )
        check_dictionary(state_dict, self.dictionary_version)
        own = self.state_dict()
        dropped = self._take_network(state_dict)
        foreign = [key for key in state_dict if key.startswith(HEADS_PREFIX) and key not in own]
        for key in foreign:
            del state_dict[key]
        fresh = [key for key in own if key.startswith(HEADS_PREFIX) and key not in state_dict]
        self._check_kept_heads([key for key in own if key.startswith(HEADS_PREFIX) and key not in fresh])
        for key in fresh:
            state_dict[key] = own[key]
        for key in own:
            if key.startswith(HEADS_PREFIX) and state_dict[key].shape != own[key].shape:
                raise InputError(
                    f"the checkpoint's {key} has the shape {tuple(state_dict[key].shape)}, this task's "
                    f"{tuple(own[key].shape)}; "
                    "for a head of its own give the task another --classification-head-name"
                )
        check_tensors(state_dict, own)
        if dropped or foreign or fresh:
            logger.info(
                f"from the checkpoint: {len(own) - len(fresh)} tensors kept, {len(dropped) + len(foreign)} "
                "dropped "
                f"({_names(dropped + foreign)}), {len(fresh)} initialised ({_names(fresh)})"
            )

    def _check_kept_heads(self, keys: list[str]) -> None:
        """Log the heads that training continues, and refuse another ``--pooling`` than theirs."""
        if self.pooling_before is None:
            return
        for name in dict.fromkeys(key.split(".")[1] for key in keys):
            if (
                isinstance(self.classification_heads[name], SentenceHead)
                and self.pooling != self.pooling_before
            ):
                raise InputError(
                    f"the checkpoint's head {name} was trained with --pooling {self.pooling_before}, this "
                    f"run has {self.pooling}: give "
                    f"--pooling {self.pooling_before}, or for a head of its own give the task another "
                    "--classification-head-name"
                )
            logger.info(
                f"the head {name} is the checkpoint's, trained before; for a new one give another"
                " --classification-head-name"
            )

    def _take_network(self, state_dict: dict) -> list[str]:
        """Rename the tensors of the chosen network, and drop the other's; returns the names of the latter."""
        if any(key.startswith("encoder.") for key in state_dict):
            return []  # fine-tuned before
        if not any(key.startswith(f"{self.network}.") for key in state_dict):
            raise InputError(
                f"the checkpoint holds no {self.network}, as it was trained with another --objective; give"
                f" --network {'generator' if self.network == 'discriminator' else 'discriminator'}"
            )
        if self.network == "generator":  # its embeddings are the discriminator's, but for those of its own
            for key in [key for key in state_dict if key.startswith("generator_embeddings.")]:
                state_dict[key.removeprefix("generator_")] = state_dict.pop(key)
        kept = (f"{self.network}.", "embeddings.", "dictionary_version")
        # the whole table is there too
        dropped = [key for key in state_dict if not key.startswith(kept) or key == DIFFERENCE]
        for key in dropped:
            del state_dict[key]
        for key in [key for key in state_dict if key.startswith(f"{self.network}.")]:
            state_dict["encoder." + key.removeprefix(f"{self.network}.")] = state_dict.pop(key)
        return dropped


def _names(keys: list[str]) -> str:
    return (
        ", ".join(
            dict.fromkeys(
                key.split(".")[0] if not key.startswith(HEADS_PREFIX) else ".".join(key.split(".")[:2])
                for key in keys
            )
        )
        or "-"
    )


def complete_arguments(args: argparse.Namespace) -> None:
    """Fill in what fairseq's command line leaves out for this arch."""
    bf16_option.unset_tpu(args)
    if isinstance(args, argparse.Namespace) and getattr(args, "model_size", None) is not None:
        _traits.fill_in(args)
    # sentence_ranking has no such option of its own
    args.max_positions = getattr(args, "max_positions", DEFAULT_MAX_POSITIONS)


ARCH_CONFIG_REGISTRY["electra_encoder"] = complete_arguments
