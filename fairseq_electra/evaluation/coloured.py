"""Answers on tokens, coloured for a terminal."""

from fairseq_electra.evaluation.token_answers import filled

RESET, GUESS = "\033[0m", "\033[1;32m"
# p(replaced) from here on; escape sequences of ECMA-48, section 8.3.117
SHADES = ((0.75, "\033[41;97m"), (0.5, "\033[43;30m"), (0.25, "\033[33m"))
LEGEND = "p(replaced) from " + ", ".join(f"{colour}{least}{RESET}" for least, colour in reversed(SHADES)) + " on"


def shaded(answer: dict) -> str:
    """Colour the text of an answer of :class:`fairseq_electra.evaluation.token_answers.Detector` by p(replaced)."""
    text, parts, before = answer["text"], [], 0
    for token in answer["tokens"]:
        colour = next((colour for least, colour in SHADES if token["p_replaced"] >= least), "")
        parts += [_safe(text[before : token["begin"]]), _painted(text[token["begin"] : token["end"]], colour)]
        before = token["end"]
    return "".join(parts) + _safe(text[before:])


def guessed(answer: dict) -> str:
    """Show an answer of :class:`fairseq_electra.evaluation.token_answers.Filler`: the text, and below it the guesses for each mask."""
    parts = filled(answer["text"], [own[0]["token"] for own in answer["guesses"]])
    lines = ["".join(_painted(part, GUESS) if i % 2 else _safe(part) for i, part in enumerate(parts))]
    lines += ["  " + "  ".join(f"{guess['token']} {guess['probability']:.2f}" for guess in own) for own in answer["guesses"]]
    return "\n".join(lines)


def _painted(text: str, colour: str) -> str:
    return f"{colour}{_safe(text)}{RESET}" if colour else _safe(text)


def _safe(text: str) -> str:
    """Take away the characters by which a text could command the terminal."""
    return "".join(character if character.isprintable() or character == "\t" else "\N{REPLACEMENT CHARACTER}" for character in text)
