"""Text of several languages to learn one vocabulary from, each with its smoothed share."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import is_blank
from fairseq_electra.pretraining.languages import check_alpha, check_language, smoothed_shares
from fairseq_electra.pretraining.prepare import SAMPLE, RunningText, check_sample
from fairseq_electra.pretraining.wordpiece import draw_lines
from fairseq_electra.progress import Progress

# in a vocabulary of several languages
ACCENTS_ARE_KEPT = (
    "accents and other marks are kept: what is an accent in one language is part of a letter in another"
)


def sample_languages(
    texts: Mapping[str, RunningText],
    alpha: float,
    millions: float = SAMPLE,
    seed: int = 1,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Yield lines to learn a vocabulary from, one language after the other.

    In all they are as long as the whole text, or as the sample. A language of which that is more than it has
    is read several times, the last time in part.

    Args:
        texts: the text of each language.
        alpha: exponent of :func:`languages.smoothed_shares`, of the languages' sizes in characters.
        millions: size of the sample in millions of characters; 0 for that of all text.
        seed: random seed of the sample.
        progress: counts the lines read.

    Raises:
        InputError: ``alpha`` is out of range, a language has no text, or a file cannot be read twice; and as
            for :meth:`RunningText.sample`.
    """
    check_alpha(alpha)
    check_sample(millions)
    sizes = {name: _size(name, text, progress) for name, text in texts.items()}
    total = sum(sizes.values())
    drawn = min(millions * 1e6 or total, total)
    shares = smoothed_shares(list(sizes.values()), alpha)
    for share, (name, text) in zip(shares, texts.items(), strict=True):
        characters = max(1, round(share * drawn))
        passes, rest = divmod(characters, sizes[name])
        for _ in range(passes):
            yield from text.sample(0, seed, progress)
        if passes and rest:
            yield from draw_lines(text.sample(0, seed, progress), rest / sizes[name], seed)
        elif rest:
            yield from text.sample(characters / 1e6, seed, progress)


def _size(name: str, text: RunningText, progress: Progress | None) -> int:
    """Return the number of characters of a language's text."""
    check_language(name)
    for path in text.files:
        if not Path(path).is_file():
            raise InputError(
                f"--language {name}: text is read several times, but {path} is no file; give one"
            )
    size = sum(len(line) for line in text.sample(0, progress=progress) if not is_blank(line))
    if not size:
        raise InputError(f"--language {name}: its files hold no text; give files with text in them")
    return size
