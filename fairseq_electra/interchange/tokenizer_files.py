"""A vocabulary as transformers' folders keep it, both ways."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer, models, processors

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.added_tokens import SPECIAL_SYMBOLS, read_added_tokens, special_symbols
from fairseq_electra.interchange.cutting import as_bert, as_stored
from fairseq_electra.interchange.json_files import read_json
from fairseq_electra.interchange.our_ids import all_pieces, check_special, with_our_ids
from fairseq_electra.interchange.sentence_transformers import SETTINGS_FILE
from fairseq_electra.pretraining.byte_level_bpe import TRIMMING
from fairseq_electra.pretraining.wordpiece import BOS, EOS, LEADING, MASK, PAD, TOKENIZER_FILE, UNK

SHORTEST_ROW = 8
# transformers' classes, without the ending Fast, which is of the same tokenizer: those that cut text as
# tokenizer_config.json says ...
CONFIGURED_CLASSES = ("BertTokenizer", "ElectraTokenizer")
# ... and those that are all in tokenizer.json
STORED_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
# where no file names a class: transformers models/auto/tokenization_auto.py::TOKENIZER_MAPPING_NAMES
DEFAULT_CLASS = {
    "electra": "BertTokenizer",
    "roformer": "RoFormerTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
}


def write_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int, with_segments: bool = True) -> None:
    """Write tokenizer.json and tokenizer_config.json for ``AutoTokenizer``.

    Special symbols that are written out in text stay text there too (``split_special_tokens``).

    Args:
        tokenizer: ours.
        folder: where to.
        max_length: length in tokens of the longest row that the network was trained on.
        with_segments: the network has segment vectors, so that it is to be given segment ids.
    """
    copy = Tokenizer.from_str(tokenizer.to_str())
    second = int(with_segments)
    rows = processors.TemplateProcessing(
        single=f"{BOS}:0 $A:0 {EOS}:0",
        pair=f"{BOS}:0 $A:0 {EOS}:0 $B:{second} {EOS}:{second}",
        special_tokens=[(symbol, LEADING.index(symbol)) for symbol in (BOS, EOS)],
    )
    of_bytes = isinstance(copy.model, models.BPE)
    copy.post_processor = processors.Sequence([TRIMMING, rows]) if of_bytes else rows
    (folder / TOKENIZER_FILE).write_text(copy.to_str(pretty=True) + "\n", encoding="utf-8")
    special = dict(zip(SPECIAL_SYMBOLS, (BOS, PAD, EOS, UNK, MASK), strict=True))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_max_length": max_length,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": [
            "input_ids",
            *(["token_type_ids"] if with_segments else []),
            "attention_mask",
        ],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


@dataclass
class Vocabulary:
    """A vocabulary of transformers with our ids.

    Args:
        tokenizer: ours.
        order: for each of our ids theirs.
        unnamed: our names for the rows of the token table that no piece belongs to.
    """

    tokenizer: Tokenizer
    order: list[int]
    unnamed: list[str] = field(default_factory=list)


def read_tokenizer(folder: Path, vocabulary_size: int | None = None) -> Vocabulary:
    """Read tokenizer.json, or vocab.txt, and give its pieces our ids.

    Added tokens stay whole in text. [CLS] and its like do not: written out in text they are text.

    Args:
        folder: transformers'.
        vocabulary_size: rows of the network's token table; None: as many as the vocabulary needs.

    Raises:
        InputError: there is none, it is neither WordPiece of BERT's kind nor byte-level BPE, lacks a special
            symbol or has too many pieces, or too few.
    """
    options = read_json(folder / "tokenizer_config.json")
    of_bert = _is_of_bert(folder, options)
    special = special_symbols(folder, options)
    stored, cutting = None, as_bert(folder, options)
    source = folder / TOKENIZER_FILE
    if source.is_file():
        stored = _read_stored(source)
        vocabulary = stored.get_vocab(with_added_tokens=False)
        cutting_of_file = as_stored(stored, source, of_bert)
        cutting = cutting if of_bert else cutting_of_file
    else:
        source = folder / "vocab.txt"
        vocabulary = _read_lines(source)
    added = read_added_tokens(folder, options, stored)
    ids = dict(vocabulary)
    for content, (_, number) in added.items():
        if content not in ids:
            ids[content] = max(ids.values()) + 1 if number is None else number
    pieces, unnamed = all_pieces(ids, source, vocabulary_size)
    check_special(set(pieces), special, source)
    kept_tokens = [
        token
        for content, (token, _) in added.items()
        if content not in special.values() and not (token.special and options.get("split_special_tokens"))
    ]
    tokenizer, order = with_our_ids(pieces, special, kept_tokens, set(vocabulary), cutting)
    return Vocabulary(tokenizer, order, unnamed)


def read_max_length(folder: Path, positions: int) -> int:
    """Read how many tokens a folder cuts text to; ``positions`` at most, or if no limit is given.

    The limit is the tokenizer's or that of sentence-transformers, the smaller one if both are given.

    Raises:
        InputError: it is no number, or too small for a row.
    """
    if positions < SHORTEST_ROW:
        raise InputError(
            f"{folder} has max_position_embeddings {positions}; rows of text need {SHORTEST_ROW} or more"
        )
    limits: list[int | float] = [positions]
    for name, key in (("tokenizer_config.json", "model_max_length"), (SETTINGS_FILE, "max_seq_length")):
        limit = read_json(folder / name).get(key)
        if limit is None:  # null, too
            continue
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= SHORTEST_ROW:
            raise InputError(
                f"{folder / name} has {key} {limit!r}; it must be a number of tokens from {SHORTEST_ROW} on"
            )
        limits.append(limit)
    return int(min(limits))


def _is_of_bert(folder: Path, options: dict) -> bool:
    """Tell whether tokenizer_config.json decides how text is cut, and not tokenizer.json.

    Raises:
        InputError: the tokenizer is of a class that cuts text in a way that is not known here.
    """
    config = read_json(folder / "config.json")
    named = options.get("tokenizer_class") or config.get("tokenizer_class")
    class_name = str(named or DEFAULT_CLASS.get(str(config.get("model_type")), "BertTokenizer"))
    plain = class_name.removesuffix("Fast")
    if options.get("auto_map") or plain not in (*CONFIGURED_CLASSES, *STORED_CLASSES):
        what = "code of its own" if options.get("auto_map") else class_name
        raise InputError(
            f"the tokenizer in {folder} is {what}, whose way to cut text is not known here;"
            f" {', '.join(CONFIGURED_CLASSES)} and PreTrainedTokenizerFast can be imported (named as"
            " tokenizer_class in tokenizer_config.json)"
        )
    if plain in STORED_CLASSES and not (folder / TOKENIZER_FILE).is_file():
        raise InputError(
            f"no {TOKENIZER_FILE} in {folder}, and its {class_name} has no other file; copy it there"
        )
    return plain in CONFIGURED_CLASSES


def _read_stored(source: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(source))
    except Exception as error:  # tokenizers raises plain Exception
        raise InputError(f"{source} is no tokenizer ({error}); copy it again") from error


def _read_lines(source: Path) -> dict[str, int]:
    if not source.is_file():
        raise InputError(f"no {TOKENIZER_FILE} or vocab.txt in {source.parent}; copy one of them there")
    try:
        lines = source.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8 ({error}); copy it again") from error
    pieces: dict[str, int] = {}
    for number, line in enumerate(lines):
        piece = line.removesuffix("\r")
        if piece in pieces:
            raise InputError(f"{source} has {piece!r} twice; copy it again")
        pieces[piece] = number
    return pieces
