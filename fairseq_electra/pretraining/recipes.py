"""How a size is pre-trained in minutes: the rate, the warm-up and the batch that ``fairseq-electra speedrun`` starts from."""

from dataclasses import dataclass

from fairseq_electra.electra.sizes import GENERATOR_HIDDEN_SIZE, EncoderSizes, safe_sizes

TOKENS = 128  # of a row: as long as GLUE's rows are


@dataclass(frozen=True)
class PretrainingRecipe:
    """What is chosen for a size.

    Args:
        lr: peak learning rate.
        warmup: share of the updates in which the rate rises to it.
        rows: of a batch of :data:`TOKENS` tokens each.
        fewest_rows: a run of few updates makes its batch smaller, down to this.
    """

    lr: float
    warmup: float
    rows: int
    fewest_rows: int


OF_SIZE = {
    "tiny": PretrainingRecipe(1e-3, 0.05, 32, 16),
    "small": PretrainingRecipe(5e-4, 0.1, 128, 32),
    "base": PretrainingRecipe(2e-4, 0.1, 256, 64),
}


def networks(size: str) -> tuple[EncoderSizes, EncoderSizes]:
    """Look up the sizes of the discriminator and the generator that ``--arch`` builds for a size."""
    discriminator = safe_sizes(size)
    return discriminator, discriminator.generator(GENERATOR_HIDDEN_SIZE[size], 1.0)
