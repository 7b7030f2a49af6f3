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
import json
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, VOCABULARY, require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="pre-training checkpoint, or a folder with checkpoint_best.pt or else checkpoint_last.pt",
    )
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
    parser.add_argument(
        "--scores",
        nargs="+",
        choices=["generator", "discriminator", "energy"],
        help="how to score a sentence (default: by all networks that the model has)",
    )
    parser.add_argument(
        "--vocab",
        metavar="DIR",
        help="folder of the vocabulary (default: that of the checkpoint or of its data)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="JSON file for the results of every paradigm"
    )


def run(args: argparse.Namespace) -> None:
    """Score all pairs, print the table and write the file."""
    require(CHECKPOINT, args.checkpoint)
    require("file of pairs", args.blimp)
    require(VOCABULARY, args.vocab)
    if args.pairs is not None and args.pairs < 1:
        raise InputError(f"--pairs must be 1 or more, got {args.pairs}")
    if args.output is not None and args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name a file, such as {args.output}/blimp.json")
    from fairseq_electra.probes.pairs import read_pairs

    pairs = read_pairs(args.blimp, args.pairs)
    import torch

    from fairseq_electra.files.text import atomic_write
    from fairseq_electra.hub.interface import ElectraHubInterface
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.probes.blimp import probe
    from fairseq_electra.probes.results import results, table, ties_in_words
    from fairseq_electra.progress import Progress

    pretrained = load_checkpoint(args.checkpoint, args.vocab)
    net = ElectraHubInterface(pretrained).to("cuda" if torch.cuda.is_available() else "cpu")
    with Progress() as progress:
        paradigms = probe(net, pairs, args.scores, progress)
    found = results(paradigms, pairs, pretrained, args.checkpoint)
    print(f"{table(found)}\n\n{ties_in_words(found)}")
    if args.output is not None:
        with atomic_write(args.output) as stream:
            stream.write(json.dumps(found, indent=2) + "\n")
        print(f"results: {args.output}")
