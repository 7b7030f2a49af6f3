"""Train a vocabulary, or take that of a folder of transformers; write tokenizer.json and dict.txt.

fairseq-electra vocab --size 16000 --output vocab wiki.train*.txt.xz
fairseq-electra vocab --size 16000 --output vocab --text body articles.jsonl.gz
fairseq-electra vocab --size 32000 --output vocab --language en en.*.txt.xz --language ko ko.txt.xz
fairseq-electra vocab --kind bpe --size 16000 --output vocab wiki.train*.txt.xz
fairseq-electra vocab --from ModernBERT-base --output vocab

Both files have the same ids. --from reads WordPiece and byte-level BPE, and checks sample text: it must get
the ids that transformers' own tokenizer gives it.
"""

import argparse
from pathlib import Path

from fairseq_electra.cli._columns import add_column_arguments, check_column_arguments
from fairseq_electra.errors import InputError
from fairseq_electra.paths import require
from fairseq_electra.pretraining.languages import ALPHA, check_language
from fairseq_electra.pretraining.mixed_text import ACCENTS_ARE_KEPT, sample_languages
from fairseq_electra.pretraining.prepare import KINDS, SAMPLE, WORDPIECE, RunningText, learn_vocabulary
from fairseq_electra.pretraining.wordpiece import CHARACTER_COVERAGE, TOKENIZER_FILE
from fairseq_electra.progress import Progress

TEXT_HELP = (
    "column with the text of JSON lines (of CSV or TSV, if the name ends so); each record is a document"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="text, one paragraph per line; plain, .gz or .xz"
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="take the vocabulary of this folder of transformers, or of its tokenizer.json, instead",
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default=WORDPIECE,
        help="kind of the vocabulary: WordPiece or byte-level BPE (default %(default)s)",
    )
    parser.add_argument(
        "--language",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "FILE"),
        help=(
            "a language and its text, instead of FILE alone; once for each language. All get one vocabulary,"
            " which keeps accents"
        ),
    )
    parser.add_argument(
        "--sampling-alpha",
        type=float,
        metavar="POWER",
        help=(
            "how much of the sample is of each language: its share of all characters, to this power; 1: by"
            f" size, 0: all alike (default {ALPHA}); as for training"
        ),
    )
    add_column_arguments(parser, TEXT_HELP)
    parser.add_argument(
        "--size",
        type=int,
        default=30522,
        help="number of ids, special symbols included (default %(default)s, as BERT)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder for tokenizer.json and dict.txt"
    )
    parser.add_argument("--cased", action="store_true", help="keep upper case and accents")
    parser.add_argument(
        "--keep-accents",
        action="store_true",
        help=(
            "keep accents in an uncased vocabulary (always done if 0.5 %% of the letters or more need "
            "their marks, as in Hindi, Thai, Japanese or Russian)"
        ),
    )
    parser.add_argument(
        "--sample",
        type=float,
        default=SAMPLE,
        metavar="MILLION",
        help=(
            "largest number of characters to learn from, in millions; lines are drawn at random; 0: all"
            " (default %(default)s)"
        ),
    )
    parser.add_argument(
        "--min-frequency",
        type=int,
        default=2,
        help="smallest count of a pair of pieces that is merged (default %(default)s)",
    )
    parser.add_argument(
        "--character-coverage",
        type=float,
        default=CHARACTER_COVERAGE,
        metavar="SHARE",
        help=(
            "share of the text; the most frequent characters that make it up get their own entries (default"
            " %(default)s)"
        ),
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="random seed of the sample of lines (default %(default)s)"
    )
    parser.add_argument(
        "--moses",
        metavar="LANGUAGE",
        nargs="?",
        const="en",
        help="normalise punctuation with sacremoses first",
    )


def run(args: argparse.Namespace) -> None:
    """Write the vocabulary and print its size."""
    texts = texts_by_language(args)
    files = [*args.files, *(file for text in texts.values() for file in text.files)]
    if (args.source is None) != bool(files):
        raise InputError("give files with text to learn a vocabulary from, or --from PATH, and not both")
    if (Path(args.output) / TOKENIZER_FILE).exists():
        raise InputError(
            f"{args.output} holds a vocabulary already, whose ids data and checkpoints may have; name a new"
            " folder"
        )
    if args.source is not None:
        _check_nothing_is_learned(args)
        take(args.source, args.output)
        return
    require("text", *files)
    check_column_arguments(args, files)
    text = RunningText(args.files, args.text, quoted=args.quoted, moses=args.moses)
    alpha = ALPHA if args.sampling_alpha is None else args.sampling_alpha
    several = len(texts) > 1 and args.kind == WORDPIECE
    if several and not args.cased:
        print(ACCENTS_ARE_KEPT)
    with Progress() as progress:
        lines = (
            sample_languages(texts, alpha, args.sample, args.seed, progress)
            if texts
            else text.sample(args.sample, args.seed, progress)
        )
        learned = learn_vocabulary(
            lines,
            args.output,
            args.size,
            kind=args.kind,
            cased=args.cased,
            keep_accents=args.keep_accents or several,
            min_frequency=args.min_frequency,
            character_coverage=args.character_coverage,
            progress=progress,
        )
    for note in learned.notes:
        print(note)
    size = learned.size
    print(f"{args.output}: {size:,} ids" + (f" (the text gave only {size:,})" if size < args.size else ""))


def _check_nothing_is_learned(args: argparse.Namespace) -> None:
    """Refuse options that say how a vocabulary is learned beside ``--from``."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    plain = parser.parse_args(["--from", str(args.source), "--output", str(args.output)])
    for name, default in vars(plain).items():
        if getattr(args, name) != default:
            raise InputError(
                f"--{name.replace('_', '-')} is for a vocabulary that is learned from text, and --from takes"
                " one as it is; leave one of them out"
            )


def texts_by_language(args: argparse.Namespace) -> dict[str, RunningText]:
    """Return the text of each --language; none if there are only files.

    Raises:
        InputError: the options of languages do not fit each other or the rest of the command line.
    """
    if args.sampling_alpha is not None and not args.language:
        raise InputError("--sampling-alpha needs --language NAME FILE..., for each language; give both")
    if args.language and args.files:
        raise InputError(f"{args.files[0]} is of no language; give it behind --language NAME")
    if args.language and args.moses:
        raise InputError("--moses is for text in one language; leave it out beside --language")
    texts: dict[str, RunningText] = {}
    for name, *files in args.language:
        check_language(name)
        if not files:
            raise InputError(f"--language {name}: no file is given; give its text, --language {name} FILE...")
        if name in texts:
            raise InputError(f"--language {name} stands there twice; give all of its files behind one")
        texts[name] = RunningText(files, args.text, quoted=args.quoted)
    return texts


def take(source: Path, output: str) -> None:
    """Take a vocabulary of transformers and print what was taken."""
    from fairseq_electra.interchange import require_transformers

    require_transformers()
    from fairseq_electra.interchange.take_vocabulary import take_vocabulary

    for line in take_vocabulary(source, output):
        print(line)
