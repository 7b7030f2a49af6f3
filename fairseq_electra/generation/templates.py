"""Texts to be completed: a prompt that is continued, nothing at all, or a text with gaps.

``<mask>`` stands for one token, ``<mask*5>`` for five.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from fairseq_electra.errors import InputError, shortened
from fairseq_electra.files.json_values import check_text
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.symbols import SPECIAL_SYMBOL
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID

GAP = re.compile(r"<mask(?:\*([1-9][0-9]{0,4}))?>")


class Template(NamedTuple):
    """The tokens of a row, and which of them are to be generated."""

    ids: tuple[int, ...]  # with <s> and </s>
    is_open: tuple[bool, ...]  # True at <mask>


def check_symbols(text: str, location: str) -> None:
    """Refuse a text with a special symbol that the model does not know.

    Raises:
        InputError: as said.
    """
    if other := SPECIAL_SYMBOL.search(GAP.sub(" ", text)):
        raise InputError(
            f"{location}: {other.group()!r} is no symbol for a gap; write <mask> for one token and <mask*5>"
            " for five, and blanks inside the brackets of what is text"
        )


def read_template(
    model: ElectraHubInterface,
    text: str,
    length: int,
    location: str,
    unknown: Unknown | None = None,
    critic: ElectraHubInterface | None = None,
) -> Template:
    """Turn a text into a row. A text without a gap is continued.

    Args:
        model: the model; cuts the text into tokens.
        text: a prompt, which may be empty, or a text with gaps.
        length: number of tokens that a prompt is continued by.
        location: name of the text in errors.
        unknown: counts the tokens that the vocabulary does not know.
        critic: the model that judges the text; None: none does, or the model itself.

    Raises:
        InputError: the text has an unknown special symbol, or is too long for the model or the critic.
    """
    check_text(text, location)
    check_symbols(text, location)
    gaps = [int(gap.group(1) or 1) for gap in GAP.finditer(text)] or [length]
    parts = _parts(text)
    texts = [*map(model.pieces.before_mask, parts[:-1]), parts[-1]]
    pieces = [each.ids for each in model.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    if unknown is not None:
        unknown.add(model.tokenizer, texts, pieces)
    limits = {"model": model.max_length} | ({} if critic is None else {"critic": critic.max_length})
    reader = min(limits, key=limits.__getitem__)
    if sum(map(len, pieces)) + sum(gaps) + 2 > limits[reader]:
        raise InputError(
            f"{location}: {sum(map(len, pieces)):,} given tokens and {sum(gaps):,} to generate are more than"
            f" the {limits[reader] - 2:,} that the {reader} was trained on; shorten"
            f" {shortened(text)!r} or the gaps, or ask for fewer tokens with --length"
        )
    ids, is_open = [BOS_ID], [False]
    for given, gap in zip(pieces, [*gaps, 0], strict=True):
        ids += [*given, *[model.mask] * gap]
        is_open += [False] * len(given) + [True] * gap
    return Template((*ids, EOS_ID), (*is_open, False))


def _parts(text: str) -> Sequence[str]:
    """Return the texts between gaps; of a text without a gap, all of it, and nothing behind its end."""
    parts, end = [], 0
    for gap in GAP.finditer(text):
        parts.append(text[end : gap.start()])
        end = gap.end()
    return [*parts, text[end:]] if parts else [text, ""]
