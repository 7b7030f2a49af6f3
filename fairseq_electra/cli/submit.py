r"""Write the files for GLUE's server from the runs of `fairseq-electra finetune`.

fairseq-electra submit runs/glue --net ours --output submission && \
    (cd submission && zip ../submission.zip *.tsv)

Each prediction comes from the mean of all seeds' scores. The diagnostic set AX is predicted by the model of
MNLI.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("runs", type=Path, metavar="DIR", help="the --output of fairseq-electra finetune")
    parser.add_argument("--net", required=True, metavar="NAME", help="name of one of its models")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder to write; new or empty"
    )
    parser.add_argument(
        "--single", action="store_true", help="use the seed that is best on valid, not the mean of all"
    )


def run(args: argparse.Namespace) -> None:
    """Write the files."""
    from fairseq_electra.finetuning.results import RESULTS_FILE
    from fairseq_electra.finetuning.sentences.glue import GLUE
    from fairseq_electra.finetuning.sentences.submission import read_results, write_submission

    results = read_results(args.runs / RESULTS_FILE)
    left_out = sorted({line["task"] for line in results["summary"]} - set(GLUE))
    if left_out:
        print(f"left out, not tasks of GLUE: {', '.join(left_out)}")
    for name in write_submission(results, args.runs, args.net, args.output, args.single):
        print(args.output / name)
