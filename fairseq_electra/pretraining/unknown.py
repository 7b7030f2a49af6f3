"""How much of a text its vocabulary does not know: the share of ``<unk>``, and of characters lost to it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from fairseq_electra.pretraining.wordpiece import UNK_ID

# A share that is worth a warning. A vocabulary leaves out .0001 of the characters of its own text
# (wordpiece.CHARACTER_COVERAGE), and each takes a word with it: some .001 of the characters. Ten times as
# much comes of another language, another domain or words without end.
HIGH = 0.01
LINES_LOOKED_AT = 256  # of a batch: their characters are counted, which takes another pass
IDS_LOOKED_AT = 1 << 22  # of a binarized text
PREDICTION_REMEDY = (
    "the network cannot tell these words apart; use one whose vocabulary was made from text like this"
)
REMEDY = (
    "the network cannot learn what stands there; make the vocabulary from this text, with "
    "--character-coverage 1 for all of its "
    "characters, and put blanks between words where their script has none (a word of more than 200 "
    "characters is one <unk>)"
)


@dataclass
class Unknown:
    """What a vocabulary does not know of the texts encoded so far.

    Attributes:
        ids: number of them, without ``</s>``.
        unknown_ids: how many of them are ``<unk>``.
        characters: of the texts, without blanks.
        unknown_characters: how many of them are behind ``<unk>``: all are counted, but in batches with
            ``<unk>`` in many lines, where it is estimated from :data:`LINES_LOOKED_AT` of these.
    """

    ids: int = 0
    unknown_ids: int = 0
    characters: int = 0
    unknown_characters: float = 0.0

    def add(self, tokenizer: Tokenizer, lines: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """Count a batch of lines, and the ids that the tokenizer has made of each."""
        counts = [each.count(UNK_ID) for each in ids]
        unknown = sum(counts)
        self.ids += sum(map(len, ids))
        self.unknown_ids += unknown
        self.characters += sum(len(line) - line.count(" ") for line in lines)
        if unknown:
            with_some = [line for line, count in zip(lines, counts, strict=True) if count]
            self.unknown_characters += unknown * characters_per_unknown(
                tokenizer, with_some[:: -(-len(with_some) // LINES_LOOKED_AT)]
            )

    @property
    def share_of_ids(self) -> float:
        """Share of ``<unk>`` in the ids."""
        return self.unknown_ids / max(self.ids, 1)

    @property
    def share_of_characters(self) -> float:
        """Share of the characters that are behind ``<unk>``."""
        return self.unknown_characters / max(self.characters, 1)

    def __str__(self) -> str:
        ids, characters = f"{self.share_of_ids:.2%}", f"{self.share_of_characters:.2%}"
        return f"{ids} of the ids are <unk>, with {characters} of the characters behind them"

    def warning(self, place: str, remedy: str = REMEDY) -> str:
        """Return a sentence for texts of which much is lost; empty for others."""
        high = max(self.share_of_ids, self.share_of_characters) >= HIGH
        return f"WARNING: {place}: {self}: {remedy}" if high else ""

    def warn(self, place: str) -> None:
        """Print the warning where one is due."""
        if warning := self.warning(place):
            print(warning, file=sys.stderr)


def characters_per_unknown(tokenizer: Tokenizer, lines: Sequence[str]) -> float:
    """Return the average number of characters behind each ``<unk>`` of some lines; 0 if there is none."""
    behind = unknown = 0
    for encoding in tokenizer.encode_batch(
        list(lines), add_special_tokens=False
    ):  # the fast encoder has no offsets
        for index, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if index == UNK_ID:
                unknown, behind = unknown + 1, behind + end - begin
    return behind / max(unknown, 1)


def unknown_warning(place: str, ids: np.ndarray, line_sizes: np.ndarray) -> str:
    """Return a warning for a binarized text with much ``<unk>``, else empty; as :func:`unknown_shares`."""
    of_ids, of_lines = unknown_shares(ids, line_sizes)
    if max(of_ids, of_lines) < HIGH:
        return ""
    ids, lines = f"{of_ids:.1%} of the ids", f"{of_lines:.1%} of the lines"
    return f"{place}: {ids} are <unk>, and {lines} are nothing else: {REMEDY}"


def unknown_shares(ids: np.ndarray, line_sizes: np.ndarray) -> tuple[float, float]:
    """Return the shares of ``<unk>`` and of lines that are only ``<unk>``: few ids may stand for much text.

    Args:
        ids: the text; only the lines within the first :data:`IDS_LOOKED_AT` are looked at. Shape: (number of
            ids,).
        line_sizes: ids of each line, ``</s>`` counted. Shape: (number of lines,).

    Returns:
        share of the ids but ``</s>``, and of the lines with text.
    """
    ends = line_sizes[:IDS_LOOKED_AT].cumsum(dtype=np.int64)
    ends = ends[: max(1, int(np.searchsorted(ends, IDS_LOOKED_AT, side="right")))]
    text = line_sizes[: len(ends)] - 1
    unknown = np.add.reduceat((ids[: ends[-1]] == UNK_ID).astype(np.int64), np.append(0, ends[:-1]))
    filled = text > 0
    return float(unknown.sum() / max(text.sum(), 1)), float(
        (unknown == text)[filled].mean()
    ) if filled.any() else 0.0
