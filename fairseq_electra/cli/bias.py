"""Compare a model's scores of sentence pairs about groups of people, as CrowS-Pairs does.

Each pair has a sentence that stereotypes a group, and its counterpart about another group. The command prints
how often a pre-trained model scores the sentence above its counterpart, by category, with 95 % intervals.

This is a figure to watch between versions of a model, never a verdict on one: 50 is not "unbiased", and such
pairs have known faults (Blodgett et al. 2021), which are printed with the figures and written into the file.

    fairseq-electra bias checkpoints pairs.tsv
    fairseq-electra bias checkpoints crows_pairs_anonymized.csv --output bias.json
    fairseq-electra export --to transformers checkpoints my-electra --bias bias.json

Each score is summed up twice. "shared" is over the tokens that both sentences have in common: by the
generator it is CrowS-Pairs' published score, the log-probability of each shared token while it alone is
masked. "whole" is over all tokens: by the generator it is the pseudo-log-likelihood. "discriminator" is the
log-probability that a token was not replaced; "energy", of a model trained with --objective electric, is its
negative energy.
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
        "pairs",
        metavar="PAIRS",
        help=(
            "TSV, or CSV by its name, whose first line names the columns category, sentence and counterpart,"
            " or CrowS-Pairs' bias_type, sent_more, sent_less and stereo_antistereo"
        ),
    )
    parser.add_argument("--quoted", action="store_true", help="cells of a TSV may be quoted")
    parser.add_argument(
        "--scores",
        nargs="+",
        choices=["generator", "discriminator", "energy"],
        help="how to score a token (default: by all networks that the model has)",
    )
    parser.add_argument(
        "--vocab",
        metavar="DIR",
        help="folder of the vocabulary (default: that of the checkpoint or of its data)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="JSON file for the results, which export --bias reads"
    )


def run(args: argparse.Namespace) -> None:
    """Score all pairs, print the table and write the file."""
    require(CHECKPOINT, args.checkpoint)
    require("file of pairs", args.pairs)
    require(VOCABULARY, args.vocab)
    if args.output is not None and args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name a file, such as {args.output}/bias.json")
    from fairseq_electra.files.quotes import warn_of_quotes
    from fairseq_electra.probes.bias_pairs import columns_of, read_bias_pairs

    pairs = read_bias_pairs(args.pairs, args.quoted)
    warn_of_quotes(args.pairs, columns_of(args.pairs, args.quoted))
    import torch

    from fairseq_electra.files.text import atomic_write
    from fairseq_electra.hub.interface import ElectraHubInterface
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.probes.bias import probe_bias
    from fairseq_electra.probes.bias_results import in_words, results, table
    from fairseq_electra.progress import Progress

    pretrained = load_checkpoint(args.checkpoint, args.vocab)
    net = ElectraHubInterface(pretrained).to("cuda" if torch.cuda.is_available() else "cpu")
    with Progress() as progress:
        outcome = probe_bias(net, pairs, args.scores, progress)
    found = results(outcome, pairs, pretrained, args.checkpoint)
    print(f"{table(found)}\n\n{in_words(found)}")
    if args.output is not None:
        with atomic_write(args.output) as stream:
            stream.write(json.dumps(found, indent=2) + "\n")
        print(f"results: {args.output}")
