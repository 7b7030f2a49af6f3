"""Does an imported tokenizer cut text as transformers' own does?"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.corpus import builtin_paragraphs
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, TOKENIZER_FILE

PARAGRAPHS = 50  # of the built-in English
SAMPLE = (
    "Don't STOP “quoting” — U.S. prices: $3.14, 50%…",
    "Ünïcödé, CAFÉ naïve Ærøskøbing ﬁne Straße ÅNGSTRÖM",
    "Ελληνικά, ΑΘΉΝΑ και Русский ёлка й",
    "中文字符 and 日本語のテキスト、カタカナがぎぐ ｶﾞ",
    "한국어 문장입니다.",
    "हिन्दी की मात्राएँ, ภาษาไทยน้ำ, العربية نَصّ, עִבְרִית",
    "Tiếng Việt có dấu, İstanbul ıĞ",
    "emoji 😀👩‍👩‍👧, zero\u200bwidth, tab\tnbsp\u00a0, e\u0301 and \ufffd",
)
# blanks, line ends and control characters, which byte-level BPE keeps
SPACING = (
    "def f(x):\n    return x  # one\r\n\n\n\ttwo   three ",
    " \x00a\x07 c\x1bd\x7f \u2028\u0085\u00ad\u3000x",
)


def compare_tokenizers(folder: Path, ours: Tokenizer, order: list[int]) -> str:
    """Compare the ids of text in several scripts, with accents, and with tokens added to the vocabulary.

    Args:
        folder: transformers'.
        ours: read from it.
        order: for each of our ids theirs.

    Returns:
        a line that says what was compared.

    Raises:
        InputError: the ids differ, or transformers does not load its own tokenizer.
    """
    theirs = _load(folder)
    special = {theirs.cls_token, theirs.pad_token, theirs.sep_token, theirs.unk_token, theirs.mask_token}
    added = [token for token in theirs.get_added_vocab() if token not in special]
    texts = [
        *SAMPLE,
        *SPACING,
        *(f"one {token} two{token}three" for token in added),
        *itertools.islice(builtin_paragraphs(), PARAGRAPHS),
    ]
    name = type(theirs).__name__
    for text in texts:
        expected = theirs(text, add_special_tokens=False, verbose=False)["input_ids"]
        our_ids = [order[i] for i in ours.encode(text, add_special_tokens=False).ids]
        if our_ids != expected:
            here, there = (
                " ".join(map(str, theirs.convert_ids_to_tokens(ids))) for ids in (our_ids, expected)
            )
            raise InputError(
                f"the tokenizer in {folder} cuts {text[:80]!r} into {there[:160]!r}, as transformers' {name}"
                f" reads it, and into {here[:160]!r} here; nothing was written"
            )
    more = f" and with added tokens ({len(added)})" if added else ""
    return f"tokenizer: the same ids as transformers' {name} on {len(texts)} texts, in several scripts{more}"


def compare_rows(folder: Path, order: list[int], with_segments: bool, is_tuned: bool) -> str | None:
    """Compare where transformers puts special symbols and segments with the rows that are read here.

    A row here is ``<s> A </s>`` or ``<s> A </s> B </s>``, the second text with segment 1, and too long texts
    lose their end.

    Args:
        folder: transformers'.
        order: for each of our ids theirs.
        with_segments: whether the network has segments.
        is_tuned: whether the network was fine-tuned, on transformers' rows.

    Returns:
        a line that says what is different; None: nothing.

    Raises:
        InputError: something is, and the network was fine-tuned on it.
    """
    theirs, texts = _load(folder), SAMPLE[:2]
    pieces = [theirs(text, add_special_tokens=False, verbose=False)["input_ids"] for text in texts]
    pair = theirs(*texts, verbose=False)
    rows = theirs(texts[0], verbose=False)["input_ids"], pair["input_ids"]
    segments = pair.get("token_type_ids", []) if with_segments else None
    shown = theirs.convert_ids_to_tokens(theirs("a", "b", verbose=False)["input_ids"])
    difference = _difference(pieces, rows, segments, order, shown)
    if difference is None and theirs.truncation_side != "right":
        difference = "cuts off the beginning of texts that are too long (truncation_side)"
    if difference is None:
        return None
    said = f"transformers' tokenizer in {folder} {difference}, which is not so here"
    if is_tuned:
        raise InputError(f"{said}, and the network was fine-tuned on such rows; nothing was written")
    return f"note: {said}"


def check_template(folder: Path, order: list[int], with_segments: bool) -> None:
    """Refuse a fine-tuned model whose ``tokenizer.json`` makes other rows, as :func:`compare_rows` does.

    It needs no transformers. A folder without the file has a vocabulary of BERT's, whose rows are those here.

    Args:
        folder: transformers'.
        order: for each of our ids theirs.
        with_segments: whether the network has segments.

    Raises:
        InputError: the rows differ.
    """
    path = folder / TOKENIZER_FILE
    theirs = Tokenizer.from_file(str(path)) if path.is_file() else None
    if theirs is None or theirs.post_processor is None:
        return
    theirs.no_truncation()
    theirs.no_padding()
    texts = SAMPLE[:2]
    pair = theirs.encode(*texts)
    difference = _difference(
        [theirs.encode(text, add_special_tokens=False).ids for text in texts],
        (theirs.encode(texts[0]).ids, pair.ids),
        pair.type_ids if with_segments else None,
        order,
        theirs.encode("a", "b").tokens,
    )
    if difference is not None:
        raise InputError(
            f"the tokenizer in {folder} {difference}, which is not so here, and the network was fine-tuned on"
            " such rows; use it by transformers"
        )


def _difference(
    pieces: list[list[int]],
    rows: tuple[list[int], list[int]],
    segments: list[int] | None,
    order: list[int],
    shown: Sequence[object],
) -> str | None:
    """Say how the rows of a text and of a pair differ from those here; None: not at all.

    Args:
        pieces: of the two texts, without special symbols.
        rows: of the first text, and of both.
        segments: of the row of both; None: there are none.
        order: for each of our ids theirs.
        shown: the tokens of the row of the texts a and b.
    """
    bos, eos = order[BOS_ID], order[EOS_ID]
    row = [bos, *pieces[0], eos]
    if rows != (row, [*row, *pieces[1], eos]):
        return f"puts the texts a and b into the row {' '.join(map(str, shown))!r}"
    if segments is not None and segments != [0] * len(row) + [1] * (len(pieces[1]) + 1):
        return "gives the second text of a pair no segment 1 (token_type_ids)"
    return None


def _load(folder: Path):
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of many kinds, some of packages that a class needs
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"transformers does not load the tokenizer in {folder} ({reason}); nothing was written"
        ) from error
