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

from fairseq_electra.cli._probing import (
    SENTENCE_SCORES,
    add_checkpoint,
    add_probing_arguments,
    check_probing_arguments,
    load,
    warn_of_unknown,
    write_results,
)
from fairseq_electra.paths import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "pairs",
        metavar="PAIRS",
        help=(
            "TSV, or CSV by its name, whose first line names the columns category, sentence and counterpart,"
            " or CrowS-Pairs' bias_type, sent_more, sent_less and stereo_antistereo"
        ),
    )
    parser.add_argument("--quoted", action="store_true", help="cells of a TSV may be quoted")
    add_probing_arguments(parser, SENTENCE_SCORES, "a token", "the results, which export --bias reads")


def run(args: argparse.Namespace) -> None:
    """Score all pairs, print the table and write the file."""
    check_probing_arguments(args, "bias.json")
    require("file of pairs", args.pairs)
    from fairseq_electra.files.quotes import warn_of_quotes
    from fairseq_electra.probes.bias_pairs import columns_of, read_bias_pairs

    pairs = read_bias_pairs(args.pairs, args.quoted)
    warn_of_quotes(args.pairs, columns_of(args.pairs, args.quoted))
    from fairseq_electra.probes.bias import probe_bias
    from fairseq_electra.probes.bias_results import in_words, results, table
    from fairseq_electra.progress import Progress

    described, net = load(args)
    warn_of_unknown(net, args.pairs, [text for pair in pairs for text in (pair.sentence, pair.counterpart)])
    with Progress() as progress:
        outcome = probe_bias(net, pairs, args.scores, progress)
    found = results(outcome, pairs, described)
    print(f"{table(found)}\n\n{in_words(found)}")
    write_results(found, args.output)
