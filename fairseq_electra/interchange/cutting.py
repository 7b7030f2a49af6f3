"""How the tokenizers of transformers cut text, apart from the ids of their pieces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.byte_alphabet import is_byte_level
from fairseq_electra.pretraining.byte_level_bpe import TRIMMING, byte_level_of, merges_of
from fairseq_electra.pretraining.wordpiece import CONTINUATION, UNK

MAX_CHARACTERS_PER_WORD = 100  # of transformers' BertTokenizer, whatever tokenizer.json says
# settings of BPE that byte-level vocabularies leave alone
UNUSED_SETTINGS = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


class Cutting(NamedTuple):
    """The way to cut text.

    Attributes:
        model: makes the model from pieces and their ids.
        normalizer, pre_tokenizer: what text goes through first; None: nothing.
        decoder: makes text from pieces.
        post_processor: what changes the offsets of pieces; None: nothing.
    """

    model: Callable[[dict[str, int]], models.Model]
    normalizer: normalizers.Normalizer | None
    pre_tokenizer: pre_tokenizers.PreTokenizer | None
    decoder: decoders.Decoder
    post_processor: processors.PostProcessor | None = None


def as_bert(folder: Path, options: dict) -> Cutting:
    """Cut text as transformers' BertTokenizer does.

    Args:
        folder: names the tokenizer in errors.
        options: its tokenizer_config.json.

    Raises:
        InputError: an option has no usable value.
    """
    normalizer = _normalizer(folder, options)
    return _wordpiece(MAX_CHARACTERS_PER_WORD, normalizer, pre_tokenizers.BertPreTokenizer())


def as_stored(stored: Tokenizer, source: Path, of_bert: bool = False) -> Cutting:
    """Cut text as tokenizer.json says.

    Args:
        stored: the tokenizer of that file.
        source: its path, for errors.
        of_bert: whether it must be WordPiece.

    Raises:
        InputError: it is neither WordPiece nor byte-level BPE.
    """
    model = stored.model
    if isinstance(model, models.WordPiece) and model.continuing_subword_prefix == CONTINUATION:
        return _wordpiece(model.max_input_chars_per_word, stored.normalizer, stored.pre_tokenizer)
    if isinstance(model, models.BPE) and byte_level_of(stored) and not of_bert:
        return _byte_level_bpe(stored, source)
    raise InputError(
        f"{source} holds {type(model).__name__}, neither WordPiece with {CONTINUATION} nor byte-level BPE of"
        " PreTrainedTokenizerFast; no other vocabularies can be imported"
    )


def _wordpiece(
    longest_word: int,
    normalizer: normalizers.Normalizer | None,
    pre_tokenizer: pre_tokenizers.PreTokenizer | None,
) -> Cutting:
    """Cut with WordPiece; words of more than ``longest_word`` characters are ``<unk>``."""

    def model(vocabulary: dict[str, int]) -> models.Model:
        return models.WordPiece(
            vocab=vocabulary,
            unk_token=UNK,
            max_input_chars_per_word=longest_word,
            continuing_subword_prefix=CONTINUATION,
        )

    return Cutting(model, normalizer, pre_tokenizer, decoders.WordPiece(prefix=CONTINUATION))


def _byte_level_bpe(stored: Tokenizer, source: Path) -> Cutting:
    """Cut with byte-level BPE, by the merges of ``stored``."""
    for name in UNUSED_SETTINGS:
        if value := getattr(stored.model, name):
            raise InputError(
                f"{source} has {name} {value!r} for its byte-level BPE, which is not known here; only"
                " vocabularies without it can be imported"
            )
    if byte_level_of(stored).get("add_prefix_space"):
        raise InputError(
            f"{source} has add_prefix_space true for its byte-level BPE: where a text is encoded in parts,"
            " each would get a blank; only vocabularies without it can be imported"
        )
    if not is_byte_level(stored.get_vocab(with_added_tokens=False)):
        raise InputError(
            f"{source} holds byte-level BPE without a piece for each of the 256 bytes, so that some text"
            " would be lost; take another vocabulary"
        )
    merges = merges_of(stored)

    def model(vocabulary: dict[str, int]) -> models.Model:
        try:
            return models.BPE(vocab=vocabulary, merges=merges)
        except Exception as error:  # tokenizers raises plain Exception
            raise InputError(f"{source} merges pieces into a special symbol: {error}") from error

    return Cutting(model, stored.normalizer, stored.pre_tokenizer, decoders.ByteLevel(), TRIMMING)


def _normalizer(folder: Path, options: dict) -> normalizers.BertNormalizer:
    """Make the normalizer of transformers' BertTokenizer (its models/bert/tokenization_bert.py)."""
    values: dict[str, Any] = {}
    for name, default in (("do_lower_case", True), ("tokenize_chinese_chars", True), ("strip_accents", None)):
        values[name] = options.get(name, default)
        if not (isinstance(values[name], bool) or values[name] is default):
            raise InputError(
                f"{folder / 'tokenizer_config.json'} has {name} {values[name]!r}; it must be true or false"
            )
    return normalizers.BertNormalizer(
        lowercase=values["do_lower_case"],
        strip_accents=values["strip_accents"],
        handle_chinese_chars=values["tokenize_chinese_chars"],
    )
