"""The sizes of one encoder, and those of the generator beside it."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace

from fairseq_electra.errors import InputError

POSITIONS = ("learned", "rotary")
NORMS = ("post", "deepnorm", "scaled", "pre")
NUM_SEGMENTS = 2
HEAD_SIZE = 64  # of every published ELECTRA
# fields that are plain numbers to all who read sizes: every other field is a trait, which each reader must know
NUMBERS = (
    *("embedding_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("max_position_embeddings", "dropout", "attention_dropout"),
)


@dataclass(frozen=True)
class EncoderSizes:
    """Sizes of one encoder; the names are those of google-research/electra model/modeling.py::BertConfig."""

    embedding_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    positions: str = "learned"
    max_position_embeddings: int = 512  # longest row with learned positions
    dropout: float = 0.1  # of embeddings and of each sublayer's output
    attention_dropout: float = 0.1
    norm: str = "post"  # where LayerNorm stands: electra/encoder.py::EncoderLayer

    def __post_init__(self):
        for name, known in (("positions", POSITIONS), ("norm", NORMS)):
            if getattr(self, name) not in known:
                raise InputError(f"--{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in (
            "embedding_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be 1 or more, got {getattr(self, name)}")
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"--hidden-size {self.hidden_size} cannot be shared by {self.num_attention_heads} attention heads; choose a multiple"
            )
        if self.positions == "rotary" and self.hidden_size // self.num_attention_heads % 2:
            raise InputError(
                f"rotary positions turn pairs: --hidden-size {self.hidden_size} over {self.num_attention_heads} heads "
                "is odd; choose an even size"
            )
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must lie in [0, 1), got {getattr(self, name)}")

    @property
    def residual_scale(self) -> float:
        """What the residual stream is multiplied with before a sublayer's output is added to it; N layers.

        ``deepnorm``: (2 N)^(1/4) (Wang et al. 2022, arXiv 2203.00555, table 2, encoder-only). ``scaled``: (2 N)^(1/2), so that all 2 N
        sublayers together weigh as much as the embeddings. Else 1.
        """
        return (2 * self.num_hidden_layers) ** {"deepnorm": 0.25, "scaled": 0.5}.get(self.norm, 0.0)

    def generator(
        self, width: float, depth: float, heads: int | None = None, intermediate_size: int | None = None
    ) -> "EncoderSizes":
        """Sizes of the generator beside this discriminator.

        Args:
            width: its hidden size as a share of the discriminator's.
            depth: its layers as a share of the discriminator's.
            heads: attention heads; by default one for every 64 of the hidden size.
            intermediate_size: by default four times the hidden size.

        Source: google-research/electra run_pretraining.py::get_generator_config.
        """
        hidden = round(self.hidden_size * width)
        heads = heads or max(1, hidden // HEAD_SIZE)
        if hidden < 1 or hidden % heads:
            raise InputError(
                f"--generator-hidden-size {width:.3g} of {self.hidden_size} makes {hidden}, which {heads} attention heads cannot share; "
                "choose a share that makes a multiple of 64, or --generator-num-attention-heads"
            )
        return replace(
            self,
            hidden_size=hidden,
            intermediate_size=intermediate_size or 4 * hidden,
            num_attention_heads=heads,
            num_hidden_layers=max(1, round(self.num_hidden_layers * depth)),
        )


def refuse_unknown_traits(sizes: EncoderSizes, known: Mapping[str, Collection[object]], reader: str) -> None:
    """Refuse sizes with a trait that a reader of them was not written for, and would silently take for another.

    A field that the reader does not name may have its default, which is what encoders had before the field came.

    Args:
        sizes: of an encoder.
        known: for each trait that the reader handles, the values that it handles.
        reader: names it in the error, with an article.

    Raises:
        InputError: a trait has another value.
    """
    for each in fields(sizes):
        value = getattr(sizes, each.name)
        handled = known.get(each.name, () if each.default is MISSING else (each.default,))
        if each.name not in NUMBERS and value not in handled:
            written_for = ", ".join(map(repr, handled)) or "models without this option"
            raise InputError(
                f"--{each.name.replace('_', '-')} {value}: {reader} would be wrong, as it was written for {written_for}"
            )
