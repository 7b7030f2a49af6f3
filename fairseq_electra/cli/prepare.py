r"""Turn labelled text into a folder that fairseq's sentence tasks and the tasks of this package read.

# a folder for each task that is there
fairseq-electra prepare --vocab vocab --destdir glue-bin --glue GLUE
fairseq-electra prepare --vocab vocab --destdir my-bin --text question answer --label class \
    --train a.tsv --valid b.jsonl
fairseq-electra prepare --vocab vocab --destdir topics-bin --multi-label --text text --label topics \
    --train a.csv --valid b.csv
fairseq-electra prepare --vocab vocab --destdir swag-bin --swag SWAG
fairseq-electra prepare --vocab vocab --destdir squad-bin --squad \
    --train train-v1.1.json --valid dev-v1.1.json
fairseq-electra prepare --vocab vocab --destdir ner-bin --conll \
    --train train.conll --valid dev.conll --test test.conll
fairseq-electra prepare --vocab vocab --destdir pos-bin --conll --scheme none --word-column 2 --tag-column 4 \
    --train en.conllu

Examples that cannot be used are listed all at once, with their files and lines, and counted by kind;
--skip-bad leaves them out.
"""

import argparse
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.multilabel import SEPARATOR
from fairseq_electra.finetuning.preparation import SPLITS
from fairseq_electra.finetuning.prepare import SOURCES, options_of, prepare
from fairseq_electra.finetuning.questions import MAX_QUESTION, STRIDE
from fairseq_electra.finetuning.sentences.glue import GLUE
from fairseq_electra.finetuning.sentences.metrics import OF_CLASSES, OF_NUMBERS
from fairseq_electra.finetuning.words.tags import BIO, NONE, SCHEMES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--vocab", required=True, metavar="DIR", help="folder written by: fairseq-electra vocab"
    )
    parser.add_argument(
        "--destdir",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder to write; --glue makes a subfolder for each task",
    )
    parser.add_argument(
        "--max-positions",
        type=int,
        metavar="N",
        help="tokens of the longest row (default 128; of RACE and SQuAD 512)",
    )
    sources = parser.add_argument_group("GLUE, SWAG, RACE")
    sources.add_argument("--glue", metavar="DIR", help="GLUE's folder")
    sources.add_argument(
        "--tasks",
        nargs="+",
        choices=list(GLUE),
        metavar="TASK",
        help=f"of GLUE: {', '.join(GLUE)} (default: all there are)",
    )
    sources.add_argument(
        "--hold-out",
        type=float,
        metavar="SHARE",
        help=(
            "of GLUE: this share of the training examples becomes valid, to choose settings on, and the"
            " development and test sets are left out"
        ),
    )
    sources.add_argument("--swag", metavar="DIR", help="SWAG's folder, with train.csv and val.csv")
    sources.add_argument("--race", metavar="DIR", help="RACE's folder, with train, dev and test")
    windows = parser.add_argument_group("questions, and words in columns")
    windows.add_argument(
        "--squad",
        action="store_true",
        help="questions and contexts, files of SQuAD's form or the datasets library's",
    )
    windows.add_argument(
        "--conll",
        action="store_true",
        help="a word a line, its tag in another column, a blank line between sentences",
    )
    windows.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help=(
            f"pieces from window to window (default {STRIDE}), of --conll from row to row (default half a"
            " row)"
        ),
    )
    windows.add_argument(
        "--max-question",
        type=int,
        metavar="N",
        help=f"pieces of the longest question (default {MAX_QUESTION})",
    )
    windows.add_argument(
        "--scheme",
        choices=SCHEMES,
        help=(
            f"tags of the files (default {BIO}); trained and scored are BIO, or BIOES with --bioes; {NONE}:"
            " any tags, kept as they are"
        ),
    )
    windows.add_argument(
        "--word-column",
        type=int,
        metavar="N",
        help="of --conll: column with the words, from 1 on (default 1)",
    )
    windows.add_argument(
        "--tag-column", type=int, metavar="N", help="of --conll: column with the tags (default: the last)"
    )
    windows.add_argument("--bioes", action="store_true", help="convert the tags to BIOES")
    own_files = parser.add_argument_group(
        "your own TSV, JSON lines (named .jsonl) or CSV (named .csv); --train, --valid, --test and --skip-bad"
        " also for the group above"
    )
    own_files.add_argument("--text", nargs="+", metavar="COLUMN", help="the column, or two, with the text")
    own_files.add_argument("--label", metavar="COLUMN", help="the column with the label")
    own_files.add_argument(
        "--multi-label",
        action="store_true",
        help="a text has several labels, or none: multi_label_classification",
    )
    own_files.add_argument(
        "--label-separator",
        metavar="TEXT",
        help=(
            f"what stands between the labels of a cell (default {SEPARATOR}); JSON lines may have lists of"
            " labels instead"
        ),
    )
    for split in SPLITS:
        own_files.add_argument(f"--{split}", metavar="FILE", help=f"examples of {split}")
    own_files.add_argument(
        "--skip-bad", action="store_true", help="leave out examples that cannot be used, and list them"
    )
    own_files.add_argument(
        "--header",
        nargs="+",
        metavar="COLUMN",
        help="names of the columns, where a TSV does not begin with them",
    )
    own_files.add_argument(
        "--quoted",
        action="store_true",
        help='cells of a TSV may stand in quotes, as spreadsheets write them: "a ""b"" c" is a "b" c',
    )
    own_files.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="all labels, in the order of their scores (default: those of train, sorted)",
    )
    own_files.add_argument("--regression", action="store_true", help="the labels are numbers")
    own_files.add_argument(
        "--metrics",
        nargs="+",
        choices=[*OF_CLASSES, *OF_NUMBERS],
        help="to score with; the first one decides; f1 is that of the second label",
    )
    parser.add_argument(
        "--double-unordered",
        action="store_true",
        help="add each pair of train the other way round (the original's MRPC, STS-B)",
    )


def run(args: argparse.Namespace) -> None:
    """Read, check and write."""
    given = {name: value for name, value in vars(args).items() if value is not None and value is not False}
    source = chosen_source(given)
    destdir, vocabulary = given.pop("destdir"), given.pop("vocab")
    if source not in options_of(source):  # a flag, which says nothing more
        del given[source]
    prepare(source, destdir, vocabulary, **given)


def chosen_source(given: dict) -> str:
    """Return the source that the arguments name.

    A source that is also an option of another named source is read as that option.
    """
    named = [name for name in SOURCES if name in given]
    named = [name for name in named if not any(name in options_of(other) for other in named if other != name)]
    if len(named) != 1:
        *others, last = (f"--{name.replace('_', '-')}" for name in SOURCES)
        raise InputError(f"give one of {', '.join(others)} and {last}, got {', '.join(named) or 'none'}")
    return named[0]
