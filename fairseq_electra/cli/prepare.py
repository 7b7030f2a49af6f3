"""Turn labelled text into a folder that fairseq's sentence_prediction and sentence_ranking and our own tasks read.

fairseq-electra prepare --vocab vocab --destdir glue-bin --glue GLUE                       # a folder for each task that is there
fairseq-electra prepare --vocab vocab --destdir my-bin --text question answer --label class --train a.tsv --valid b.jsonl
fairseq-electra prepare --vocab vocab --destdir swag-bin --swag SWAG
fairseq-electra prepare --vocab vocab --destdir squad-bin --squad --train train-v1.1.json --valid dev-v1.1.json
fairseq-electra prepare --vocab vocab --destdir ner-bin --conll --train train.conll --valid dev.conll --test test.conll
fairseq-electra prepare --vocab vocab --destdir pos-bin --conll --scheme none --word-column 2 --tag-column 4 --train en.conllu

Examples that cannot be used are listed all at once, with their files and lines, and counted by kind; --skip-bad leaves them out.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fairseq_electra.errors import InputError, listed, shortened
from fairseq_electra.files.faults import Faults
from fairseq_electra.files.table import Columns, has_labels, is_csv, is_json
from fairseq_electra.files.text import check_is_new
from fairseq_electra.finetuning.kind import (
    ANSWERING,
    MAX_QUESTION,
    PLAIN_TAG_METRICS,
    PREDICTION,
    RANKING,
    STRIDE,
    TAG_METRICS,
    TAGGING,
    TaskInfo,
)
from fairseq_electra.finetuning.questions.folder import write_question_folder
from fairseq_electra.finetuning.questions.read import QUESTION_COLUMNS, read_squad
from fairseq_electra.finetuning.sentences.folder import check_task, usable_examples, write_task_folder
from fairseq_electra.finetuning.sentences.glue import FOLDERS, GLUE, glue_task
from fairseq_electra.finetuning.sentences.metrics import OF_CLASSES, OF_NUMBERS
from fairseq_electra.finetuning.sentences.multiple_choice import RACE_LETTERS, SWAG_ENDINGS, read_race, read_swag
from fairseq_electra.finetuning.sentences.read import Example, classes_of, quoted_cells, read_examples
from fairseq_electra.finetuning.words.columns import WordColumns
from fairseq_electra.finetuning.words.folder import types_of, with_known_types, write_tag_folder
from fairseq_electra.finetuning.words.read import has_tags, read_conll
from fairseq_electra.finetuning.words.tags import BIO, NONE, OUTSIDE, SCHEMES
from fairseq_electra.paths import VOCABULARY, require
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import LEADING, MASK
from fairseq_electra.progress import Progress

SPLITS = ("train", "valid", "test")
# labels that are more than this many, and more than half of the examples, are no classes
MANY_CLASSES = 20
# which sources an option is for, where it is not for all
SOURCES_OF = {
    "tasks": ("glue",),
    "double_unordered": ("glue", "text"),
    "stride": ("squad", "conll"),
    "max_question": ("squad",),
    **dict.fromkeys(("scheme", "bioes", "word_column", "tag_column"), ("conll",)),
    **dict.fromkeys(("label", "header", "quoted", "labels", "regression", "metrics"), ("text",)),
    **dict.fromkeys((*SPLITS, "skip_bad"), ("text", "squad", "conll")),
}
Read = TypeVar("Read")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--vocab", required=True, metavar="DIR", help="folder written by: fairseq-electra vocab")
    parser.add_argument(
        "--destdir", required=True, type=Path, metavar="DIR", help="folder to write; --glue makes a subfolder for each task"
    )
    parser.add_argument("--max-positions", type=int, metavar="N", help="tokens of the longest row (default 128; of RACE and SQuAD 512)")
    sources = parser.add_argument_group("GLUE, SWAG, RACE")
    sources.add_argument("--glue", metavar="DIR", help="GLUE's folder")
    sources.add_argument(
        "--tasks", nargs="+", choices=list(GLUE), metavar="TASK", help=f"of GLUE: {', '.join(GLUE)} (default: all there are)"
    )
    sources.add_argument("--swag", metavar="DIR", help="SWAG's folder, with train.csv and val.csv")
    sources.add_argument("--race", metavar="DIR", help="RACE's folder, with train, dev and test")
    windows = parser.add_argument_group("questions, and words in columns")
    windows.add_argument("--squad", action="store_true", help="questions and contexts, files of SQuAD's form or the datasets library's")
    windows.add_argument("--conll", action="store_true", help="a word a line, its tag in another column, a blank line between sentences")
    windows.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help=f"pieces from window to window (default {STRIDE}), of --conll from row to row (default half a row)",
    )
    windows.add_argument("--max-question", type=int, metavar="N", help=f"pieces of the longest question (default {MAX_QUESTION})")
    windows.add_argument(
        "--scheme",
        choices=SCHEMES,
        help=f"tags of the files (default {BIO}); trained and scored are BIO, or BIOES with --bioes; {NONE}: any tags, kept as they are",
    )
    windows.add_argument("--word-column", type=int, metavar="N", help="of --conll: column with the words, from 1 on (default 1)")
    windows.add_argument("--tag-column", type=int, metavar="N", help="of --conll: column with the tags (default: the last)")
    windows.add_argument("--bioes", action="store_true", help="convert the tags to BIOES")
    own = parser.add_argument_group(
        "your own TSV, JSON lines (named .jsonl) or CSV (named .csv); --train, --valid, --test and --skip-bad also for the group above"
    )
    own.add_argument("--text", nargs="+", metavar="COLUMN", help="the column, or two, with the text")
    own.add_argument("--label", metavar="COLUMN", help="the column with the label")
    for split in SPLITS:
        own.add_argument(f"--{split}", metavar="FILE", help=f"examples of {split}")
    own.add_argument("--skip-bad", action="store_true", help="leave out examples that cannot be used, and list them")
    own.add_argument("--header", nargs="+", metavar="COLUMN", help="names of the columns, where a TSV does not begin with them")
    own.add_argument(
        "--quoted", action="store_true", help='cells of a TSV may stand in quotes, as spreadsheets write them: "a ""b"" c" is a "b" c'
    )
    own.add_argument(
        "--labels", nargs="+", metavar="LABEL", help="all labels, in the order of their scores (default: those of train, sorted)"
    )
    own.add_argument("--regression", action="store_true", help="the labels are numbers")
    own.add_argument(
        "--metrics",
        nargs="+",
        choices=[*OF_CLASSES, *OF_NUMBERS],
        help="to score with; the first one decides; f1 is that of the second label",
    )
    parser.add_argument(
        "--double-unordered", action="store_true", help="add each pair of train the other way round (the original's MRPC, STS-B)"
    )


def run(args: argparse.Namespace) -> None:
    """Read, check and write."""
    given = [name for name in ("glue", "swag", "race", "text", "squad", "conll") if getattr(args, name)]
    if len(given) != 1:
        raise InputError(f"give one of --glue, --swag, --race, --text, --squad and --conll, got {', '.join(given) or 'none'}")
    for option, sources in SOURCES_OF.items():
        if getattr(args, option) not in (None, False) and given[0] not in sources:
            name, known = option.replace("_", "-"), ", ".join(f"--{source}" for source in sources)
            raise InputError(f"--{name} is an option of {known}, not of --{given[0]}; leave it out")
    require(VOCABULARY, args.vocab)
    require("file", *(getattr(args, split) for split in SPLITS))
    if given != ["glue"]:
        check_is_new(args.destdir)
    if args.max_positions is None:
        args.max_positions = 512 if args.race or args.squad else 128
    if args.squad or args.conll:
        (_questions if args.squad else _words)(args)
        return
    if given == ["glue"]:
        plans = _glue(args)
    else:
        plans = [(args.destdir, *{"swag": _swag, "race": _race, "text": _own}[given[0]](args), args.double_unordered)]
    if len(plans) > 1:  # nothing is written where one of them is wrong
        for _, splits, info, double in plans:
            check_task(splits, info, double)
    for folder, splits, info, double in plans:
        unknown = Unknown()
        with Progress() as progress:
            finished = write_task_folder(folder, args.vocab, splits, info, double, unknown, progress)
        what = f"{info.choices} choices" if info.choices else f"{len(info.labels)} labels" if info.labels else "numbers"
        numbers = ", ".join(f"{split} {number:,}" for split, number in finished.examples.items())
        cut = sum(finished.shortened.values())
        more = (f"; {cut:,} cut to {info.max_positions} tokens" if cut else "") + f"; {unknown}"
        metrics = ", ".join(f"f1 of {info.labels[1]!r}" if name == "f1" else name for name in info.metrics)
        print(f"{folder}: {numbers}; {what}; {metrics}{more}")
        unknown.warn(str(folder))


def _glue(args: argparse.Namespace) -> list[tuple[Path, dict[str, list[Example]], TaskInfo, bool]]:
    there = [name for name in GLUE if any((Path(args.glue) / each).is_dir() for each in FOLDERS.get(name, (name,)))]
    if not there and not args.tasks:
        raise InputError(f"{args.glue} holds no folder of GLUE ({', '.join(GLUE)}); give the folder that holds them")
    missing = [name for name in GLUE if name not in there]
    if missing and not args.tasks:
        print(f"not there: {', '.join(missing)}")
    plans, names = [], args.tasks or there
    for name in names:  # all of them, before minutes of reading
        check_is_new(args.destdir / name)
    for name in names:
        splits, info = _reading(f"{args.glue}, {name}", glue_task, args.glue, name, args.max_positions)
        plans.append((args.destdir / name, splits, info, args.double_unordered and GLUE[name].unordered))
    return plans


def _swag(args: argparse.Namespace) -> tuple[dict[str, list[Example]], TaskInfo]:
    info = TaskInfo("SWAG", RANKING, 1 + len(SWAG_ENDINGS), (), ("accuracy",), args.max_positions)
    return _reading(args.swag, read_swag, args.swag), info


def _race(args: argparse.Namespace) -> tuple[dict[str, list[Example]], TaskInfo]:
    info = TaskInfo("RACE", RANKING, 1 + len(RACE_LETTERS), (), ("accuracy",), args.max_positions)
    return _reading(args.race, read_race, args.race), info


def _own(args: argparse.Namespace) -> tuple[dict[str, list[Example]], TaskInfo]:
    files = {split: path for split in SPLITS if (path := getattr(args, split))}
    if not args.label or "train" not in files:
        raise InputError("--text needs --label COLUMN and --train FILE beside it")
    if len(args.text) > 2:
        raise InputError(f"--text names {len(args.text)} columns; a row holds one sentence or a pair")
    columns = Columns(
        tuple(args.text), args.label, tuple(args.header) if args.header else None, quoted=args.quoted, numbers=args.regression
    )
    if args.regression and args.labels:
        raise InputError("--labels names classes, and with --regression the labels are numbers; leave out one of the two")
    faults = Faults(args.skip_bad)
    splits = {split: _examples(path, columns, split == "test", faults) for split, path in files.items()}
    if not splits["train"]:
        _settle(faults, splits)
    try:
        labels = () if args.regression else _classes(args, splits["train"])
    except InputError:
        faults.raise_unless_skipped({split: len(examples) for split, examples in splits.items()})  # what cannot be used may well be why
        raise
    metrics = tuple(args.metrics or (("pearson", "spearman") if args.regression else ("accuracy",)))
    if any((name in OF_NUMBERS) != args.regression for name in metrics):
        raise InputError(f"--metrics {' '.join(metrics)}: {', '.join(OF_NUMBERS)} are for numbers (--regression), the others for classes")
    if "f1" in metrics and len(labels) != 2:
        raise InputError(f"--metrics f1 is for two classes, and there are {len(labels)}: {listed(labels)}; use macro_f1")
    name, texts = args.destdir.resolve().name, columns.texts
    info = TaskInfo(name, PREDICTION, len(texts), labels, metrics, args.max_positions, columns=texts, label_column=args.label)
    splits = {split: usable_examples(split, examples, info, faults) for split, examples in splits.items()}
    _settle(faults, splits)
    return splits, info


def _classes(args: argparse.Namespace, examples: list[Example]) -> tuple[str, ...]:
    """Return the classes of train, in the order of their scores, and refuse what can be none."""
    labels = tuple(args.labels or classes_of(examples))
    if len(labels) > MANY_CLASSES and 2 * len(labels) > len(examples) and not args.labels:
        found = f"{len(labels):,} different values in {len(examples):,} examples, such as {shortened(labels[-1])!r}"
        raise InputError(
            f"{args.train}: the column {args.label!r} has {found}, so they are no classes; are --text and --label swapped? For "
            "numbers, give --regression"
        )
    strange = [label for label in labels if labels.count(label) > 1 or label in (*LEADING, MASK)]
    if strange:
        raise InputError(f"--labels: {strange[0]!r} stands there twice, or is a symbol of fairseq's; name each label once, by another name")
    if len(labels) == 1:
        raise InputError(f"{args.train}: every label is {labels[0]!r}; two or more are needed, or --regression for numbers")
    return labels


def _reading(what: str | Path, read: Callable[..., Read], *arguments: object) -> Read:
    """Read, and show what the time goes on."""
    with Progress() as progress:
        progress.stage(f"reading {what}")
        return read(*arguments)


def _settle(faults: Faults, splits: dict[str, list]) -> None:
    """Refuse, or name, examples that cannot be used."""
    faults.raise_unless_skipped({split: len(examples) for split, examples in splits.items()})
    if faults.errors:
        print(f"left out: {len(faults.errors):,} examples: {faults.listing()}", file=sys.stderr)


def _examples(path: str, columns: Columns, may_lack_labels: bool, faults: Faults) -> list[Example]:
    if may_lack_labels and not has_labels(path, columns):
        header = tuple(name for name in columns.header if name != columns.label) if columns.header else None
        columns = replace(columns, label=None, header=header)
    examples = _reading(path, read_examples, path, columns, faults)
    if not (columns.quoted or is_json(path) or is_csv(path)) and (number := quoted_cells(examples)):
        cells = len(examples) * (len(columns.texts) + (columns.label is not None))
        warning = f"{number:,} of {cells:,} cells begin and end with quotes, which are read as text; if they are not, give --quoted"
        print(f"warning: {path}: {warning}", file=sys.stderr)
    return examples


def _files(args: argparse.Namespace) -> dict[str, str]:
    files = {split: path for split in SPLITS if (path := getattr(args, split))}
    if not files:
        raise InputError("give the files: --train FILE --valid FILE, and --test FILE where there is one")
    return files


def _questions(args: argparse.Namespace) -> None:
    files, faults = _files(args), Faults(args.skip_bad)
    splits = {split: _reading(path, read_squad, path, split != "test", faults) for split, path in files.items()}
    faults.raise_unless_skipped({split: len(squad.questions) for split, squad in splits.items()})
    without = {split: sum(not question.answers for question in squad.questions) for split, squad in splits.items() if squad.labelled}
    some_without = any(number for split, number in without.items() if split != "test")
    if without.get("test") and not some_without:
        found = f"test has {without['test']:,} questions without an answer, {' and '.join(each for each in without if each != 'test')} none"
        print(f"warning: {args.destdir}: {found}, so nets learn to answer all, and these count as wrong", file=sys.stderr)
    info = TaskInfo(
        args.destdir.resolve().name,
        ANSWERING,
        2,
        (),
        ("f1", "exact_match", *(("answerable_f1", "unanswerable_accuracy", "best_answer_f1", "threshold") if some_without else ())),
        args.max_positions,
        stride=STRIDE if args.stride is None else args.stride,
        max_question=MAX_QUESTION if args.max_question is None else args.max_question,
        unanswerable=some_without,
        columns=QUESTION_COLUMNS,
        unlabelled=tuple(split for split, squad in splits.items() if not squad.labelled),
    )
    unknown = Unknown()
    with Progress() as progress:
        finished = write_question_folder(args.destdir, args.vocab, splits, info, unknown, faults, progress)
    _settle(faults, {})
    what = f"questions{', some without an answer' if some_without else ''}"
    cut, repaired = sum(finished.cut.values()), sum(squad.repaired for squad in splits.values())
    more = f"; {cut:,} questions cut to {info.max_question} pieces" if cut else ""
    more += f"; {repaired:,} answers had blanks around them, which were taken away" if repaired else ""
    print(f"{args.destdir}: {_numbers(finished)}; {what}; {_rows(finished, 'windows')}{more}; {unknown}")
    unknown.warn(str(args.destdir))


def _words(args: argparse.Namespace) -> None:
    files = _files(args)
    scheme, columns, faults = args.scheme or BIO, _word_columns(args), Faults(args.skip_bad)
    unlabelled = tuple(split for split, path in files.items() if split == "test" and not has_tags(path, scheme, columns))
    if "train" not in files:
        raise InputError("--conll needs --train FILE: its tags are those to learn")
    splits = {split: _reading(path, read_conll, path, scheme, split not in unlabelled, columns, faults) for split, path in files.items()}
    splits = with_known_types(splits, faults, scheme)
    _settle(faults, splits)
    _check_tags(types_of(splits["train"]), files["train"], scheme, columns)
    stride = max(1, (args.max_positions - 2) // 2) if args.stride is None else args.stride
    info = TaskInfo(
        args.destdir.resolve().name,
        TAGGING,
        1,
        (),
        PLAIN_TAG_METRICS if scheme == NONE else TAG_METRICS,
        args.max_positions,
        stride=stride,
        unlabelled=unlabelled,
        scheme=scheme,
        word_column=columns.word,
        tag_column=columns.tag,
    )
    unknown = Unknown()
    with Progress() as progress:
        finished = write_tag_folder(args.destdir, args.vocab, splits, info, args.bioes, unknown, progress)
    untagged = f"; {unlabelled[0]} has no tags" if unlabelled else ""
    cut = sum(finished.cut.values())
    cut_words = f"; {cut:,} have a word that was cut to {args.max_positions - 2} pieces" if cut else ""
    print(f"{args.destdir}: {_numbers(finished)}; {len(finished.labels)} tags{untagged}; {_rows(finished, 'rows')}{cut_words}; {unknown}")
    unknown.warn(str(args.destdir))


def _check_tags(types: list[str], path: str, scheme: str, columns: WordColumns) -> None:
    """Refuse tags that are all the same: types of entities beside O, or without a scheme the tags themselves."""
    if len(types) < (2 if scheme == NONE else 1):
        place = f"column {columns.tag}" if columns.tag else "the last column"
        raise InputError(
            f"{path}: every tag is {(types or [OUTSIDE])[0]!r} in {place}, where two or more are needed; name the column with --tag-column"
        )


def _word_columns(args: argparse.Namespace) -> WordColumns:
    word, tag = args.word_column, args.tag_column
    word = 1 if word is None else word
    if word < 1 or (tag is not None and (tag < 1 or tag == word)):
        raise InputError(f"--word-column {word} and --tag-column {tag}: name two columns, counted from 1")
    if args.bioes and args.scheme == NONE:
        raise InputError(f"--bioes converts tags of entities, and with --scheme {NONE} they are kept as they are; leave out one of the two")
    return WordColumns(word, tag or 0)


def _numbers(info: TaskInfo) -> str:
    return ", ".join(f"{split} {number:,}" for split, number in info.examples.items())


def _rows(info: TaskInfo, unit: str) -> str:
    several, number = sum(info.shortened.values()), sum(info.rows.values())
    return f"{several:,} in several {unit} of {info.max_positions} tokens, {number:,} {unit} in all"
