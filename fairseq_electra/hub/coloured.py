"""Answers on tokens, coloured for a terminal."""

import itertools
from unicodedata import bidirectional, category

from fairseq_electra.hub.token_answers import filled
from fairseq_electra.pretraining.pieces import Pieces

RESET, GUESS = "\033[0m", "\033[1;32m"
# p(replaced) from here on; escape sequences of ECMA-48, section 8.3.117
SHADES = ((0.75, "\033[41;97m"), (0.5, "\033[43;30m"), (0.25, "\033[33m"))
# embeddings, overrides and isolates, and their ends: Unicode's bidirectional algorithm (UAX 9), table 4
DIRECTION_CONTROLS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
LEGEND = (
    "p(replaced) from " + ", ".join(f"{colour}{least}{RESET}" for least, colour in reversed(SHADES)) + " on"
)


def shaded(answer: dict) -> str:
    """Colour the text of an answer of :class:`fairseq_electra.hub.token_answers.Detector` by p(replaced).

    Several tokens may stand for one character, as where a vocabulary without accents takes a syllable of
    Korean apart: the largest counts.
    """
    text = answer["text"]
    probabilities = [0.0] * len(text)
    for token in answer["tokens"]:
        for index in range(token["begin"], token["end"]):
            probabilities[index] = max(probabilities[index], token["p_replaced"])
    runs = itertools.groupby(zip(text, map(_colour, probabilities), strict=True), key=lambda each: each[1])
    return "".join(_painted("".join(character for character, _ in run), colour) for colour, run in runs)


def _colour(share: float) -> str:
    return next((colour for least, colour in SHADES if share >= least), "")


def guessed(answer: dict, pieces: Pieces) -> str:
    """Show an answer of :class:`fairseq_electra.hub.token_answers.Filler`: text, then guesses by mask.

    Args:
        answer: the answer.
        pieces: the kind of the vocabulary.
    """
    parts = filled(answer["text"], [guesses[0]["token"] for guesses in answer["guesses"]], pieces)
    lines = ["".join(_painted(part, GUESS) if i % 2 else _safe(part) for i, part in enumerate(parts))]
    lines += [
        "  " + "  ".join(f"{_safe(guess['token'])} {guess['probability']:.2f}" for guess in guesses)
        for guesses in answer["guesses"]
    ]
    return "\n".join(lines)


def _painted(text: str, colour: str) -> str:
    return f"{colour}{_safe(text)}{RESET}" if colour else _safe(text)


def _safe(text: str) -> str:
    """Replace the characters that could command the terminal or change the order of what is shown."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _commands(character) else character for character in text)


def _commands(character: str) -> bool:
    controls = category(character) == "Cc" and character != "\t"
    return controls or bidirectional(character) in DIRECTION_CONTROLS
