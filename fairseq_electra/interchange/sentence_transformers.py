"""Folders of sentence-transformers: where the network lies, and what else they hold."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.json_files import read_json

MODULES_FILE = "modules.json"
SETTINGS_FILE = "sentence_bert_config.json"  # beside the network's config.json
LOWER_CASE = "do_lower_case"  # in that file
NETWORK_KINDS = ("Transformer", "BERT")  # the second in its first releases
NOT_READ = "of sentence-transformers, behind the network"
POOLING_HINT = "; a head here reads the mean too with --pooling mean"


def find_network(folder: Path) -> tuple[Path, dict[str, str]]:
    """Find the network in a folder of sentence-transformers.

    Args:
        folder: of sentence-transformers, or any other.

    Returns:
        the folder of the network, which is ``folder`` itself where it has no ``modules.json``; and what is
        not read, with the reason.

    Raises:
        InputError: ``modules.json`` is damaged or lists no network.

    Source: sentence_transformers SentenceTransformer.py::SentenceTransformer._load_sbert_model.
    """
    path = folder / MODULES_FILE
    if not path.is_file():
        return folder, {}
    modules = _read_modules(path)
    networks = [where for kind, where in modules if kind in NETWORK_KINDS]
    if len(networks) != 1:
        kinds = ", ".join(kind for kind, _ in modules) or "nothing"
        raise InputError(
            f"{path} lists {kinds}, where one Transformer is expected; give the folder that holds the"
            " network's config.json"
        )
    network = folder / networks[0]
    unused = {
        where or kind: f"{kind} {NOT_READ}{POOLING_HINT if _reads_the_mean(folder / where, kind) else ''}"
        for kind, where in modules
        if kind not in NETWORK_KINDS
    }
    if read_json(network / SETTINGS_FILE).get(LOWER_CASE):
        unused[LOWER_CASE] = (
            f"{SETTINGS_FILE} lets sentence-transformers lower-case text; here tokenizer_config.json decides"
        )
    return network, unused


def is_sentence_transformers(folder: Path) -> bool:
    """Tell a folder of sentence-transformers by its list of modules."""
    return (folder / MODULES_FILE).is_file()


def other_case(unused: dict[str, str], tokenizer: Tokenizer) -> str:
    """Return a warning if sentence-transformers lower-cases text and the tokenizer does not; else "".

    The ids differ then.
    """
    normalizer = tokenizer.normalizer
    if LOWER_CASE not in unused or (normalizer is not None and normalizer.normalize_str("A") == "a"):
        return ""
    return f"{unused[LOWER_CASE]}, and it keeps capitals, so ids differ: give text in lower case"


def _read_modules(path: Path) -> list[tuple[str, str]]:
    """Read the kind of each module, without its package, and its subfolder."""
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        return [(str(module["type"]).rsplit(".", 1)[-1], str(module["path"])) for module in modules]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise InputError(f"{path} is no list of modules with type and path; copy it again") from error


def _reads_the_mean(folder: Path, kind: str) -> bool:
    return kind == "Pooling" and bool(read_json(folder / "config.json").get("pooling_mode_mean_tokens"))
