"""Measure what a pre-trained model knows of grammar, without fine-tuning it: BLiMP.

BLiMP has 67 paradigms of pairs of sentences, one of them grammatical. A model is right where it scores that
one higher.

    fairseq-electra probe checkpoints blimp.jsonl --pairs 100 --output blimp.json

The score "generator" is the sum over the tokens of the log-probability of each while it alone is masked;
"discriminator" is the sum of the log-probability that each was not replaced; "energy", of a model trained
with --objective electric, is the sum of the negative energies, which estimate log-probabilities without
being normalised.
"""

import argparse

from fairseq_electra.cli._probing import (
    SENTENCE_SCORES,
    add_checkpoint,
    add_probing_arguments,
    check_probing_arguments,
    load,
    warn_of_unknown,
    write_results,
)
from fairseq_electra.errors import InputError
from fairseq_electra.paths import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "blimp",
        metavar="BLIMP",
        help=(
            "JSON lines, plain, .gz or .xz, with the texts UID, linguistics_term, sentence_good and"
            " sentence_bad"
        ),
    )
    parser.add_argument(
        "--pairs", type=int, metavar="N", help="first N pairs of each paradigm alone (default: all)"
    )
    add_probing_arguments(parser, SENTENCE_SCORES, "a sentence", "the results of every paradigm")


def run(args: argparse.Namespace) -> None:
    """Score all pairs, print the table and write the file."""
    check_probing_arguments(args, "blimp.json")
    require("file of pairs", args.blimp)
    if args.pairs is not None and args.pairs < 1:
        raise InputError(f"--pairs must be 1 or more, got {args.pairs}")
    from fairseq_electra.probes.pairs import read_pairs

    pairs = read_pairs(args.blimp, args.pairs)
    from fairseq_electra.probes.blimp import probe
    from fairseq_electra.probes.results import results, table, ties_in_words
    from fairseq_electra.progress import Progress

    described, net = load(args)
    warn_of_unknown(net, args.blimp, [text for pair in pairs for text in (pair.good, pair.bad)])
    with Progress() as progress:
        paradigms = probe(net, pairs, args.scores, progress)
    found = results(paradigms, pairs, described)
    print(f"{table(found)}\n\n{ties_in_words(found)}")
    write_results(found, args.output)
