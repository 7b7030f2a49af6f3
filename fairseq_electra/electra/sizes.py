"""The sizes of an encoder, and those of the generator beside a discriminator."""

import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace

from fairseq_electra.errors import InputError

POSITIONS = ("learned", "rotary")
NORMS = ("post", "deepnorm", "scaled", "pre", "pre_but_first")
NORM_KINDS = ("layernorm", "layernorm_without_bias", "rmsnorm")
FEED_FORWARDS = ("gelu", "geglu")
DROPOUT_PLACES = ("everywhere", "attention_output")
CHOICES = {
    "positions": POSITIONS,
    "norm": NORMS,
    "norm_kind": NORM_KINDS,
    "feed_forward": FEED_FORWARDS,
    "dropout_at": DROPOUT_PLACES,
}
ROTARY_BASE = 10000.0
LAYER_NORM_EPS = 1e-12  # BERT's; PyTorch's default, and ModernBERT's, is 1e-5
NUM_SEGMENTS = 2
HEAD_SIZE = 64  # of every published ELECTRA
SHAPES = ("embedding_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
# every other field is a trait: whoever exports or counts an encoder must know its values
NUMBERS = (*SHAPES, "max_position_embeddings", "dropout", "attention_dropout")


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
    dropout: float = 0.1  # of embeddings and of each sublayer's output, or as dropout_at says
    attention_dropout: float = 0.1
    norm: str = "post"  # place of LayerNorm: electra/encoder.py::EncoderLayer
    norm_kind: str = "layernorm"  # electra/norms.py
    feed_forward: str = "gelu"
    no_linear_bias: bool = False  # of the encoder; the heads keep their biases
    rotary_base: float = ROTARY_BASE
    local_rotary_base: float = ROTARY_BASE  # of layers with a window
    local_window: int = 0  # tokens that attend: half of them on each side; 0: all of the row
    global_every: int = 3  # with a window, every third layer from the first on sees the whole row
    dropout_at: str = "everywhere"
    norm_eps: float = LAYER_NORM_EPS  # added to the variance under the root, in all normalization layers
    no_segments: bool = False  # no segment vectors: segments are told by </s> alone
    recurrence: int = 0  # tokens of a part of the row, which also sees the part before; 0: there are none
    normed_head: bool = False  # heads have a normalization layer behind GELU: electra/heads.py

    def __post_init__(self):
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{option(name)} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )
        for name in (*SHAPES, "global_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{option(name)} must be 1 or more, got {getattr(self, name)}")
        if self.local_window < 0 or self.local_window % 2:
            raise InputError(
                f"--local-window {self.local_window}: half of the window lies on each side of a token; give"
                " an even number, or 0 for none"
            )
        self._check_bases()
        if self.recurrence < 0:
            raise InputError(
                f"--recurrence {self.recurrence}: give the tokens of a part of the row, or 0 for none"
            )
        if self.recurrence and self.local_window:
            raise InputError(
                f"--recurrence {self.recurrence} does not go with --local-window {self.local_window},"
                " which modern sizes have by default; give --local-window 0 too"
            )
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"--hidden-size {self.hidden_size} cannot be shared by {self.num_attention_heads} attention"
                " heads; choose a multiple"
            )
        if self.positions == "rotary" and self.hidden_size // self.num_attention_heads % 2:
            raise InputError(
                f"rotary positions rotate pairs: --hidden-size {self.hidden_size} over "
                f"{self.num_attention_heads} heads "
                "is odd; choose an even size"
            )
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{option(name)} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 < self.norm_eps < math.inf:
            raise InputError(
                f"--norm-eps must be above 0, got {self.norm_eps}; BERT has 1e-12, ModernBERT 1e-5"
            )

    def _check_bases(self):
        for name in ("rotary_base", "local_rotary_base"):
            if not 1 < getattr(self, name) < math.inf:
                raise InputError(f"{option(name)} must be above 1, got {getattr(self, name)}")
        if self.positions != "rotary" and (self.rotary_base, self.local_rotary_base) != (ROTARY_BASE,) * 2:
            raise InputError("--rotary-base and --local-rotary-base need --positions rotary; leave them out")
        if not self.local_window and (self.local_rotary_base, self.global_every) != (ROTARY_BASE, 3):
            raise InputError(
                "--local-rotary-base and --global-every are of encoders with windows; give --local-window,"
                " such as 128, or their defaults, 10000 and 3"
            )
        if self.local_window and self.global_every == 1:
            raise InputError(
                f"with --global-every 1 no layer has the --local-window {self.local_window}; give 2 or more,"
                " or leave both out"
            )

    @property
    def residual_scale(self) -> float:
        """Factor of the residual stream before a sublayer's output is added to it. N is the number of layers.

        ``deepnorm``: (2 N)^(1/4) (Wang et al. 2022, arXiv 2203.00555, table 2, encoder-only). ``scaled``:
        (2 N)^(1/2), so that all 2 N sublayers together weigh as much as the embeddings. Otherwise 1.
        """
        return (2 * self.num_hidden_layers) ** {"deepnorm": 0.25, "scaled": 0.5}.get(self.norm, 0.0)

    @property
    def is_pre_norm(self) -> bool:
        """Whether sublayers read a normalised residual stream, and the stream itself is not normalised."""
        return self.norm in ("pre", "pre_but_first")

    @property
    def dropout_elsewhere(self) -> float:
        """Dropout of embeddings and of the feed-forward network's output, probability."""
        return self.dropout if self.dropout_at == "everywhere" else 0.0

    def is_local(self, layer: int) -> bool:
        """Return whether the tokens of a layer attend within the window; layers count from 0.

        Source: AnswerDotAI/ModernBERT; transformers configuration_modernbert.py::ModernBertConfig.
        """
        return self.local_window > 0 and layer % self.global_every != 0

    @property
    def num_local_layers(self) -> int:
        """Number of layers whose tokens attend within the window."""
        return sum(self.is_local(layer) for layer in range(self.num_hidden_layers))

    def generator(
        self,
        width: float,
        depth: float,
        heads: int | None = None,
        intermediate_size: int | None = None,
        inner: float = 4.0,
    ) -> "EncoderSizes":
        """Return the sizes of the generator beside this discriminator.

        Args:
            width: hidden size of the generator as a share of the discriminator's.
            depth: number of layers of the generator as a share of the discriminator's.
            heads: number of attention heads; by default one for every 64 of the hidden size.
            intermediate_size: size of the feed-forward layers; by default that of ``inner``.
            inner: size of the feed-forward layers as a multiple of the hidden size.

        Source: google-research/electra run_pretraining.py::get_generator_config.
        """
        hidden = round(self.hidden_size * width)
        for name, value in (("num_attention_heads", heads), ("intermediate_size", intermediate_size)):
            if value is not None and value < 1:
                raise InputError(f"{option(f'generator_{name}')} must be 1 or more, got {value}")
        heads = max(1, hidden // HEAD_SIZE) if heads is None else heads
        if hidden < 1 or hidden % heads:
            raise InputError(
                f"--generator-hidden-size {width:.3g} of {self.hidden_size} makes {hidden}, which {heads} "
                "attention heads cannot share; "
                "choose a share that makes a multiple of 64, or --generator-num-attention-heads"
            )
        return replace(
            self,
            hidden_size=hidden,
            intermediate_size=round(inner * hidden) if intermediate_size is None else intermediate_size,
            num_attention_heads=heads,
            num_hidden_layers=max(1, round(self.num_hidden_layers * depth)),
        )


def option(name: str) -> str:
    """Return the option of a field, as command lines have it."""
    return f"--{name.replace('_', '-')}"


class AnyNumber(Collection):
    """The values of a trait of which its reader knows every one."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float)

    def __iter__(self):
        return iter(())

    def __len__(self) -> int:
        return 0


ANY_NUMBER = AnyNumber()


def refuse_unknown_traits(sizes: EncoderSizes, known: Mapping[str, Collection[object]], reader: str) -> None:
    """Refuse sizes with a trait that their reader, such as an exporter, does not know.

    It would silently get the model wrong.

    A field that the reader does not name must have its default, as encoders had before the field was added.

    Args:
        sizes: sizes of an encoder.
        known: the traits that the reader knows, each with the values that it knows.
        reader: name of the reader in the error, with an article.

    Raises:
        InputError: a trait has an unknown value.
    """
    for field in fields(sizes):
        value = getattr(sizes, field.name)
        handled = known.get(field.name, () if field.default is MISSING else (field.default,))
        if field.name not in NUMBERS and value not in handled:
            written_for = ", ".join(map(repr, handled)) or "models without this option"
            raise InputError(
                f"{option(field.name)} {value}: {reader} would be wrong, as it was written for {written_for}"
            )
