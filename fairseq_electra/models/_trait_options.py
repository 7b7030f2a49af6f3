"""The options for what an encoder's layers are made of. fairseq does not import files that start with ``_``.

All are off by default. docs/sizes.md has ModernBERT's names for them.
"""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from fairseq_electra.electra.sizes import DROPOUT_PLACES, FEED_FORWARDS, NORM_KINDS

AS_SIZE = "; default: as --arch has it"


@dataclass
class TraitOptions(FairseqDataclass):
    """Traits of the encoder; the generator has those of the discriminator."""

    norm_kind: Optional[ChoiceEnum(list(NORM_KINDS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "normalization layers, those of the heads too; default: layernorm"},
    )
    feed_forward: Optional[ChoiceEnum(list(FEED_FORWARDS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": (
                "gelu between two matrices, or geglu: a third matrix of --intermediate-size makes a gate;"
                " default: gelu"
            )
        },
    )
    no_linear_bias: bool = field(
        default=False,
        metadata={"help": "linear layers of the encoder have no biases; those of the heads keep theirs"},
    )
    rotary_base: Optional[float] = field(
        default=None,
        metadata={"help": "base of rotary angles; ModernBERT, for long rows: 160000; default: 10000"},
    )
    local_rotary_base: Optional[float] = field(
        default=None, metadata={"help": "the same in layers with a window; default: 10000"}
    )
    local_window: Optional[int] = field(
        default=None,
        metadata={
            "help": (
                "tokens around a token that it attends to, half of them on each side, in all layers but"
                " every --global-every-th (ModernBERT: 128); default: 0, the whole row"
            )
        },
    )
    global_every: Optional[int] = field(
        default=None,
        metadata={
            "help": (
                "with --local-window, layers 0, N, 2 N, ... attend to the whole row, the others within the"
                " window; default: 3"
            )
        },
    )
    recurrence: Optional[int] = field(
        default=None,
        metadata={
            "help": (
                "tokens of a part of the row: each part attends to itself and, without gradient, to the one"
                " before (Transformer-XL); default: 0, the whole row"
            )
        },
    )
    dropout_at: Optional[ChoiceEnum(list(DROPOUT_PLACES))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": (
                "where --dropout is: everywhere (embeddings, output of attention and of the feed-forward"
                " network), or attention_output alone; default: everywhere"
            )
        },
    )
    norm_eps: Optional[float] = field(
        default=None,
        metadata={
            "help": "added to the variance in normalization layers; ModernBERT: 1e-5; default: 1e-12 (BERT)"
        },
    )
    no_segments: bool = field(
        default=False,
        metadata={"help": "no segment vectors: </s> alone tells the texts of a pair apart (ModernBERT)"},
    )
    normed_head: bool = field(
        default=False,
        metadata={"help": "the discriminator's head has a normalization layer behind GELU (ModernBERT)"},
    )


TRAIT_NAMES = tuple(TraitOptions.__annotations__)
