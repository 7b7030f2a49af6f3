"""Draw the figures of the documentation as SVG, each from data that stands here or in the code.

python -m docs.make.figures      # writes docs/figures/*.svg
"""

from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from docs.make.costs import VOCABULARY, networks
from fairseq_electra.electra import flops
from fairseq_electra.electra.size_table import MODEL_SIZES

FOLDER = Path(__file__).parents[1] / "figures"
FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
INK, SOFT, GENERATOR, DISCRIMINATOR, HEAD = "#37474f", "#cfd8dc", "#ffb74d", "#4f8cc9", "#90a4ae"
SHARE_MASKED = 0.15


class Column(NamedTuple):
    """A token on its way through a step of pre-training; empty cells repeat the one above."""

    original: str
    masked: str
    sampled: str
    label: str


# the example of Clark et al. 2020, figure 2, in the words of this package
EXAMPLE = (
    Column("the", "<mask>", "the", "original"),
    Column("chef", "", "", "original"),
    Column("cooked", "<mask>", "ate", "replaced"),
    Column("the", "", "", "original"),
    Column("meal", "", "", "original"),
)


def text(
    x: float,
    y: float,
    words: str,
    size: int = 15,
    anchor: str = "middle",
    weight: str = "normal",
    colour: str = INK,
) -> str:
    """Write text; y is its base line."""
    style = f"font-size='{size}' text-anchor='{anchor}' font-weight='{weight}' fill='{colour}'"
    return f"<text x='{x:g}' y='{y:g}' {FONT} {style}>{escape(words)}</text>"


def box(x: float, y: float, width: float, height: float, colour: str, radius: float = 6) -> str:
    """Draw a filled rectangle."""
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='{radius:g}' fill='{colour}'/>"
    )


def arrow(x: float, y: float, length: float) -> str:
    """Draw an arrow to the right."""
    end = x + length
    return (
        f"<line x1='{x:g}' y1='{y:g}' x2='{end - 6:g}' y2='{y:g}' stroke='{INK}' stroke-width='1.5'/>"
        f"<path d='M{end:g} {y:g} l-8 -4 v8 z' fill='{INK}'/>"
    )


def drawing(width: int, height: int, parts: list[str], title: str) -> str:
    """Put the parts of a picture together, on white, so that it can be read on any page."""
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img'"
        f" aria-label='{escape(title)}'>"
    )
    return (
        "\n".join(
            [
                head,
                f"<title>{escape(title)}</title>",
                box(0, 0, width, height, "#ffffff", 0),
                *parts,
                "</svg>",
            ]
        )
        + "\n"
    )


def one_step() -> str:
    """Draw a step of pre-training, a row for each token and a column for each stage."""
    lefts, top, line = (30, 150, 420, 690), 92, 44
    parts = [
        text(left + 45, 40, name, weight="bold")
        for left, name in zip(lefts, ("text", "masked", "corrupted", "label"), strict=True)
    ]
    parts += [
        text(left + 45, 60, name, 12)
        for left, name in zip(lefts[1:3], ("src_tokens", "corrupted_tokens"), strict=True)
    ]
    parts.append(text(lefts[3] + 45, 60, "is_replaced", 12))
    height = line * len(EXAMPLE)
    for x, name, under, colour in (
        (285, "generator", "guesses masked tokens", GENERATOR),
        (555, "discriminator", "judges all tokens", DISCRIMINATOR),
    ):
        parts += [
            box(x - 5, top - 14, 100, height, colour),
            text(x + 45, top + height / 2 - 14, name, 12, weight="bold"),
        ]
        parts.append(text(x + 45, top + height + 12, under, 12))
    for row, token in enumerate(EXAMPLE):
        y = top + row * line
        masked, sampled = token.masked or token.original, token.sampled or token.original
        for left, word, marked in (
            (lefts[0], token.original, False),
            (lefts[1], masked, bool(token.masked)),
            (lefts[2], sampled, bool(token.sampled)),
        ):
            parts += [box(left, y - 8, 90, 30, GENERATOR if marked else SOFT), text(left + 45, y + 12, word)]
        replaced = token.label == "replaced"
        parts += [box(lefts[3], y - 8, 90, 30, DISCRIMINATOR if replaced else SOFT)]
        parts.append(text(lefts[3] + 45, y + 12, token.label, 14, weight="bold" if replaced else "normal"))
        parts += [arrow(122, y + 7, 26), arrow(512, y + 7, 36), arrow(652, y + 7, 36)]
        if token.masked:
            parts += [arrow(242, y + 7, 36), arrow(382, y + 7, 36)]
    return drawing(810, top + height + 34, parts, "One step of replaced-token detection")


def share_of_compute() -> str:
    """Draw which part of a step's matrix products each network takes, for rows of 128 tokens."""
    parts = [
        text(20, 30, "share of a training step's matrix products, rows of 128 tokens", 15, "start", "bold")
    ]
    left, width = 110, 560
    for row, size in enumerate(MODEL_SIZES):
        y = 50 + 44 * row
        shares = compute_shares(size)
        parts.append(text(left - 12, y + 20, size, 14, "end"))
        x = float(left)
        for share, colour in zip(shares, (GENERATOR, HEAD, DISCRIMINATOR), strict=True):
            parts.append(box(x, y, share * width, 28, colour, 0))
            if share > 0.06:
                parts.append(text(x + share * width / 2, y + 19, f"{share:.0%}", 13))
            x += share * width
    y = 50 + 44 * len(MODEL_SIZES) + 8
    names = ("generator", "its scores of all pieces, at masked tokens", "discriminator")
    for x, name, colour in zip((110, 230, 540), names, (GENERATOR, HEAD, DISCRIMINATOR), strict=True):
        parts += [box(x, y, 14, 14, colour, 2), text(x + 20, y + 12, name, 13, "start")]
    return drawing(700, y + 30, parts, "Share of a step's matrix products")


def compute_shares(size: str, width: int = 128) -> tuple[float, float, float]:
    """Return the shares of the generator's encoder, its head, and the discriminator; they add up to 1."""
    discriminator, generator = networks(size)

    def products(counts: flops.Flops) -> float:
        local_pairs = flops.pairs_within(discriminator.local_window, np.array(width)) / width
        return counts.of_step(1.0, float(width), SHARE_MASKED, float(local_pairs))

    whole = products(flops.electra_flops(discriminator, generator, VOCABULARY))
    alone = products(flops.masked_lm_flops(generator, VOCABULARY))
    encoder = products(flops.encoder_flops(generator))
    return encoder / whole, (alone - encoder) / whole, (whole - alone) / whole


FIGURES = {"one_step": one_step, "share_of_compute": share_of_compute}

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")
