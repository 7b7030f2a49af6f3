"""The table of model sizes: one row holds everything that depends on a size.

``--arch electra_NAME``, the recipes of pre-training and fine-tuning, the choices of ``--size`` and the
messages that list the sizes read the table. CONTRIBUTING.md says what a new size needs besides its row.

Sources of small, base and large: Clark et al. 2020, tables 6 and 7; google-research/electra
configure_pretraining.py, configure_finetuning.py and util/training_utils.py. Tiny is ours, for a laptop: at
its size, models with learned positions stay at the unigram level for 10 M tokens and more, while models with
rotary positions leave it within 1 M; it is too small to overfit.

The modern sizes have the layers of ModernBERT (Warner et al. 2024, arXiv 2412.13663; transformers
configuration_modernbert.py): base has the shape of ModernBERT-base, small that of Ettin's encoder of 17 M
parameters (Weller et al. 2025, arXiv 2507.11412), tiny about as many parameters in its layers as the other
tiny. Their generators are as wide as the discriminator, since transformers' class has no projection behind
the embeddings, and have a third of its layers. No rate and no generator of theirs was tuned: the recipes are
those of the size of the same name.
"""

from dataclasses import dataclass, fields, replace

from fairseq_electra.electra.sizes import NUMBERS, EncoderSizes
from fairseq_electra.errors import InputError

ARCH_POSITIONS = "rotary"  # of every --arch


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """The recipe of a whole pre-training.

    Args:
        tokens: length of the longest row in tokens.
        mask_prob: share of the tokens that are masked.
        batch: number of rows in an update.
        rows_at_once: number of rows that one GPU computes at a time.
        lr: peak learning rate.
        warmup: number of updates in which the learning rate rises to its peak.
        updates: number of updates in all.
        save_every: number of updates between two checkpoints, and between two validations.
    """

    tokens: int
    mask_prob: float = 0.15
    batch: int
    rows_at_once: int
    lr: float
    warmup: int = 10_000
    updates: int
    save_every: int = 10_000


@dataclass(frozen=True, kw_only=True)
class ShortRun:
    """Changes to the recipes for a pre-training of minutes (``fairseq-electra speedrun``).

    Args:
        device: ``cpu`` or ``cuda``: the smallest device that suits this size.
        warmup: share of the updates in which the learning rate rises to its peak.
        fewest_rows: smallest batch in rows; a run of few updates makes its batch smaller, down to this.
        most_pieces: size of the largest vocabulary that suits the size.
        pooling: what the fine-tuned head reads, ``first`` or ``mean``; the mean helps a model that has read
            little text.
    """

    device: str
    warmup: float = 0.1
    fewest_rows: int
    most_pieces: int = 30522
    pooling: str = "first"


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """The recipe of fine-tuning.

    Args:
        lr: peak learning rate.
        layer_decay: learning rate of each layer as a share of the one above.
        rates: learning rates to choose from: that of the recipe, one below it and two above, each about three
            times the one before.
    """

    lr: float
    layer_decay: float = 0.8
    rates: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """One row of the table.

    Args:
        encoder: sizes of the original's discriminator; defaults of checkpoints and YAML files.
        generator_share: hidden size of the generator as a share of the discriminator's.
        generator_layers: number of layers of the generator as a share of the discriminator's.
        generator_inner: feed-forward size of the generator as a multiple of its hidden size.
        arch_norm: ``--norm`` that ``--arch`` on a command line stands for: the one that trained safely in
            short runs (examples/stability/README.md). Four layers need no scaling.
        pretraining: the recipe of a whole pre-training.
        short_run: changes for a pre-training of minutes; None: not tried, so ``speedrun`` does not choose it.
        finetuning: the recipe of fine-tuning.
    """

    encoder: EncoderSizes
    generator_share: float
    generator_layers: float = 1.0
    generator_inner: float = 4.0
    arch_norm: str = "scaled"
    pretraining: Pretraining
    short_run: ShortRun | None = None
    finetuning: Finetuning

    @property
    def generator(self) -> EncoderSizes:
        """Sizes of the original's generator."""
        return self.generator_of(self.encoder)

    def generator_of(self, discriminator: EncoderSizes) -> EncoderSizes:
        """Return the sizes of the generator beside a discriminator of this row."""
        return discriminator.generator(
            self.generator_share, self.generator_layers, inner=self.generator_inner
        )

    @property
    def arch_traits(self) -> dict[str, str | float | bool]:
        """Options that ``--arch`` on a command line stands for, beside the size."""
        others = {
            field.name: getattr(self.encoder, field.name)
            for field in fields(self.encoder)
            if field.name not in NUMBERS and getattr(self.encoder, field.name) != field.default
        }
        return others | {"positions": ARCH_POSITIONS, "norm": self.arch_norm}

    @property
    def arch_encoder(self) -> EncoderSizes:
        """Sizes of the discriminator that ``--arch`` on a command line stands for."""
        return replace(self.encoder, positions=ARCH_POSITIONS, norm=self.arch_norm)


def modern(hidden: int, inner: int, layers: int, heads: int, dropout: float = 0.1) -> EncoderSizes:
    """Return the sizes of an encoder with the layers of ModernBERT."""
    return EncoderSizes(
        *(hidden, hidden, inner, layers, heads),
        positions="rotary",
        dropout=dropout,
        attention_dropout=0.0,
        norm="pre_but_first",
        norm_kind="layernorm_without_bias",
        feed_forward="geglu",
        no_linear_bias=True,
        rotary_base=160000.0,
        local_window=128,
        dropout_at="attention_output",
        norm_eps=1e-5,
        no_segments=True,
        normed_head=True,
    )


# those of ModernBERT's layers behind the others, the smallest first
MODEL_SIZES = {
    "tiny": ModelSize(
        encoder=EncoderSizes(128, 128, 512, 4, 2, positions="rotary", dropout=0.0, attention_dropout=0.0),
        generator_share=1 / 2,
        arch_norm="post",
        pretraining=Pretraining(
            tokens=128, batch=32, rows_at_once=32, lr=1e-3, warmup=1000, updates=28_000, save_every=2000
        ),
        short_run=ShortRun(device="cpu", warmup=0.05, fewest_rows=16, most_pieces=8192, pooling="mean"),
        finetuning=Finetuning(lr=3e-4, rates=(1e-4, 3e-4, 1e-3, 3e-3)),
    ),
    "small": ModelSize(
        encoder=EncoderSizes(128, 256, 1024, 12, 4),
        generator_share=1 / 4,
        pretraining=Pretraining(tokens=128, batch=128, rows_at_once=128, lr=5e-4, updates=1_000_000),
        short_run=ShortRun(device="cuda", fewest_rows=32),
        finetuning=Finetuning(lr=3e-4, rates=(1e-4, 3e-4, 1e-3, 3e-3)),
    ),
    "base": ModelSize(
        encoder=EncoderSizes(768, 768, 3072, 12, 12),
        generator_share=1 / 3,
        pretraining=Pretraining(tokens=512, batch=256, rows_at_once=32, lr=2e-4, updates=766_000),
        short_run=ShortRun(device="cuda", fewest_rows=64),
        finetuning=Finetuning(lr=1e-4, rates=(3e-5, 1e-4, 3e-4, 1e-3)),
    ),
    "large": ModelSize(
        encoder=EncoderSizes(1024, 1024, 4096, 24, 16),
        generator_share=1 / 4,
        pretraining=Pretraining(
            tokens=512, mask_prob=0.25, batch=2048, rows_at_once=16, lr=2e-4, updates=400_000
        ),
        finetuning=Finetuning(lr=5e-5, layer_decay=0.9, rates=(2e-5, 5e-5, 2e-4, 5e-4)),
    ),
    "modern_tiny": ModelSize(
        encoder=modern(128, 344, 4, 2, dropout=0.0),
        generator_share=1.0,
        generator_layers=1 / 3,
        generator_inner=344 / 128,
        arch_norm="pre_but_first",
        pretraining=Pretraining(
            tokens=128, batch=32, rows_at_once=32, lr=1e-3, warmup=1000, updates=28_000, save_every=2000
        ),
        finetuning=Finetuning(lr=3e-4, rates=(1e-4, 3e-4, 1e-3, 3e-3)),
    ),
    "modern_small": ModelSize(
        encoder=modern(256, 384, 7, 4),
        generator_share=1.0,
        generator_layers=1 / 3,
        generator_inner=1.5,
        arch_norm="pre_but_first",
        pretraining=Pretraining(tokens=128, batch=128, rows_at_once=128, lr=5e-4, updates=1_000_000),
        finetuning=Finetuning(lr=3e-4, rates=(1e-4, 3e-4, 1e-3, 3e-3)),
    ),
    "modern_base": ModelSize(
        encoder=modern(768, 1152, 22, 12),
        generator_share=1.0,
        generator_layers=1 / 3,
        generator_inner=1.5,
        arch_norm="pre_but_first",
        pretraining=Pretraining(tokens=512, batch=256, rows_at_once=32, lr=2e-4, updates=766_000),
        finetuning=Finetuning(lr=1e-4, rates=(3e-5, 1e-4, 3e-4, 1e-3)),
    ),
}


def arch_names() -> str:
    """List the names of ``--arch`` for pre-training, for messages."""
    return ", ".join(f"electra_{size}" for size in MODEL_SIZES)


def named_sizes(model_size: str | None, **changes: int | float | str | None) -> EncoderSizes:
    """Look up the encoder of a size, and change the fields that are given.

    Args:
        model_size: name of a row of the table.
        changes: fields of :class:`EncoderSizes`; None keeps the table's value, and so does False: the option
            of such a field can switch it on only.

    Raises:
        InputError: no such size exists.
    """
    if model_size not in MODEL_SIZES:
        raise InputError(
            f"no model size {model_size!r}; choose an --arch of {arch_names()} (hydra:"
            " model.model_size=small)"
        )
    given = {name: value for name, value in changes.items() if value is not None and value is not False}
    return replace(MODEL_SIZES[model_size].encoder, **given)  # type: ignore[arg-type]
