"""WordPiece with the ``tokenizers`` library: train, save and load vocabularies for fairseq.

All ids are fairseq's: ``<s>`` (as [CLS]) 0, ``<pad>`` 1, ``</s>`` (as [SEP]) 2, ``<unk>`` 3, then the pieces
of text, and ``<mask>`` last. ``tokenizer.json`` and ``dict.txt`` have the same ids.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import MAX_PART_BYTES, Reader, atomic_write, read_text
from fairseq_electra.pretraining.accents import count_marks
from fairseq_electra.progress import Progress

BOS, PAD, EOS, UNK, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
LEADING = (BOS, PAD, EOS, UNK)  # fairseq's Dictionary puts these at 0..3 by itself
BOS_ID, PAD_ID, EOS_ID, UNK_ID = range(len(LEADING))
CONTINUATION = "##"
TOKENIZER_FILE, DICTIONARY_FILE = "tokenizer.json", "dict.txt"
CHARACTER_COVERAGE = 0.9999
WORDS_IN_A_TEXT, TEXTS_AT_ONCE = 4096, 512
MAX_CHARACTERS_PER_WORD = (
    200  # longer words become <unk>, as in google-research/electra model/tokenization.py
)


def train_wordpiece(
    lines: Iterable[str],
    size: int,
    *,
    cased: bool = False,
    keep_accents: bool = False,
    min_frequency: int = 2,
    character_coverage: float = CHARACTER_COVERAGE,
    say: Callable[[str], object] = lambda line: None,
    progress: Progress | None = None,
) -> Tokenizer:
    """Train a WordPiece vocabulary.

    Args:
        lines: text of any size; its distinct words are held in memory.
        size: number of ids, the five special symbols included.
        cased: keep upper case.
        keep_accents: keep accents (always if cased, or if the script of the text needs its marks:
            :mod:`fairseq_electra.pretraining.accents`).
        min_frequency: smallest count of a pair of pieces that is merged.
        character_coverage: share of the text; the most frequent characters that make it up get pieces of
            their own, and a word with another character is ``<unk>``. Without a bound, a quarter of 16,000
            entries went to characters that are rare in English Wikipedia.
        say: receives a sentence on the treatment of accents.
        progress: told of the stages that follow the reading.

    Raises:
        InputError: the text is empty, or ``size`` is too small for its distinct characters.

    Source: google-research/electra README (BERT's uncased vocabulary: lower case, accents stripped, CJK
        characters apart).
    """
    progress = progress or Progress()
    tokenizer = Tokenizer(_model())
    texts = count_texts(lines)
    progress.stage("counting words")
    keep_accents = cased or keep_accents or _needs_marks(texts, say)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased, strip_accents=not keep_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION)
    words = count_words(tokenizer, texts)
    alphabet = frequent_characters(words, character_coverage)
    # The library numbers continuing characters in the order of a randomly seeded hash table, and breaks ties
    # by number. Listing them first, as special symbols, makes the result repeatable; below they become
    # ordinary entries again.
    continuing = [CONTINUATION + c for c in sorted(alphabet) if _continues_words(tokenizer, c)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size - 1,  # <mask> comes last
        min_frequency=min_frequency,
        special_tokens=[*LEADING, *continuing],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    by_words = Tokenizer(_model())
    by_words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    progress.stage("learning pieces")
    by_words.train_from_iterator(_repeated(words), trainer)
    pieces = symbols_of(by_words)
    if len(pieces) <= len(LEADING):
        raise InputError("the text holds no word to learn a vocabulary from; give files with text in them")
    if len(pieces) > size - 1:
        raise InputError(
            f"a vocabulary of {size} has no room for the {len(pieces) - len(LEADING):,} pieces of one "
            "character "
            f"in this text; give --size {2 * len(pieces)} or more, or a lower --character-coverage"
        )
    vocabulary = {piece: index for index, piece in enumerate([*pieces, MASK])}
    finished = Tokenizer(_model(vocab=vocabulary))
    finished.normalizer, finished.pre_tokenizer, finished.decoder = (
        tokenizer.normalizer,
        tokenizer.pre_tokenizer,
        tokenizer.decoder,
    )
    finished.add_special_tokens([*LEADING, MASK])
    finished.encode_special_tokens = True
    return finished


def symbols_of(tokenizer: Tokenizer) -> list[str]:
    """Return all entries of the vocabulary in the order of their ids."""
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _model(**vocabulary: dict[str, int]) -> models.WordPiece:
    return models.WordPiece(
        **vocabulary,
        unk_token=UNK,
        max_input_chars_per_word=MAX_CHARACTERS_PER_WORD,
        continuing_subword_prefix=CONTINUATION,
    )


def count_texts(lines: Iterable[str]) -> Counter[str]:
    """Count the texts between blanks."""
    texts: Counter[str] = Counter()
    for line in lines:
        texts.update(line.split(" "))
    return texts


def _needs_marks(texts: Counter[str], say: Callable[[str], object]) -> bool:
    """Tell whether the script of a text needs its marks, and report what happens to them."""
    marks = count_marks(texts)
    if marks.are_letters:
        say(
            f"accents and other marks are kept, as the script needs them: stripping them would change {marks}"
        )
    elif marks.accents + marks.signs:
        say(f"accents are stripped, as in the original, which changes {marks}; --keep-accents keeps them")
    return marks.are_letters


def count_words(tokenizer: Tokenizer, texts: Counter[str]) -> Counter[str]:
    """Count the words that BERT's pre-tokenizer, and its normalizer if there is one, make of a text.

    Neither looks across a blank, so each distinct text between blanks is normalized once. The library would
    do it for every occurrence, and its whole training would take half as long again.
    """
    words: Counter[str] = Counter()
    normalize = tokenizer.normalizer.normalize_str if tokenizer.normalizer is not None else str
    for text, count in texts.items():
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalize(text)):
            words[word] += count
    return words


def _repeated(words: Counter[str]) -> Iterator[list[str]]:
    """Yield each word as often as it was counted, many words in one text: the library takes no counts."""
    texts: list[str] = []
    for word, count in words.items():
        for first in range(0, count, WORDS_IN_A_TEXT):
            texts.append(f"{word} " * min(WORDS_IN_A_TEXT, count - first))
            if len(texts) == TEXTS_AT_ONCE:
                yield texts
                texts = []
    yield texts


def frequent_characters(words: Counter[str], coverage: float) -> list[str]:
    """Return the most frequent characters that make up a share of a text, and all of its ASCII characters.

    Args:
        words: normalized words of the text, and the count of each.
        coverage: share of the text to make up; 1 for all characters.

    Source: sentencepiece's ``--character_coverage``.
    """
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    behind = itertools.accumulate(counts[character] for character in ranked)
    enough = coverage * counts.total()
    return [c for c, total in zip(ranked, behind, strict=True) if total - counts[c] < enough or c.isascii()]


def _continues_words(tokenizer: Tokenizer, character: str) -> bool:
    """Tell whether a character can stand inside a word, unlike punctuation and CJK characters."""
    text = tokenizer.normalizer.normalize_str(f"a{character}a")
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(text)) == 1


def sample_lines(
    paths: Sequence[str | Path],
    max_characters: int,
    seed: int = 1,
    read: Reader = read_text,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Yield all lines of the files, or a random sample of every file, in order, of ``max_characters`` in all.

    A line longer than a twentieth of the sample is drawn in parts, so that a part of it is sampled, not all
    or nothing.

    Args:
        paths: text files.
        max_characters: number of characters to yield, within about one per cent; 0 for the whole text.
        seed: random seed.
        read: the function that reads a file.
        progress: counts the lines read.
    """
    progress = progress or Progress()
    if not max_characters:
        yield from progress.over(
            (line for path in paths for line in read(path, MAX_PART_BYTES)), "reading the text", "lines"
        )
        return
    for path in paths:
        if not Path(path).is_file() and (str(path) == "-" or Path(path).exists()):
            raise InputError(
                f"a sample needs files that can be read twice, and {path} is not one; give a file, or take"
                " all with --sample 0"
            )
    whole = (line for path in paths for line in read(path, MAX_PART_BYTES))
    total = sum(map(len, progress.over(whole, "counting the text's characters", "lines")))
    longest = (
        MAX_PART_BYTES if total <= max_characters else min(MAX_PART_BYTES, max(64, max_characters // 20))
    )
    lines = progress.over(
        (line for path in paths for line in read(path, longest)), "drawing lines of the text", "lines"
    )
    drawn = False
    for line in draw_lines(lines, max_characters / max(total, 1), seed):
        drawn = drawn or bool(line)
        yield line
    if total and not drawn:
        raise InputError(
            f"a sample of {max_characters:,} of the text's {total:,} characters holds no line; give a larger"
            " --sample"
        )


def draw_lines(lines: Iterable[str], share: float, seed: int = 1) -> Iterator[str]:
    """Yield about this share of the lines, in order; all lines if it is 1 or more."""
    rng = random.Random(seed)
    for line in lines:
        if share >= 1 or rng.random() < share:
            yield line


def save_vocabulary(tokenizer: Tokenizer, folder: str | Path) -> None:
    """Write ``tokenizer.json`` and ``dict.txt``: a line ``ENTRY 1`` for each but the first four."""
    pieces = symbols_of(tokenizer)
    if tuple(pieces[: len(LEADING)]) != LEADING or pieces[-1] != MASK:
        raise InputError(f"a vocabulary must start with {' '.join(LEADING)} and end with {MASK}")
    folder = Path(folder)
    write_entries(folder / DICTIONARY_FILE, pieces[len(LEADING) :])
    with atomic_write(folder / TOKENIZER_FILE) as stream:
        stream.write(tokenizer.to_str(pretty=True) + "\n")


def write_entries(path: str | Path, entries: Sequence[str]) -> None:
    """Write a ``dict.txt``: tokens or labels, one per line, each with a count of 1.

    Raises:
        InputError: an entry holds a line end, where fairseq would split it.
    """
    broken = [entry for entry in entries if "\n" in entry or "\r" in entry]
    if broken:
        raise InputError(
            f"{Path(path).name} has one entry per line, and {broken[0]!r} holds a line end; remove it"
        )
    with atomic_write(path) as stream:
        stream.writelines(f"{entry} 1\n" for entry in entries)


def read_entries(path: str | Path) -> list[str]:
    """Read the entries of a ``dict.txt`` in fairseq's lines: U+0085 and U+2028 are characters of an entry.

    Raises:
        InputError: the file is missing or not UTF-8.

    Source: fairseq/data/dictionary.py::Dictionary.add_from_file.
    """
    try:
        with open(path, encoding="utf-8") as lines:
            return [line.rstrip().rsplit(" ", 1)[0] for line in lines]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is no dictionary: not UTF-8 ({error}); use the one made by fairseq-electra vocab"
        ) from error


def load_wordpiece(folder: str | Path) -> Tokenizer:
    """Load ``tokenizer.json`` of a vocabulary's folder; special symbols written in text stay text.

    Raises:
        InputError: the folder or file is missing, or is not a tokenizer.
    """
    path = Path(folder) / TOKENIZER_FILE
    if not path.is_file():
        raise InputError(
            f"no {TOKENIZER_FILE} in {folder}; make one with: fairseq-electra vocab --output {folder} FILE..."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise InputError(
            f"{path} is no tokenizer ({error}); make it again with: fairseq-electra vocab"
        ) from error
    tokenizer.encode_special_tokens = True  # not kept in the file
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
