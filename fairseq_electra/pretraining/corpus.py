"""The built-in corpus: English text that every CPython includes, and a labelled task made from it.

The text is the language reference (``pydoc_data.topics``) and the docstrings of the standard library, read
from the running interpreter. Nothing is redistributed. It is technical English under the PSF licence, about
half a million tokens.
"""

import ast
import hashlib
import itertools
import re
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.pretraining.encode import SPLITS

SHORTEST_DOCUMENT = 40  # characters
TEST_SHARE, VALID_SHARE = 0.2, 0.1
SKIPPED_FOLDERS = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "lib2to3",
    "pydoc_data",
    "__pycache__",
}
SENTENCE_WORDS = range(7, 17)


@dataclass(frozen=True)
class Document:
    """A text and the file that it comes from. Splits are made of files, not of texts."""

    source: str
    paragraphs: tuple[str, ...]

    @property
    def split(self) -> str:
        """``train``, ``valid`` or ``test``, by a hash of the file's name."""
        draw = _fraction(self.source)
        return "test" if draw < TEST_SHARE else "valid" if draw < TEST_SHARE + VALID_SHARE else "train"


def builtin_documents() -> list[Document]:
    """Read the corpus in a fixed order, without duplicate texts.

    Raises:
        InputError: this Python includes neither its topics nor its sources.
    """
    documents, seen = [], set()
    for source, paragraphs in _texts():
        if sum(map(len, paragraphs)) > SHORTEST_DOCUMENT and paragraphs not in seen:
            seen.add(paragraphs)
            documents.append(Document(source, paragraphs))
    if not documents:
        raise InputError(
            "this Python comes without its documentation and sources; use one from python.org or your"
            " system's full package"
        )
    return documents


def builtin_paragraphs() -> Iterator[str]:
    """Yield the paragraphs of the corpus lazily, so that the first few come at once."""
    for _, paragraphs in _texts():
        yield from paragraphs


def _texts() -> Iterator[tuple[str, tuple[str, ...]]]:
    for source, text in itertools.chain(_topics(), _docstrings(Path(sysconfig.get_paths()["stdlib"]))):
        yield (
            source,
            tuple(
                " ".join(block.split())
                for block in re.split(r"\n\s*\n", textwrap.dedent(text))
                if block.strip()
            ),
        )


def fingerprint(documents: list[Document]) -> str:
    """Return 12 hexadecimal digits of the SHA-256 of the corpus: the same for the same version of Python."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update("\n".join((document.source, *document.paragraphs, "")).encode())
    return digest.hexdigest()[:12]


def write_corpus(folder: str | Path) -> tuple[int, str]:
    """Write the text and the labelled sentences of each split; splits share no source file.

    Args:
        folder: receives ``SPLIT.txt``, paragraphs with a blank line after each document, and
            ``SPLIT.swap.tsv``, label and sentence.

    Returns:
        number of documents, and their fingerprint.

    Raises:
        InputError: as for :func:`builtin_documents`.
    """
    documents = builtin_documents()
    for split in SPLITS:
        with atomic_write(Path(folder) / f"{split}.txt") as stream:
            for document in documents:
                if document.split == split:
                    stream.writelines(paragraph + "\n" for paragraph in (*document.paragraphs, ""))
        with atomic_write(Path(folder) / f"{split}.swap.tsv") as stream:
            examples = swap_examples(documents, split)
            stream.writelines(f"{int(example.swapped)}\t{example.sentence}\n" for example in examples)
    return len(documents), fingerprint(documents)


@dataclass(frozen=True)
class SwapExample:
    """A sentence, and whether two neighbouring words of it were swapped."""

    sentence: str
    swapped: bool


def swap_examples(documents: list[Document], split: str) -> list[SwapExample]:
    """Make the task "were two neighbouring words swapped?" from the sentences of one split.

    The task needs word order, so a bag of words cannot solve it. In half of the sentences two words are
    swapped; every sentence, swapped or not, has two neighbouring words that could be.

    Args:
        documents: documents of :func:`builtin_documents`.
        split: the split whose sentences to use.
    """
    known: set[str] = set()  # sentences that occur in train too
    if split != "train":
        known = {
            sentence
            for document in documents
            if document.split == "train"
            for sentence in _sentences(document.paragraphs)
        }
    examples: dict[str, SwapExample] = {}
    for document in documents:
        if document.split != split:
            continue
        for sentence in _sentences(document.paragraphs):
            words = sentence.split()
            indices = [i for i in range(1, len(words) - 2) if _swappable(words[i], words[i + 1])]
            if (
                len(words) in SENTENCE_WORDS
                and indices
                and sentence not in examples
                and sentence not in known
            ):
                index = indices[int(_fraction("place " + sentence) * len(indices))]
                swapped = _fraction("label " + sentence) < 0.5
                if swapped:
                    words[index : index + 2] = words[index + 1], words[index]
                examples[sentence] = SwapExample(" ".join(words), swapped)
    return sorted(examples.values(), key=lambda example: _fraction("order " + example.sentence))


def _topics() -> Iterator[tuple[str, str]]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return
    for name in sorted(topics):
        yield f"topic {name}", topics[name]


def _docstrings(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if SKIPPED_FOLDERS.intersection(name.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
                text := ast.get_docstring(node)
            ):
                yield name.as_posix(), text


def _sentences(paragraphs: tuple[str, ...]) -> Iterator[str]:
    for paragraph in paragraphs:
        if ">>>" not in paragraph:
            yield from re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph)


def _swappable(left: str, right: str) -> bool:
    return left.isalpha() and right.isalpha() and left.lower() != right.lower()


def _fraction(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56
