"""Words of plain text, cut as files of tagged words have them."""

import re
from collections.abc import Iterator

from fairseq_electra.finetuning.writing_systems import is_within_character, is_without_blanks

OPENING, CLOSING = """("'[{<«“‘""", """)"']}>»”’.,;:!?…"""
_SIGNS = re.compile(r"([.!?])\1*|.")
_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")  # U.S, a.m
# English; they keep their dot but at the end of a line, which is that of a sentence
_ABBREVIATIONS = re.compile(
    r"Mr|Mrs|Ms|Dr|Prof|Rev|Hon|Gen|Lt|Col|Maj|Sgt|Capt|Cmdr|Gov|Sen|Rep|Pres|St|Mt|Ft|Ave|Blvd|Jr|Sr|Inc|Ltd|Co|Corp|Bros|Dept|Univ"
    r"|Ph\.D|B\.Sc|M\.Sc|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|vs|etc|al|cf|approx"
)


def spans_of_words(line: str) -> list[tuple[int, int]]:
    """Find the words of a line.

    A word is what stands between blanks, with these exceptions, in the manner of CoNLL 2003 and of the usual
    files in other languages:

    - Punctuation at its ends is apart, each sign a word of its own; a run of one of ``.!?`` is one word.
    - A single dot behind initials stays (``U.S.``), and one behind a capital or an English abbreviation if
      another word follows (``J. Smith``, ``Dr. No``).
    - In scripts without blanks between words (Han, kana, Thai, ...) each character is a word, with its
      combining marks; their wide punctuation too.

    Contractions, hyphens and the particles of Korean stay in their words: files differ in them. The time is
    linear in the line, whatever stands there.

    Returns:
        begin and end of each, in characters.
    """
    spans = []
    line_end = len(line.rstrip())
    for match in re.finditer(r"\S+", line):
        for first, end, is_word in _cut_by_script(line, *match.span()):
            spans += [(first, end)] if is_word else _cut_off_punctuation(line, first, end, end == line_end)
    return spans


def _cut_by_script(line: str, first: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Cut into characters of scripts without blanks, which are words, and what lies between them."""
    if line.isascii():
        yield first, end, False
        return
    begin = index = first
    while index < end:
        after = index + 1
        while after < end and is_within_character(line, after):
            after += 1
        if is_without_blanks(line[index]):
            if begin < index:
                yield begin, index, False
            yield index, after, True
            begin = after
        index = after
    if begin < end:
        yield begin, end, False


def _cut_off_punctuation(line: str, first: int, end: int, is_last: bool) -> list[tuple[int, int]]:
    text = line[first:end]
    begin = end - len(text.lstrip(OPENING))
    stop = max(begin, first + len(text.rstrip(CLOSING)))
    if (
        begin < stop < end
        and line[stop] == "."
        and line[stop : stop + 2] != ".."
        and _keeps_dot(line[begin:stop], is_last)
    ):
        stop += 1
    spans = [(i, i + 1) for i in range(first, begin)]
    spans += [(begin, stop)] if begin < stop else []
    return spans + [sign.span() for sign in _SIGNS.finditer(line, stop, end)]


def _keeps_dot(word: str, is_last: bool) -> bool:
    if _INITIALS.fullmatch(word):
        return True
    return not is_last and (_ABBREVIATIONS.fullmatch(word) is not None or (len(word) == 1 and word.isupper()))
