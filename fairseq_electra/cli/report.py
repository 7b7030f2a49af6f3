"""Report what a text holds before a model is trained on it, and filter it.

fairseq-electra report --vocab vocab wiki.train*.txt.xz
fairseq-electra report --language en --mask-personal --filter clean.txt.xz --output report.json wiki.txt.xz

The report has the lengths of documents and lines, languages, near duplicates by MinHash, boilerplate (lines
that occur often), patterns of personal data (e-mail addresses, IBANs, card numbers, IP addresses, phone
numbers), and the characters that a vocabulary loses. Warnings say what sparse or dirty text costs.

--filter writes the text without boilerplate and near duplicates, of which the first copy stays, and with
--language without paragraphs of other languages. A report on the text that it wrote finds none of them.
"""

import argparse
import json
import sys
from pathlib import Path

from fairseq_electra.cli._documents import add_documents_argument
from fairseq_electra.errors import InputError
from fairseq_electra.paths import VOCABULARY, require, require_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="TEXT",
        help="text, one paragraph per line, a blank line between documents; plain, .gz or .xz",
    )
    add_documents_argument(parser)
    parser.add_argument(
        "--vocab", metavar="DIR", help="count tokens and lost characters with the vocabulary of this folder"
    )
    parser.add_argument(
        "--language",
        default="",
        metavar="CODE",
        help="the language of the text, such as en, or several with commas between: others are reported and"
        " filtered",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=10,
        metavar="N",
        help="a line that occurs more than N times is boilerplate (default %(default)s)",
    )
    parser.add_argument(
        "--filter",
        type=Path,
        metavar="OUT",
        help="file for the text without what was found; compressed if its name ends in .gz or .xz",
    )
    parser.add_argument(
        "--mask-personal",
        action="store_true",
        help="with --filter: replace personal data by placeholders such as [EMAIL]",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file for the report")


def run(args: argparse.Namespace) -> None:
    """Examine the text, print the report and write the files."""
    _check(args)
    from fairseq_electra.corpus_report import require_packages

    require_packages()
    from fairseq_electra.corpus_report.filtering import Settings
    from fairseq_electra.corpus_report.report import report_on
    from fairseq_electra.corpus_report.table import removed_table, table
    from fairseq_electra.files.text import atomic_write
    from fairseq_electra.pretraining.documents import BLANK_LINES
    from fairseq_electra.progress import Progress

    languages = tuple(code.strip() for code in args.language.split(",")) if args.language else ()
    settings = Settings(args.repeats, languages, args.mask_personal)
    with Progress() as progress:
        found = report_on(
            args.files, settings, args.vocab, args.filter, progress, args.documents or BLANK_LINES
        )
    print(table(found))
    if args.filter is not None:
        print(f"\n{removed_table(found)}\n\nfiltered text: {args.filter}")
    if args.output is not None:
        with atomic_write(args.output) as stream:
            stream.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        print(f"report: {args.output}")
    for warning in found["warnings"]:
        print(f"WARNING: {warning}", file=sys.stderr)


def _check(args: argparse.Namespace) -> None:
    """Refuse what can be seen to be wrong before anything is read."""
    require("text", *args.files)
    require(VOCABULARY, args.vocab)
    for i, text in enumerate(map(Path, args.files)):
        if text.is_dir():
            continue  # the reader says what to name instead
        if not text.is_file():
            source = "standard input" if str(text) == "-" else f"the pipe {text}"
            raise InputError(f"report reads the text twice, so it cannot come from {source}; name a file")
        if any(text.samefile(before) for before in args.files[:i]):
            raise InputError(
                f"{text} is given twice, so all of it would be a near duplicate; name each file once"
            )
    if args.repeats < 1:
        raise InputError(f"--repeats must be 1 or more, got {args.repeats}")
    if args.mask_personal and args.filter is None:
        raise InputError("--mask-personal changes the text that --filter OUT writes; give that too")
    for option, path in (("--filter", args.filter), ("--output", args.output)):
        if path is not None:
            require_folder(option, path)
        if path is not None and path.is_dir():
            raise InputError(f"{option} {path} is a folder; name a file")
        if path is not None and any(path.resolve() == Path(text).resolve() for text in args.files):
            raise InputError(f"{option} {path} is one of the texts; name another file")
    if args.filter is not None and args.output is not None and args.filter.resolve() == args.output.resolve():
        raise InputError(f"--filter and --output both name {args.filter}; name two files")
