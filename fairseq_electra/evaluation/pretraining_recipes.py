"""How a size is pre-trained in minutes: the rate, the warm-up and the batch that ``fairseq-electra speedrun`` starts from."""

from dataclasses import dataclass, field

from fairseq_electra.modules.sizes import GENERATOR_HIDDEN_SIZE, EncoderSizes, named_sizes

TOKENS = 128  # of a row: as long as GLUE's rows are


@dataclass(frozen=True)
class PretrainingRecipe:
    """What is chosen for a size.

    Args:
        lr: peak learning rate.
        warmup: share of the updates in which the rate rises to it.
        rows: of a batch of :data:`TOKENS` tokens each.
        fewest_rows: a run of few updates makes its batch smaller, down to this.
        net: what is changed in the row of the size table.
    """

    lr: float
    warmup: float
    rows: int
    fewest_rows: int
    net: dict[str, str] = field(default_factory=dict)

    @property
    def net_options(self) -> list[str]:
        """The changes as arguments of ``fairseq-train``."""
        return [word for name, value in self.net.items() for word in (f"--{name.replace('_', '-')}", value)]


# twelve layers of the paper's shape die under a short warm-up: these positions and this LayerNorm survive it
SAFE = {"positions": "rotary", "norm": "deepnorm"}
OF_SIZE = {
    "tiny": PretrainingRecipe(1e-3, 0.05, 32, 16),
    "small": PretrainingRecipe(5e-4, 0.1, 128, 32, SAFE),
    "base": PretrainingRecipe(2e-4, 0.1, 256, 64, SAFE),
}


def networks(size: str) -> tuple[EncoderSizes, EncoderSizes]:
    """Look up the sizes of the discriminator and the generator that a size's recipe trains."""
    discriminator = named_sizes(size, **OF_SIZE[size].net)
    return discriminator, discriminator.generator(GENERATOR_HIDDEN_SIZE[size], 1.0)
