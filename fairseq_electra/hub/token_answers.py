"""What a pre-trained model predicts for the tokens of text: p(replaced), and guesses for ``<mask>``."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch

from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.pieces import Pieces
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, MASK

LINES_AT_ONCE = 256  # sorted by length among themselves
DIGITS = 6  # decimals of the probabilities in answers


class LineAnswers(ABC):
    """Answers to lines of text, in their order.

    Args:
        model: model for pre-training.
        source: name of the text in errors.
        at_once: number of lines that are read before the first is answered.
    """

    def __init__(self, model: ElectraHubInterface, source: str = "text", at_once: int = LINES_AT_ONCE):
        self.model, self.source, self.at_once = model, source, at_once
        self.max_tokens = model.max_length - 2  # beside <s> and </s>
        self.unit = "line"  # what is counted in errors
        self.number_read = self.number_cut = 0
        self.unknown = Unknown()

    def __call__(self, lines: Iterable[str]) -> Iterator[dict]:
        """Answer each line.

        Raises:
            InputError: the model cannot do this, or a line is unusable; names the line.
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
        encodings = self.model.tokenizer.encode_batch(lines, add_special_tokens=False)
        self.unknown.add(self.model.tokenizer, lines, [encoding.ids for encoding in encodings])
        self.number_cut += sum(len(encoding.ids) > self.max_tokens for encoding in encodings)
        rows = [torch.tensor([BOS_ID, *encoding.ids[: self.max_tokens], EOS_ID]) for encoding in encodings]
        for line, encoding, probabilities in zip(
            lines, encodings, self.model.detect_replaced(rows), strict=True
        ):
            # of tokens behind the cut there is none
            each = zip(encoding.tokens, encoding.offsets, probabilities[1:-1].tolist(), strict=False)
            tokens = [
                {
                    "token": self.model.pieces.text(token),
                    "begin": a,
                    "end": b,
                    "p_replaced": round(p, DIGITS),
                }
                for token, (a, b), p in each
            ]
            yield {"text": line, "tokens": tokens}


class Filler(LineAnswers):
    """Guesses for every ``<mask>``, each as if the others stayed masked.

    Yields the line's ``text``, the text ``filled`` with the best guesses, and ``guesses``: for each
    ``<mask>`` a list, the likeliest first, of ``token`` and ``probability``.

    Args:
        model, source, at_once: as for :class:`LineAnswers`.
        topk: guesses for each ``<mask>``.
    """

    def __init__(
        self, model: ElectraHubInterface, source: str = "text", at_once: int = LINES_AT_ONCE, topk: int = 5
    ):
        super().__init__(model, source, at_once)
        self.topk = topk

    def answer(self, lines: list[str]) -> Iterator[dict]:
        """Answer some lines."""
        first = self.number_read - len(lines) + 1
        place = f"{self.source}, {self.unit}"
        rows = [self._row(line, f"{place} {number}") for number, line in enumerate(lines, first)]
        symbols, pieces = self.model.symbols, self.model.pieces
        for line, (probabilities, ids) in zip(lines, self.model.guess_masked(rows, self.topk), strict=True):
            guesses = [
                [
                    {"token": pieces.text(symbols[i]), "probability": round(p, DIGITS)}
                    for i, p in zip(ids_of_mask, values, strict=True)
                ]
                for ids_of_mask, values in zip(ids.tolist(), probabilities.tolist(), strict=True)
            ]
            yield {
                "text": line,
                "filled": "".join(filled(line, [values[0]["token"] for values in guesses], pieces)),
                "guesses": guesses,
            }

    def _row(self, line: str, place: str) -> torch.Tensor:
        """Return the ids of a line, cut behind its last ``<mask>`` if need be. Shape: (T,)."""
        if MASK not in line:
            raise InputError(
                f"{place}: no {MASK} in {line[:80]!r}; write {MASK} where the generator is to guess a token"
            )
        *before, last = line.split(MASK)
        texts = [*map(self.model.pieces.before_mask, before), last]
        parts = [part.ids for part in self.model.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        self.unknown.add(self.model.tokenizer, texts, parts)
        ids = [i for part in parts for i in [*part, self.model.mask]][:-1]
        self.number_cut += len(ids) > self.max_tokens
        if self.model.mask in ids[self.max_tokens :]:
            raise InputError(
                f"{place}: a {MASK} stands behind the {self.max_tokens} tokens that the net reads of a line;"
                " shorten the line"
            )
        return torch.tensor([BOS_ID, *ids[: self.max_tokens], EOS_ID])


def filled(line: str, tokens: list[str], pieces: Pieces) -> list[str]:
    """Put tokens in the places of ``<mask>``.

    Args:
        line: with as many of them.
        tokens: tokens, as :meth:`Pieces.text` returns them.
        pieces: the kind of their vocabulary; tells which blanks a token takes away.

    Returns:
        what joined is the text; every second part is one of the tokens.
    """
    parts = line.split(MASK)
    filled_parts = [parts[0]]
    for token, after in zip(tokens, parts[1:], strict=True):
        filled_parts[-1:] = [*pieces.fill(filled_parts[-1], token), after]
    return filled_parts
