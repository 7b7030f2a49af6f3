"""A vocabulary as transformers' folders keep it, both ways."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from fairseq_electra.data.wordpiece import BOS, CONTINUATION, EOS, LEADING, MASK, PAD, TOKENIZER_FILE, UNK, symbols_of
from fairseq_electra.errors import InputError

# theirs, by the names that transformers gives them, in the order of our ids
SPECIAL = {"cls_token": "[CLS]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
SHORTEST_ROW = 8
MAX_CHARACTERS_PER_WORD = 100  # of transformers' BertTokenizer, where a vocab.txt does not say


def write_tokenizer(tokenizer: Tokenizer, folder: Path, longest: int) -> None:
    """Write tokenizer.json and tokenizer_config.json for ``AutoTokenizer``.

    Special symbols that are written out in text stay text there too (``split_special_tokens``).

    Args:
        tokenizer: ours.
        folder: where to.
        longest: tokens of the longest row that the network was trained on.
    """
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.post_processor = processors.TemplateProcessing(
        single=f"{BOS}:0 $A:0 {EOS}:0",
        pair=f"{BOS}:0 $A:0 {EOS}:0 $B:1 {EOS}:1",
        special_tokens=[(symbol, LEADING.index(symbol)) for symbol in (BOS, EOS)],
    )
    (folder / TOKENIZER_FILE).write_text(copy.to_str(pretty=True) + "\n", encoding="utf-8")
    special = dict(zip(SPECIAL, (BOS, PAD, EOS, UNK, MASK), strict=True))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_max_length": longest,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def read_tokenizer(folder: Path, vocabulary_size: int) -> tuple[Tokenizer, list[int]]:
    """Read tokenizer.json, or vocab.txt, and give its pieces our ids.

    Args:
        folder: transformers'.
        vocabulary_size: rows of the network's token table.

    Returns:
        our tokenizer, and for each of our ids theirs.

    Raises:
        InputError: there is none, it is no WordPiece of BERT's kind, lacks a special symbol or has another size.
    """
    options = read_json(folder / "tokenizer_config.json")
    special = {name: _plain(options.get(name)) or default for name, default in SPECIAL.items()}
    if (folder / TOKENIZER_FILE).is_file():
        source = folder / TOKENIZER_FILE
        try:
            theirs = Tokenizer.from_file(str(source))
        except Exception as error:  # tokenizers raises plain Exception
            raise InputError(f"{source} is no tokenizer ({error}); copy it again") from error
        model = theirs.model
        if not isinstance(model, models.WordPiece) or model.continuing_subword_prefix != CONTINUATION:
            raise InputError(f"{source} holds {type(model).__name__}, not WordPiece with {CONTINUATION}; ELECTRA's vocabularies are that")
        pieces = symbols_of(theirs)
        longest_word, parts = model.max_input_chars_per_word, (theirs.normalizer, theirs.pre_tokenizer)
        whole = [token for token in theirs.get_added_tokens_decoder().values() if not token.special]
    else:
        source = folder / "vocab.txt"
        if not source.is_file():
            raise InputError(f"no {TOKENIZER_FILE} or vocab.txt in {folder}; copy one of them there")
        try:
            pieces = source.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{source} is not UTF-8 ({error}); copy it again") from error
        pieces = [piece.removesuffix("\r") for piece in pieces]
        normalizer = normalizers.BertNormalizer(
            lowercase=options.get("do_lower_case", True),
            strip_accents=options.get("strip_accents"),
            handle_chinese_chars=options.get("tokenize_chinese_chars", True),
        )
        longest_word, parts, whole = MAX_CHARACTERS_PER_WORD, (normalizer, pre_tokenizers.BertPreTokenizer()), []
    _check_pieces(pieces, special, source, vocabulary_size)
    tokenizer, order = _with_our_ids(pieces, special, longest_word, *parts)
    tokenizer.add_tokens([token for token in whole if token.content not in special.values()])
    return tokenizer, order


def read_longest(folder: Path, positions: int) -> int:
    """Read how many tokens a folder's tokenizer cuts text to; at most, and where it does not say, ``positions``.

    Raises:
        InputError: it is no number, or too small for a row.
    """
    path = folder / "tokenizer_config.json"
    found = read_json(path).get("model_max_length", positions)
    if isinstance(found, bool) or not isinstance(found, int | float) or not found >= SHORTEST_ROW:
        raise InputError(f"{path} has model_max_length {found!r}; it must be a number of tokens from {SHORTEST_ROW} on")
    return int(min(found, positions))


def _check_pieces(pieces: list[str], special: dict[str, str], source: Path, vocabulary_size: int) -> None:
    if len(pieces) != vocabulary_size:
        raise InputError(
            f"{source} has {len(pieces):,} entries, but the network's token table {vocabulary_size:,}; they do not belong together"
        )
    seen = set(pieces)
    if len(seen) != len(pieces):
        twice = next(piece for i, piece in enumerate(pieces) if piece in pieces[:i])
        raise InputError(f"{source} has {twice!r} twice; copy it again")
    for name, symbol in special.items():
        if symbol not in seen:
            raise InputError(f"{source} lacks {symbol}; name its {name} in tokenizer_config.json")
    for symbol in (*LEADING, MASK):
        if symbol in seen and symbol not in special.values():
            raise InputError(f"{source} has {symbol} for something else than fairseq's special symbol; rename it there")


def _with_our_ids(pieces, special, longest_word, normalizer, pre_tokenizer) -> tuple[Tokenizer, list[int]]:
    *leading, mask = (pieces.index(symbol) for symbol in special.values())
    taken = {*leading, mask}
    order = [*leading, *(i for i in range(len(pieces)) if i not in taken), mask]
    symbols = [*LEADING, *(pieces[i] for i in order[len(LEADING) : -1]), MASK]
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab={symbol: i for i, symbol in enumerate(symbols)},
            unk_token=UNK,
            max_input_chars_per_word=longest_word,
            continuing_subword_prefix=CONTINUATION,
        )
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION)
    tokenizer.add_special_tokens([*LEADING, MASK])
    tokenizer.encode_special_tokens = True
    return tokenizer, order


def _plain(token: str | dict | None) -> str | None:
    return token["content"] if isinstance(token, dict) else token


def read_json(path: Path) -> dict:
    """Read a JSON object; an absent file is an empty one."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); copy it again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object; copy it again")
    return found
