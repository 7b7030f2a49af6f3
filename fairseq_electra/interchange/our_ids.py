"""The pieces of a vocabulary of transformers, with fairseq's ids."""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.cutting import Cutting
from fairseq_electra.pretraining.wordpiece import LEADING, MASK


def all_pieces(
    ids: dict[str, int], source: Path, vocabulary_size: int | None = None
) -> tuple[list[str], list[str]]:
    """Put the pieces into the order of the token table; rows without a piece get made-up names.

    Such rows may lie at the table's end or between others. No text is encoded to their names.

    Args:
        ids: pieces and their rows.
        source: names the vocabulary in errors.
        vocabulary_size: rows of the table; None: as many as the vocabulary needs.

    Returns:
        a piece for each row, and the names that were made up.

    Raises:
        InputError: the vocabulary does not fit the table, or has two pieces for a row.
    """
    last = max(ids.values(), default=-1)
    vocabulary_size = last + 1 if vocabulary_size is None else vocabulary_size
    if last >= vocabulary_size or 2 * len(ids) <= vocabulary_size:
        raise InputError(
            f"{source} has {max(len(ids), last + 1):,} entries, but the network's token table"
            f" {vocabulary_size:,}; they do not belong together"
        )
    pieces: dict[int, str] = {}
    for piece, number in ids.items():
        if not piece:  # what transformers makes of a line of blanks in vocab.txt
            continue
        if number in pieces:
            raise InputError(
                f"{source.parent} has the id {number} for {pieces[number]!r} and for {piece!r}; copy its"
                " files again"
            )
        pieces[number] = piece
    free = (name for name in (f"[unused{i}]" for i in range(len(ids) + vocabulary_size)) if name not in ids)
    unnamed = {number: next(free) for number in range(vocabulary_size) if number not in pieces}
    named = pieces | unnamed
    return [named[number] for number in range(vocabulary_size)], list(unnamed.values())


def check_special(pieces: set[str], special: dict[str, str], source: Path) -> None:
    """Refuse a vocabulary without one of the special symbols, or with one of fairseq's for something else."""
    for name, symbol in special.items():
        if symbol not in pieces:
            raise InputError(f"{source} lacks {symbol}; name its {name} in tokenizer_config.json")
    for name, symbol in special.items():
        if other := next((each for each in special if each < name and special[each] == symbol), None):
            raise InputError(
                f"{source} has {symbol} both as its {other} and as its {name}; name two tokens there"
            )
    for symbol in (*LEADING, MASK):
        if symbol in pieces and symbol not in special.values():
            raise InputError(
                f"{source} has {symbol} for something else than fairseq's special symbol; rename it there"
            )


def with_our_ids(
    pieces: list[str],
    special: dict[str, str],
    added: list[AddedToken],
    vocabulary: set[str],
    cutting: Cutting,
) -> tuple[Tokenizer, list[int]]:
    """Make a tokenizer with our ids.

    Args:
        pieces: in the order of their ids.
        special: those that are special symbols here.
        added: added tokens, which stay whole in text.
        vocabulary: the pieces that words are cut into; an added token that is none of them is never a part
            of a longer word.
        cutting: how the tokenizer cuts text.

    Returns:
        the tokenizer, and for each of our ids theirs.
    """
    id_of = {piece: i for i, piece in enumerate(pieces)}
    *leading, mask = (id_of[symbol] for symbol in special.values())
    ids_not_pieces = sorted(id_of[token.content] for token in added if token.content not in vocabulary)
    placed = {*leading, mask, *ids_not_pieces}
    ids_of_pieces = [*leading, *(i for i in range(len(pieces)) if i not in placed)]
    symbols = [*LEADING, *(pieces[i] for i in ids_of_pieces[len(LEADING) :])]
    tokenizer = Tokenizer(cutting.model({symbol: i for i, symbol in enumerate(symbols)}))
    tokenizer.normalizer, tokenizer.pre_tokenizer = cutting.normalizer, cutting.pre_tokenizer
    tokenizer.decoder = cutting.decoder
    if cutting.post_processor is not None:
        tokenizer.post_processor = cutting.post_processor
    tokenizer.add_special_tokens([*LEADING])
    # the library numbers what is no piece in the order of its coming; special ones would be cut in text like
    # <s>
    tokenizer.add_tokens(
        [_as_plain(token) for token in sorted(added, key=lambda token: id_of[token.content])]
    )
    tokenizer.add_special_tokens([MASK])
    tokenizer.encode_special_tokens = True
    return tokenizer, [*ids_of_pieces, *ids_not_pieces, mask]


def _as_plain(token: AddedToken) -> AddedToken:
    return AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=False,
    )
