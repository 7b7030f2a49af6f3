"""What a pre-trained model predicts for the tokens of text: p(replaced), and guesses for ``<mask>``."""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch

from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import BOS_ID, CONTINUATION, EOS_ID, MASK

LINES_AT_ONCE = 256  # sorted by length among themselves
DIGITS = 6  # of probabilities


class LineAnswers(ABC):
    """Answers to lines of text, in their order.

    Args:
        net: for pre-training.
        source: names the text in errors.
        at_once: lines that are read before the first is answered.
    """

    def __init__(self, net: ElectraHubInterface, source: str = "text", at_once: int = LINES_AT_ONCE):
        self.net, self.source, self.at_once = net, source, at_once
        self.room = net.longest - 2  # beside <s> and </s>
        self.number_read = self.number_cut = 0
        self.unknown = Unknown()

    def __call__(self, lines: Iterable[str]) -> Iterator[dict]:
        """Answer each line.

        Raises:
            InputError: the net cannot, or a line is not as it must be; names it.
        """
        remaining = iter(lines)
        while batch := list(itertools.islice(remaining, self.at_once)):
            self.number_read += len(batch)
            yield from self.answer(batch)

    @abstractmethod
    def answer(self, lines: list[str]) -> Iterator[dict]:
        """Answer some lines, and count in ``number_cut`` those that were cut.

        The last of them is line ``number_read``.
        """


class Detector(LineAnswers):
    """How likely every token was replaced.

    Yields the line's ``text`` and its ``tokens``: of each ``token``, ``begin`` and ``end`` in the text, in
    characters, and ``p_replaced``.
    """

    def answer(self, lines: list[str]) -> Iterator[dict]:
        """Answer some lines."""
        encodings = self.net.tokenizer.encode_batch(lines, add_special_tokens=False)
        self.unknown.add(self.net.tokenizer, lines, [encoding.ids for encoding in encodings])
        self.number_cut += sum(len(encoding.ids) > self.room for encoding in encodings)
        rows = [torch.tensor([BOS_ID, *encoding.ids[: self.room], EOS_ID]) for encoding in encodings]
        for line, encoding, found in zip(lines, encodings, self.net.detect_replaced(rows), strict=True):
            # of tokens behind the cut there is none
            each = zip(encoding.tokens, encoding.offsets, found[1:-1].tolist(), strict=False)
            tokens = [
                {"token": token, "begin": a, "end": b, "p_replaced": round(p, DIGITS)}
                for token, (a, b), p in each
            ]
            yield {"text": line, "tokens": tokens}


class Filler(LineAnswers):
    """Guesses for every ``<mask>``, each as if the others stayed masked.

    Yields the line's ``text``, the text ``filled`` with the best guesses, and ``guesses``: for each
    ``<mask>`` a list, the likeliest first, of ``token`` and ``probability``.

    Args:
        net, source, at_once: as for :class:`LineAnswers`.
        topk: guesses for each ``<mask>``.
    """

    def __init__(
        self, net: ElectraHubInterface, source: str = "text", at_once: int = LINES_AT_ONCE, topk: int = 5
    ):
        super().__init__(net, source, at_once)
        self.topk = topk

    def answer(self, lines: list[str]) -> Iterator[dict]:
        """Answer some lines."""
        first = self.number_read - len(lines) + 1
        rows = [self._row(line, f"{self.source}, line {number}") for number, line in enumerate(lines, first)]
        symbols = self.net.symbols
        for line, (probabilities, ids) in zip(lines, self.net.guess_masked(rows, self.topk), strict=True):
            guesses = [
                [
                    {"token": symbols[i], "probability": round(p, DIGITS)}
                    for i, p in zip(own_ids, own, strict=True)
                ]
                for own_ids, own in zip(ids.tolist(), probabilities.tolist(), strict=True)
            ]
            yield {
                "text": line,
                "filled": "".join(filled(line, [own[0]["token"] for own in guesses])),
                "guesses": guesses,
            }

    def _row(self, line: str, place: str) -> torch.Tensor:
        """Return the ids of a line, cut behind its last ``<mask>`` if need be. Shape: (T,)."""
        if MASK not in line:
            raise InputError(
                f"{place}: no {MASK} in {line[:80]!r}; write {MASK} where the generator is to guess a token"
            )
        texts = line.split(MASK)
        parts = [part.ids for part in self.net.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        self.unknown.add(self.net.tokenizer, texts, parts)
        ids = [i for part in parts for i in [*part, self.net.mask]][:-1]
        self.number_cut += len(ids) > self.room
        if self.net.mask in ids[self.room :]:
            raise InputError(
                f"{place}: a {MASK} stands behind the {self.room} tokens that the net reads of a line;"
                " shorten the line"
            )
        return torch.tensor([BOS_ID, *ids[: self.room], EOS_ID])


def filled(line: str, tokens: list[str]) -> list[str]:
    """Put tokens in the places of ``<mask>``.

    Args:
        line: with as many of them.
        tokens: one that continues a word takes the blank before it away.

    Returns:
        what joined is the text; every second part is one of the tokens.
    """
    parts = line.split(MASK)
    found = [parts[0]]
    for token, behind in zip(tokens, parts[1:], strict=True):
        if token.startswith(CONTINUATION):
            found[-1] = re.sub(r"\s+$", "", found[-1])
        found += [token.removeprefix(CONTINUATION), behind]
    return found
