"""The vocabulary of a folder of transformers, without the model."""

from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.json_files import read_json
from fairseq_electra.interchange.tokenizer_files import read_tokenizer
from fairseq_electra.interchange.tokenizer_parity import compare_tokenizers
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.wordpiece import TOKENIZER_FILE, save_vocabulary


def take_vocabulary(source: str | Path, output: str | Path) -> list[str]:
    """Write a vocabulary of transformers with our ids, once sample text gets the same ids.

    The rows of the model's token table count: where ``config.json`` has more than the tokenizer has pieces,
    the vocabulary has made-up entries for the rest, as that of an imported model has.

    Args:
        source: folder of transformers, or its tokenizer.json.
        output: folder for ``tokenizer.json`` and ``dict.txt``.

    Returns:
        lines that say what was taken and compared.

    Raises:
        InputError: there is no such vocabulary, it cannot be read, or transformers gives other ids. Nothing
            is written.
    """
    source = Path(source)
    folder = source.parent if source.name == TOKENIZER_FILE else source
    if not folder.is_dir() or (folder != source and not source.is_file()):
        raise InputError(f"no such folder or {TOKENIZER_FILE}: {source}; check the path")
    vocabulary = read_tokenizer(folder, _rows(folder))
    agreed = compare_tokenizers(folder, vocabulary.tokenizer, vocabulary.order)
    save_vocabulary(vocabulary.tokenizer, output)
    kind, size = pieces_of(vocabulary.tokenizer).name, vocabulary.tokenizer.get_vocab_size()
    return [f"{output}: {size:,} ids, {kind}", agreed]


def _rows(folder: Path) -> int | None:
    """Read the number of rows of the model's token table; None if the folder has no config.json."""
    path = folder / "config.json"
    rows = read_json(path).get("vocab_size")
    if rows is None:
        return None
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise InputError(f"{path} has vocab_size {rows!r}; it must be a whole number above 0")
    return rows
