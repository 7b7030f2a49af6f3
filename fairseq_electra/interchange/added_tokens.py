"""The tokens that users add to a vocabulary of transformers: its folders keep them in four places."""

from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.json_files import read_json

ADDED_FILE, SPECIAL_FILE = "added_tokens.json", "special_tokens_map.json"
# by the names that transformers gives them, in the order of our ids
SPECIAL_SYMBOLS = {
    "cls_token": "[CLS]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
LISTS_OF_SYMBOLS = ("extra_special_tokens", "additional_special_tokens")


class Added(NamedTuple):
    """An added token, and its id where a file names it."""

    token: AddedToken
    id: int | None


def read_added_tokens(folder: Path, options: dict, stored: Tokenizer | None) -> dict[str, Added]:
    """Collect the added tokens of a folder, by their text.

    If several places name a token, the first one decides how it is found in text.

    Args:
        folder: transformers'.
        options: its tokenizer_config.json.
        stored: its tokenizer.json, if it has one.

    Returns:
        the tokens, [CLS] and its like among them where a file lists them.

    Raises:
        InputError: a file is damaged.

    Source: transformers tokenization_utils_base.py::PreTrainedTokenizerBase._from_pretrained.
    """
    added: dict[str, Added] = {}
    for number, values in _table(options, "added_tokens_decoder", folder).items():
        token = _token(values, folder)
        added.setdefault(token.content, Added(token, _id(number, folder)))
    for number, token in (stored.get_added_tokens_decoder() if stored is not None else {}).items():
        added.setdefault(token.content, Added(token, number))
    extra = _extra_special_tokens(options, folder)
    for content, number in read_json(folder / ADDED_FILE).items():
        special = content in extra
        added.setdefault(
            content, Added(AddedToken(content, normalized=not special, special=special), _id(number, folder))
        )
    for content, token in extra.items():
        added.setdefault(content, Added(token, None))
    return added


def special_symbols(folder: Path, options: dict) -> dict[str, str]:
    """Read which symbols stand for [CLS] and its like, by the names in :data:`SPECIAL_SYMBOLS`.

    ``options`` is tokenizer_config.json.
    """
    listed = {} if "added_tokens_decoder" in options else read_json(folder / SPECIAL_FILE)
    named = {name: listed.get(name) or options.get(name) for name in SPECIAL_SYMBOLS}
    return {
        name: _token(named[name], folder).content if named[name] else default
        for name, default in SPECIAL_SYMBOLS.items()
    }


def _extra_special_tokens(options: dict, folder: Path) -> dict[str, AddedToken]:
    """Read the special tokens named in a list, or under a name of their own, such as ``entity_token``."""
    lists = [
        value
        for source in (options, read_json(folder / SPECIAL_FILE))
        for value in (source.get(name) for name in LISTS_OF_SYMBOLS)
        if value
    ]
    for value in lists:
        if not isinstance(value, list | dict):
            raise InputError(
                f"{folder} has {value!r} for {' or '.join(LISTS_OF_SYMBOLS)}, where a list is expected; copy"
                " its files again"
            )
    values = [token for each in lists for token in (each.values() if isinstance(each, dict) else each)]
    named = {
        name: value
        for name, value in options.items()
        if name.endswith("_token") and isinstance(value, str | dict)
    }
    values += [value for name, value in named.items() if name not in SPECIAL_SYMBOLS]
    tokens = [_token(value, folder) for value in values]
    return {token.content: token for token in tokens}


def _token(value: Any, folder: Path) -> AddedToken:
    if isinstance(value, str):
        return AddedToken(value, special=True, normalized=False)
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise InputError(
            f"{folder} has {value!r} for an added token, where text is expected; copy its files again"
        )
    flags = {name: bool(value[name]) for name in ("single_word", "lstrip", "rstrip") if name in value}
    special = bool(value.get("special", True))
    return AddedToken(
        value["content"], **flags, special=special, normalized=bool(value.get("normalized", not special))
    )


def _table(options: dict, name: str, folder: Path) -> dict:
    table = options.get(name) or {}
    if not isinstance(table, dict):
        raise InputError(
            f"{folder}: {name} in tokenizer_config.json must be an object, got {type(table).__name__}; copy"
            " it again"
        )
    return table


def _id(number: Any, folder: Path) -> int:
    if not str(number).isdecimal():
        raise InputError(f"{folder} has {number!r} for the id of an added token; it must be a whole number")
    return int(number)
