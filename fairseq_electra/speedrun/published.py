"""Published results and their sources. Scores are on the dev sets of GLUE, in per cent."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from fairseq_electra.electra import flops, paper_flops
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes

BERT_VOCABULARY = 30522
PAPER = "Clark et al. 2020, arXiv 2003.10555, table 1"
README = "google-research/electra README.md, expected results: medians over many seeds"


@dataclass(frozen=True)
class Published:
    """A published model with its scores.

    Args:
        name: The name of the model.
        source: The source of the scores.
        scores: The score on each task, in the metric that the paper reports.
        size: The model size, as in the size table.
        rows: The number of rows of a batch; 0 if the length of the training is not published.
        row_length: The number of tokens of a row.
        updates: The number of updates.
        note: A remark on the model, in full sentences.
    """

    name: str
    source: str
    scores: dict[str, float]
    size: str
    rows: int = 0
    row_length: int = 0
    updates: int = 0
    note: str = ""

    @property
    def tokens(self) -> int:
        """The number of tokens that the model saw, padding included."""
        return self.rows * self.row_length * self.updates

    @property
    def flops(self) -> dict[str, float] | None:
        """The FLOPs of the training, by :func:`training_flops`; None if they are not published."""
        if not self.rows:
            return None
        row = MODEL_SIZES[self.size]
        rows = self.rows * self.updates
        return training_flops(row.encoder, row.generator, BERT_VOCABULARY, self.row_length, rows)


def training_flops(
    discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int, row_length: int, rows: float
) -> dict[str, float]:
    """Count the FLOPs of a pre-training in two conventions, as if all rows were full.

    Args:
        discriminator: The sizes of the discriminator.
        generator: The sizes of the generator.
        num_tokens: V, the size of the vocabulary.
        row_length: The number of tokens of a row.
        rows: The total number of rows.

    Returns:
        ``paper``: as the tables of the paper count; ``products``: matrix products only, where a training step
        counts as three forward passes.
    """
    tokens = rows * row_length
    products = flops.electra_flops(discriminator, generator, num_tokens)
    return {
        "paper": paper_flops.pretraining_flops(discriminator, generator, num_tokens, row_length, rows),
        "products": products.of_step(tokens, tokens * row_length, paper_flops.MASKED_SHARE * tokens),
    }


SMALL = Published(
    "ELECTRA-Small-OWT",
    README,
    {
        "CoLA": 56.8,
        "SST-2": 88.3,
        "MRPC": 87.4,
        "STS-B": 86.8,
        "QQP": 88.3,
        "MNLI": 78.9,
        "QNLI": 87.9,
        "RTE": 68.5,
    },
    "small",
    *(128, 128, 1_000_000),
    note=(
        f"The paper states 1.4e18 FLOPs for the small model trained for this long ({PAPER}); "
        "1.29e18 is the count of its own script, which is used here."
    ),
)
BASE = Published(
    "ELECTRA-Base",
    README,
    {
        "CoLA": 67.7,
        "SST-2": 95.1,
        "MRPC": 89.5,
        "STS-B": 91.2,
        "QQP": 91.5,
        "MNLI": 88.8,
        "QNLI": 93.2,
        "RTE": 82.7,
    },
    "base",
    note="This is the released model, the paper's Base++; the length of its training is not published.",
)


class PublishedMean(NamedTuple):
    """A published mean score on eight tasks (GLUE without WNLI).

    Args:
        name: The model, and the part of its training that was done.
        flops: The FLOPs of that part, as the paper counts them.
        score: The mean score.
    """

    name: str
    flops: float
    score: float


PUBLISHED_MEANS = (
    PublishedMean("ELECTRA-Small, 6.25 % trained", 8.9e16, 74.1),
    PublishedMean("ELECTRA-Small, 12.5 % trained", 1.8e17, 76.0),
    PublishedMean("ELECTRA-Small, 25 % trained", 3.6e17, 77.7),
    PublishedMean("ELECTRA-Small, 50 % trained", 7.1e17, 79.0),
    PublishedMean("ELECTRA-Small", 1.4e18, 79.9),
    PublishedMean("ELECTRA-Base", 6.4e19, 85.1),
)


def nearest_published(size: str) -> Published:
    """Return the published model whose hidden size is nearest, as a ratio, to that of a model size."""
    hidden = MODEL_SIZES[size].encoder.hidden_size
    return min(
        (SMALL, BASE), key=lambda each: abs(math.log(MODEL_SIZES[each.size].encoder.hidden_size / hidden))
    )


def nearest_mean(flops: float) -> PublishedMean:
    """Return the published mean score whose FLOPs are nearest, as a ratio, to the given FLOPs."""
    return min(PUBLISHED_MEANS, key=lambda each: abs(math.log(each.flops / flops)))
