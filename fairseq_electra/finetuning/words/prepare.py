"""Folders of tasks with a tag for every word, from files of words in columns."""

from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.faults import Faults
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.preparation import (
    LONGEST_ROW,
    AnyPath,
    Say,
    check_paths,
    example_counts,
    given_files,
    read_with_progress,
    report_faults,
    require_files,
    row_counts,
)
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.columns import WordColumns
from fairseq_electra.finetuning.words.folder import NUM_SPECIAL, types_of, with_known_types, write_tag_folder
from fairseq_electra.finetuning.words.read import has_tags, read_conll
from fairseq_electra.finetuning.words.tags import BIO, NONE, OUTSIDE, PLAIN_TAG_METRICS, TAG_METRICS
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.progress import Progress


def prepare_conll(
    destdir: AnyPath,
    vocabulary: AnyPath,
    *,
    train: AnyPath | None = None,
    valid: AnyPath | None = None,
    test: AnyPath | None = None,
    scheme: str = BIO,
    bioes: bool = False,
    word_column: int = 1,
    tag_column: int | None = None,
    max_positions: int = LONGEST_ROW,
    stride: int | None = None,
    skip_bad: bool = False,
    say: Say = print,
) -> TaskInfo:
    """Prepare tagged words, one in a line with its tag.

    Args:
        destdir: folder to write.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        train, valid, test: the files; that of test may lack tags.
        scheme: of the files' tags, one of :data:`tags.SCHEMES`.
        bioes: convert the tags to BIOES, not to BIO.
        word_column: number of the column with the words, from 1 on.
        tag_column: number of the column with the tags; None: the last.
        max_positions: tokens of the longest row.
        stride: pieces from row to row of a sentence that is longer; None: half a row.
        skip_bad: leave out sentences that cannot be used, and list them on standard error.
        say: takes a line on the folder.

    Returns:
        what the task is.

    Raises:
        InputError: a file, a sentence or an argument cannot be used; nothing is written.
    """
    files, faults = given_files(train, valid, test), Faults(skip_bad)
    check_paths(destdir, vocabulary, files)
    require_files(files)
    columns = _columns(word_column, tag_column, bioes, scheme)
    unlabelled = tuple(
        split for split, path in files.items() if split == "test" and not has_tags(path, scheme, columns)
    )
    if not train:
        raise InputError("--conll needs --train FILE: its tags are those to learn")
    splits = {
        split: read_with_progress(path, read_conll, path, scheme, split not in unlabelled, columns, faults)
        for split, path in files.items()
    }
    splits = with_known_types(splits, faults, scheme)
    report_faults(faults, splits)
    _check_tags(types_of(splits["train"]), train, scheme, columns)
    max_pieces = max_positions - NUM_SPECIAL
    info = TaskInfo(
        Path(destdir).resolve().name,
        TAGGING,
        1,
        (),
        PLAIN_TAG_METRICS if scheme == NONE else TAG_METRICS,
        max_positions,
        stride=max(1, max_pieces // 2) if stride is None else stride,
        unlabelled=unlabelled,
        scheme=scheme,
        word_column=columns.word,
        tag_column=columns.tag,
    )
    unknown = Unknown()
    with Progress() as progress:
        finished = write_tag_folder(destdir, vocabulary, splits, info, bioes, unknown, progress)
    untagged = f"; {unlabelled[0]} has no tags" if unlabelled else ""
    cut = sum(finished.cut.values())
    cut_words = f"; {cut:,} have a word that was cut to {max_pieces} pieces" if cut else ""
    say(
        f"{destdir}: {example_counts(finished)}; {len(finished.labels)} tags{untagged};"
        f" {row_counts(finished, 'rows')}{cut_words}; {unknown}"
    )
    unknown.warn(str(destdir))
    return finished


def _check_tags(types: list[str], path: AnyPath, scheme: str, columns: WordColumns) -> None:
    """Refuse tags that are all the same.

    In a scheme, at least one type of entity is needed beside O; without a scheme, two different tags.
    """
    if len(types) < (2 if scheme == NONE else 1):
        column = f"column {columns.tag}" if columns.tag else "the last column"
        raise InputError(
            f"{path}: every tag is {(types or [OUTSIDE])[0]!r} in {column}, where two or more are needed;"
            " name the column with --tag-column"
        )


def _columns(word: int, tag: int | None, bioes: bool, scheme: str) -> WordColumns:
    if word < 1 or (tag is not None and (tag < 1 or tag == word)):
        raise InputError(f"--word-column {word} and --tag-column {tag}: name two columns, counted from 1")
    if bioes and scheme == NONE:
        raise InputError(
            f"--bioes converts tags of entities, and with --scheme {NONE} they are kept as they are; leave"
            " out one of the two"
        )
    return WordColumns(word, tag or 0)


SOURCES = {"conll": prepare_conll}
