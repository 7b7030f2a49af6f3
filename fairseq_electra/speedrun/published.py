"""Published results to set a speedrun beside, each with its source. Scores are of GLUE's dev sets, in per cent."""

import math
from dataclasses import dataclass

from fairseq_electra.electra import flops, paper_flops
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes

BERT_VOCABULARY = 30522
PAPER = "Clark et al. 2020, arXiv 2003.10555, table 1"
README = "google-research/electra README.md, expected results: medians over many seeds"


@dataclass(frozen=True)
class Published:
    """A network that was published with its scores on each task.

    Args:
        name: of it.
        source: of the scores.
        scores: by task, in the metric that the paper reports.
        size: row of the size table.
        rows: of a batch; 0: how long it was trained is not published.
        width: tokens of a row.
        updates: in all.
        note: what else to know.
    """

    name: str
    source: str
    scores: dict[str, float]
    size: str
    rows: int = 0
    width: int = 0
    updates: int = 0
    note: str = ""

    @property
    def tokens(self) -> int:
        """Tokens that it saw, padding among them."""
        return self.rows * self.width * self.updates

    @property
    def flops(self) -> dict[str, float] | None:
        """Its FLOPs, as :func:`flops_of` gives them; None: not published."""
        if not self.rows:
            return None
        row = MODEL_SIZES[self.size]
        return flops_of(row.encoder, row.generator, BERT_VOCABULARY, self.width, self.rows * self.updates)


def flops_of(
    discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int, width: int, rows: float
) -> dict[str, float]:
    """Count a pre-training in both conventions, every row as full.

    Args:
        discriminator: its sizes.
        generator: its sizes.
        num_tokens: V.
        width: tokens of a row.
        rows: seen in all.

    Returns:
        ``paper``, as its tables count, and ``products``: matrix products alone, a step as three forward passes.
    """
    tokens = rows * width
    products = flops.electra_flops(discriminator, generator, num_tokens)
    return {
        "paper": paper_flops.pretraining_flops(discriminator, generator, num_tokens, width, rows),
        "products": products.of_step(tokens, tokens * width, paper_flops.GENERATED * tokens),
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
    note=f"The paper gives the small model of this length 1.4e18 FLOPs ({PAPER}); its own script, whose count this is, 1.29e18.",
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
    note="This is the released model, the paper's Base++; how long it was trained is not published.",
)
# mean of eight tasks (GLUE without WNLI), by FLOPs as the paper counts them: of the small model when a part of its training was done
AVERAGES = (
    ("ELECTRA-Small, 6.25 % trained", 8.9e16, 74.1),
    ("ELECTRA-Small, 12.5 % trained", 1.8e17, 76.0),
    ("ELECTRA-Small, 25 % trained", 3.6e17, 77.7),
    ("ELECTRA-Small, 50 % trained", 7.1e17, 79.0),
    ("ELECTRA-Small", 1.4e18, 79.9),
    ("ELECTRA-Base", 6.4e19, 85.1),
)


def nearest_published(size: str) -> Published:
    """Find the published network whose hidden size is nearest, by their ratio, to that of a size."""
    hidden = MODEL_SIZES[size].encoder.hidden_size
    return min(
        (SMALL, BASE), key=lambda each: abs(math.log(MODEL_SIZES[each.size].encoder.hidden_size / hidden))
    )


def nearest_average(count: float) -> tuple[str, float, float]:
    """Find the published mean whose FLOPs are nearest, by their ratio; returns name, FLOPs, mean."""
    return min(AVERAGES, key=lambda entry: abs(math.log(entry[1] / count)))
