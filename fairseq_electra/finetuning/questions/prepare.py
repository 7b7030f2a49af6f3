"""Folders of tasks with questions, from files of SQuAD's form or the datasets library's."""

from pathlib import Path

from fairseq_electra.files.faults import Faults
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.preparation import (
    AnyPath,
    Say,
    check_paths,
    example_counts,
    given_files,
    read_with_progress,
    report_faults,
    require_files,
    row_counts,
    warn,
)
from fairseq_electra.finetuning.questions import ANSWERING, MAX_QUESTION, STRIDE
from fairseq_electra.finetuning.questions.folder import write_question_folder
from fairseq_electra.finetuning.questions.read import QUESTION_COLUMNS, Squad, read_squad
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.progress import Progress

METRICS = ("f1", "exact_match")
# further ones if some questions have no answer
UNANSWERABLE_METRICS = ("answerable_f1", "unanswerable_accuracy", "best_answer_f1", "threshold")


def prepare_squad(
    destdir: AnyPath,
    vocabulary: AnyPath,
    *,
    train: AnyPath | None = None,
    valid: AnyPath | None = None,
    test: AnyPath | None = None,
    max_positions: int = 512,
    stride: int = STRIDE,
    max_question: int = MAX_QUESTION,
    skip_bad: bool = False,
    say: Say = print,
) -> TaskInfo:
    """Prepare questions and contexts.

    Args:
        destdir: folder to write.
        vocabulary: folder with ``tokenizer.json`` and ``dict.txt``.
        train, valid, test: the files; that of test may lack answers.
        max_positions: tokens of the longest row.
        stride: pieces from window to window.
        max_question: pieces of the longest question.
        skip_bad: leave out questions that cannot be used, and list them on standard error.
        say: takes a line on the folder.

    Returns:
        what the task is.

    Raises:
        InputError: a file, a question or an argument cannot be used; nothing is written.
    """
    files, faults = given_files(train, valid, test), Faults(skip_bad)
    check_paths(destdir, vocabulary, files)
    require_files(files)
    splits = {
        split: read_with_progress(path, read_squad, path, split != "test", faults)
        for split, path in files.items()
    }
    faults.raise_unless_skipped({split: len(squad.questions) for split, squad in splits.items()})
    some_without = _have_some_without_an_answer(splits, destdir)
    info = TaskInfo(
        Path(destdir).resolve().name,
        ANSWERING,
        2,
        (),
        (*METRICS, *(UNANSWERABLE_METRICS if some_without else ())),
        max_positions,
        stride=stride,
        max_question=max_question,
        unanswerable=some_without,
        columns=QUESTION_COLUMNS,
        unlabelled=tuple(split for split, squad in splits.items() if not squad.labelled),
    )
    unknown = Unknown()
    with Progress() as progress:
        finished = write_question_folder(destdir, vocabulary, splits, info, unknown, faults, progress)
    report_faults(faults, {})
    what = f"questions{', some without an answer' if some_without else ''}"
    cut, repaired = sum(finished.cut.values()), sum(squad.repaired for squad in splits.values())
    more = f"; {cut:,} questions cut to {info.max_question} pieces" if cut else ""
    more += f"; {repaired:,} answers had blanks around them, which were taken away" if repaired else ""
    say(f"{destdir}: {example_counts(finished)}; {what}; {row_counts(finished, 'windows')}{more}; {unknown}")
    unknown.warn(str(destdir))
    return finished


def _have_some_without_an_answer(splits: dict[str, Squad], destdir: AnyPath) -> bool:
    """Tell whether a question may have no answer in training; warns where only test has such questions."""
    without = {
        split: sum(not question.answers for question in squad.questions)
        for split, squad in splits.items()
        if squad.labelled
    }
    some_without = any(number for split, number in without.items() if split != "test")
    if without.get("test") and not some_without:
        others = " and ".join(each for each in without if each != "test")
        counts = f"test has {without['test']:,} questions without an answer, {others} none"
        warn(f"warning: {destdir}: {counts}, so nets learn to answer all, and these count as wrong")
    return some_without


SOURCES = {"squad": prepare_squad}
