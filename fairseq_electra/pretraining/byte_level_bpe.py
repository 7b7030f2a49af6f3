"""Byte-level BPE with the ``tokenizers`` library: train a vocabulary with fairseq's ids."""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.byte_alphabet import BYTE_OF
from fairseq_electra.pretraining.wordpiece import LEADING, MASK, symbols_of
from fairseq_electra.progress import Progress

SMALLEST = len(LEADING) + len(BYTE_OF) + 1

# takes blanks at a piece's ends out of its offsets; ids stay the same
TRIMMING = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)


def train_byte_level_bpe(
    lines: Iterable[str], size: int, *, min_frequency: int = 2, progress: Progress | None = None
) -> Tokenizer:
    """Train a byte-level BPE vocabulary; upper case, accents and blanks are kept, and no text is unknown.

    Args:
        lines: text of any size; its distinct words are held in memory.
        size: number of ids, the five special symbols and the 256 bytes included.
        min_frequency: smallest count of a pair of pieces that is merged.
        progress: told of the stage that follows the reading.

    Raises:
        InputError: the text is empty, or ``size`` is too small for the bytes.

    Source: the tokenizer of ModernBERT (answerdotai/ModernBERT-base tokenizer.json): Unicode's NFC, words
        as those of GPT-2, no blank before the first word.
    """
    if size < SMALLEST:
        raise InputError(
            f"--size must be {SMALLEST} or more for byte-level BPE, which has a piece for each of the 256"
            f" bytes; got {size}"
        )
    learner = Tokenizer(models.BPE())
    learner.normalizer, learner.pre_tokenizer = _cutting()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,  # <mask> comes last
        min_frequency=min_frequency,
        special_tokens=[*LEADING],
        initial_alphabet=sorted(BYTE_OF),
        show_progress=False,
    )
    (progress or Progress()).stage("learning pieces")
    learner.train_from_iterator(_with_text(lines), trainer)
    pieces = symbols_of(learner)
    finished = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate([*pieces, MASK])}, merges=merges_of(learner)
        )
    )
    finished.normalizer, finished.pre_tokenizer = _cutting()
    finished.decoder = decoders.ByteLevel()
    finished.post_processor = TRIMMING
    finished.add_special_tokens([*LEADING, MASK])
    finished.encode_special_tokens = True
    return finished


def _cutting() -> tuple[normalizers.Normalizer, pre_tokenizers.PreTokenizer]:
    return normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)


def _with_text(lines: Iterable[str]) -> Iterable[str]:
    """Yield the lines; refuse a text without any word."""
    empty = True
    for line in lines:
        empty = empty and not line.strip()
        yield line
    if empty:
        raise InputError("the text holds no word to learn a vocabulary from; give files with text in them")


def merges_of(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Return the pairs of pieces that BPE merges, in their order."""
    return [(first, second) for first, second in json.loads(tokenizer.to_str())["model"]["merges"]]


def byte_level_of(tokenizer: Tokenizer) -> dict:
    """Return the settings of the pre-tokenizer that turns text into bytes; empty if there is none."""
    settings = json.loads(tokenizer.to_str())["pre_tokenizer"] or {}
    parts = settings.get("pretokenizers", [settings])
    return next((part for part in parts if part.get("type") == "ByteLevel"), {})
