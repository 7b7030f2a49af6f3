"""How much of a text its vocabulary does not know: the share of ``<unk>``, and of characters lost to it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from fairseq_electra.pretraining.wordpiece import UNK_ID

# From this share on there is a warning. A vocabulary leaves out .0001 of the characters of its own text
# (wordpiece.CHARACTER_COVERAGE), and each makes a whole word unknown: about .001 of the characters. Ten times
# as much means another language, another domain or text without blanks between words.
WARNING_SHARE = 0.01
LINES_SAMPLED = 256  # of a batch, whose unknown characters are counted in a second pass
IDS_CHECKED = 1 << 22  # of a binarized text
PREDICTION_REMEDY = (
    "the model cannot tell these words apart; use one whose vocabulary was made from text like this"
)
PRETRAINING_REMEDY = (
    "the model cannot learn from unknown words; make the vocabulary from this text, with "
    "--character-coverage 1 for all of its "
    "characters, and put blanks between words where their script has none (a word of more than 200 "
    "characters is one <unk>)"
)


@dataclass
class Unknown:
    """Counts the text encoded so far that a vocabulary does not know.

    Attributes:
        ids: number of ids, without ``</s>``.
        unknown_ids: number of ids that are ``<unk>``.
        characters: number of characters, without blanks.
        unknown_characters: number of characters behind ``<unk>``, estimated from :data:`LINES_SAMPLED` lines
            of a batch if more of its lines hold ``<unk>``.
    """

    ids: int = 0
    unknown_ids: int = 0
    characters: int = 0
    unknown_characters: float = 0.0

    def add(self, tokenizer: Tokenizer, lines: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """Count a batch of lines and the ids of each."""
        counts = [each.count(UNK_ID) for each in ids]
        unknown = sum(counts)
        self.ids += sum(map(len, ids))
        self.unknown_ids += unknown
        self.characters += sum(len(line) - line.count(" ") for line in lines)
        if unknown:
            with_some = [line for line, count in zip(lines, counts, strict=True) if count]
            self.unknown_characters += unknown * characters_per_unknown(
                tokenizer, with_some[:: -(-len(with_some) // LINES_SAMPLED)]
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

    def warning(self, place: str, remedy: str = PRETRAINING_REMEDY) -> str:
        """Return a warning if much of the text is unknown; else an empty string."""
        high = max(self.share_of_ids, self.share_of_characters) >= WARNING_SHARE
        return f"WARNING: {place}: {self}: {remedy}" if high else ""

    def warn(self, place: str) -> None:
        """Print the warning, if there is one."""
        if warning := self.warning(place):
            print(warning, file=sys.stderr)


def characters_per_unknown(tokenizer: Tokenizer, lines: Sequence[str]) -> float:
    """Return the average number of characters behind each ``<unk>`` of some lines; 0 if there is none."""
    behind = unknown = 0
    # the fast encoder has no offsets
    for encoding in tokenizer.encode_batch(list(lines), add_special_tokens=False):
        for index, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if index == UNK_ID:
                unknown, behind = unknown + 1, behind + end - begin
    return behind / max(unknown, 1)


def unknown_warning(place: str, ids: np.ndarray, line_sizes: np.ndarray) -> str:
    """Return a warning for a binarized text with much ``<unk>``, else empty; as :func:`unknown_shares`."""
    of_ids, of_lines = unknown_shares(ids, line_sizes)
    if max(of_ids, of_lines) < WARNING_SHARE:
        return ""
    unknown, alone = f"{of_ids:.1%} of the ids", f"{of_lines:.1%} of the lines"
    return f"{place}: {unknown} are <unk>, and {alone} are nothing else: {PRETRAINING_REMEDY}"


def unknown_shares(ids: np.ndarray, line_sizes: np.ndarray) -> tuple[float, float]:
    """Return the shares of ``<unk>`` and of lines that are only ``<unk>``: few ids may stand for much text.

    Args:
        ids: the text; only the lines within the first :data:`IDS_CHECKED` ids count. Shape: (number of
            ids,).
        line_sizes: number of ids of each line, ``</s>`` included. Shape: (number of lines,).

    Returns:
        the share of ids without ``</s>``, and the share of lines with text.
    """
    ends = line_sizes[:IDS_CHECKED].cumsum(dtype=np.int64)
    ends = ends[: max(1, int(np.searchsorted(ends, IDS_CHECKED, side="right")))]
    text = line_sizes[: len(ends)] - 1
    unknown = np.add.reduceat((ids[: ends[-1]] == UNK_ID).astype(np.int64), np.append(0, ends[:-1]))
    filled = text > 0
    return float(unknown.sum() / max(text.sum(), 1)), (
        float((unknown == text)[filled].mean()) if filled.any() else 0.0
    )
