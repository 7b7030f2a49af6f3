"""Does an imported tokenizer cut text as transformers' own does?"""

import itertools
from pathlib import Path

from tokenizers import Tokenizer

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.corpus import builtin_paragraphs

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
    from transformers import AutoTokenizer

    try:
        theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of many kinds, some of packages that a class needs
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"transformers does not load the tokenizer in {folder} ({reason}); nothing was written"
        ) from error
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
