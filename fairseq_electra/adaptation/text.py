"""The text of a domain, and the part of it that is held out."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from fairseq_electra.adaptation.new_merges import Word, count_cut_words
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import is_blank
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.prepare import SAMPLE, RunningText
from fairseq_electra.pretraining.wordpiece import count_texts, count_words, draw_lines
from fairseq_electra.speedrun.text import UNIT_CHARACTERS, Text, survey

# millions of characters to learn merges from: words of Chinese are parts of sentences, nearly all distinct
CUT_SAMPLE = 10.0


def check_text(files: Sequence[str]) -> int:
    """Return the number of characters of some files.

    Raises:
        InputError: they hold no text, or one of them cannot be read several times.
    """
    for file in files:
        if not Path(file).is_file():
            raise InputError(
                f"{file} is not a file that can be read several times; give plain, .gz or .xz files"
            )
    lines = RunningText(files).lines()
    characters = sum(len(line) for line in lines if not is_blank(line))
    if not characters:
        raise InputError(f"{' and '.join(map(str, files))}: there is no text; give files with text in them")
    return characters


def check_apart(read: Sequence[str], held_out: Sequence[str]) -> None:
    """Refuse held-out text that is trained on too: its figures would be those of text learnt by heart.

    Raises:
        InputError: a file is among both.
    """
    for file in held_out:
        if any(Path(file).samefile(other) for other in read):
            raise InputError(f"{file} is both trained on and held out; hold out other text")


class HeldOut:
    """Lines that are held out, which old text must not train on.

    Args:
        texts: the held-out texts, each as its lines.

    Attributes:
        left_out: how many lines of other text were left out.
    """

    def __init__(self, *texts: Iterable[str]):
        lines = (line.strip() for line in itertools.chain.from_iterable(texts))
        self._lines = {line for line in lines if not is_blank(line)}
        self.left_out = 0

    def leave_out(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines that are not held out."""
        for line in lines:
            if line.strip() in self._lines:
                self.left_out += 1
            else:
                yield line


class DomainText:
    """Files with text of a domain.

    Args:
        files: the files; the end of a file ends its document.
        valid: files with the held-out text; without them a part of ``files`` is held out.
        unit_characters: in parts of how many characters long documents are held out.

    Raises:
        InputError: a file cannot be read or is among both, or there is too little text.
    """

    def __init__(
        self, files: Sequence[str], valid: Sequence[str] = (), unit_characters: int = UNIT_CHARACTERS
    ):
        self._files = {"train": list(files), "valid": list(valid)}
        self.characters = check_text(files)
        self._divided: Text | None = None
        if valid:
            check_text(valid)
            check_apart(files, valid)
        else:
            self._divided = survey(list(files), unit_characters)

    def lines(self, split: str) -> Iterator[str]:
        """Yield the lines of ``train`` or ``valid``, with blank lines between documents."""
        return (
            RunningText(self._files[split]).lines() if self._divided is None else self._divided.lines(split)
        )

    def words(self, tokenizer: Tokenizer) -> Counter[str]:
        """Count the words of the training text, or of a sample, as BERT's pre-tokenizer cuts it."""
        return count_words(tokenizer, count_texts(self._sample(SAMPLE)))

    def cut_words(self, tokenizer: Tokenizer) -> Counter[Word]:
        """Count the words of the training text, or of a sample, each as the pieces of byte-level BPE."""
        return count_cut_words(tokenizer, pieces_of(tokenizer).texts_of_lines(self._sample(CUT_SAMPLE)))

    def _sample(self, millions: float) -> Iterator[str]:
        """Yield lines of the training text, of about so many millions of characters at the most."""
        return draw_lines(self.lines("train"), millions * 1e6 / self.characters)
