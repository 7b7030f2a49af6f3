"""Encode text in one pass into the ``.bin``, ``.idx`` and ``dict.txt`` that ``fairseq-preprocess`` makes."""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import (
    DICTIONARY_FILE,
    EOS_ID,
    LEADING,
    TOKENIZER_FILE,
    read_entries,
    symbols_of,
)

SPLITS = ("train", "valid", "test")
LINES_PER_BATCH, CHARACTERS_PER_BATCH = 4096, 1 << 21
INDEX_MAGIC = b"MMIDIDX\x00\x00"  # fairseq/data/indexed_dataset.py::MMapIndexedDataset.Index
# fairseq/data/indexed_dataset.py::_code_to_dtype
DTYPE_CODES: dict[np.dtype, int] = {np.dtype(np.uint16): 8, np.dtype(np.uint32): 9}


def punctuation_normalizer(language: str = "en") -> Callable[[str], str]:
    """Return sacremoses' punctuation normalizer: curly quotes, dashes, spaces before punctuation."""
    from sacremoses import MosesPunctNormalizer

    return MosesPunctNormalizer(lang=language).normalize


def encode_lines(
    tokenizer: Tokenizer, lines: Iterable[str], unknown: Unknown | None = None
) -> Iterator[list[list[int]]]:
    """Encode lines on all cores in batches of a few thousand; yields the ids of each line of a batch.

    Args:
        tokenizer: as :func:`fairseq_electra.pretraining.wordpiece.load_wordpiece` gives it.
        lines: text.
        unknown: counts unknown text.
    """
    for batch in batches_of(lines):
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
        if unknown is not None:
            unknown.add(tokenizer, batch, ids)
        yield ids


def batches_of(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield batches of lines, fewer of long ones: tokenizers takes hundreds of bytes per character."""
    batch, characters = list[str](), 0
    for line in lines:
        batch.append(line)
        characters += len(line)
        if len(batch) == LINES_PER_BATCH or characters >= CHARACTERS_PER_BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def encode_to_pieces(
    tokenizer: Tokenizer, lines: Iterable[str], unknown: Unknown | None = None
) -> Iterator[str]:
    """Yield a line of tokens, joined by blanks, for each line of running text, blank between documents.

    Arguments as for :func:`encode_lines`.

    Raises:
        InputError: the text holds an added token with a blank inside, which would be read as several tokens.
    """
    symbols = symbols_of(tokenizer)
    with_blanks = {index for index, symbol in enumerate(symbols) if symbol.split() != [symbol]}
    for batch in encode_lines(tokenizer, pieces_of(tokenizer).texts_of_lines(lines), unknown):
        for ids in batch:  # the fast encoder returns nothing but ids
            if unsafe := with_blanks.intersection(ids):
                raise InputError(
                    f"the added token {symbols[min(unsafe)]!r} has a blank inside, which separates tokens;"
                    " write ids, with --destdir DIR"
                )
            yield " ".join([symbols[index] for index in ids])


def encode_to_binary(
    tokenizer: Tokenizer,
    lines: Iterable[str],
    prefix: str | Path,
    vocabulary: str | Path,
    unknown: Unknown | None = None,
) -> tuple[int, int]:
    """Write ``PREFIX.bin``, ``PREFIX.idx`` and ``dict.txt`` as fairseq-preprocess does, and tokenizer.json.

    Args:
        tokenizer: as :func:`fairseq_electra.pretraining.wordpiece.load_wordpiece` gives it.
        lines: running text, blank between documents.
        prefix: folder and split, such as ``data-bin/train``.
        vocabulary: folder of the tokenizer; its two files are copied.
        unknown: counts what the vocabulary does not know.

    Returns:
        number of lines and of ids, each line's ``</s>`` included.

    Raises:
        InputError: there is no text, or the folder holds data of another vocabulary. Nothing is left behind.
    """
    dictionary = check_ids(tokenizer, vocabulary)
    copied_dictionary = Path(prefix).parent / DICTIONARY_FILE
    if copied_dictionary.is_file() and copied_dictionary.read_bytes() != dictionary.read_bytes():
        raise InputError(
            f"{copied_dictionary} is of another vocabulary than {vocabulary}; choose another folder, or"
            " remove what is in this one"
        )
    texts = pieces_of(tokenizer).texts_of_lines(lines)
    written = write_binarized(
        prefix, encode_lines(tokenizer, texts, unknown), tokenizer.get_vocab_size(), EOS_ID
    )
    # with the tokenizer, the data folder is enough to encode new text
    for name in (DICTIONARY_FILE, TOKENIZER_FILE):
        with atomic_write(copied_dictionary.with_name(name), "wb") as copy:
            copy.write((Path(vocabulary) / name).read_bytes())
    return written


def check_ids(tokenizer: Tokenizer, vocabulary: str | Path) -> Path:
    """Refuse a vocabulary whose two files have different ids; returns the path of the dictionary."""
    dictionary = Path(vocabulary) / DICTIONARY_FILE
    if not dictionary.is_file():
        raise InputError(
            f"no {DICTIONARY_FILE} in {vocabulary}; make one with: fairseq-electra vocab --output"
            f" {vocabulary} FILE..."
        )
    if symbols_of(tokenizer) != [*LEADING, *read_entries(dictionary)]:
        raise InputError(
            f"{vocabulary}: tokenizer.json and {DICTIONARY_FILE} have different ids; make both with"
            " fairseq-electra vocab"
        )
    return dictionary


def write_binarized(
    prefix: str | Path, batches: Iterable[list[list[int]]], vocabulary_size: int, eos: int
) -> tuple[int, int]:
    """Write lines of ids in fairseq's mmap format.

    Args:
        prefix: folder and split.
        batches: batches of lines; a line is a list of ids without ``</s>``.
        vocabulary_size: decides between 16 and 32 bits, as
            fairseq/data/indexed_dataset.py::best_fitting_int_dtype does.
        eos: id to put after each line.

    Returns:
        number of lines and of ids, each line's ``</s>`` included.
    """
    prefix = Path(prefix)
    dtype = np.dtype(np.uint16 if vocabulary_size < 65500 else np.uint32)
    sizes = array("i")
    with (
        atomic_write(prefix.with_name(prefix.name + ".idx"), "wb") as index,
        atomic_write(prefix.with_name(prefix.name + ".bin"), "wb") as data,
    ):
        for batch in batches:
            ids: list[int] = []
            for line in batch:
                ids += line
                ids.append(eos)
                sizes.append(len(line) + 1)
            data.write(np.array(ids, dtype=dtype).tobytes())
        if len(sizes) == sizes.count(1):
            raise InputError(f"no text to encode for {prefix}: the input is empty; give it some lines")
        lengths = np.frombuffer(sizes, dtype=np.int32)
        starts = np.zeros(len(lengths), dtype=np.int64)
        np.cumsum(lengths[:-1], dtype=np.int64, out=starts[1:])
        index.write(INDEX_MAGIC + struct.pack("<QBQ", 1, DTYPE_CODES[dtype], len(lengths)))
        index.write(lengths.tobytes())
        index.write((starts * dtype.itemsize).tobytes())
    return len(lengths), int(lengths.sum(dtype=np.int64))
