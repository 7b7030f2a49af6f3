"""Export a checkpoint as a folder that transformers loads.

fairseq-electra export --to transformers checkpoints/checkpoint_last.pt my-electra

A pre-training checkpoint gives the discriminator in the folder and the generator in its subfolder
"generator". A masked language model, or a fine-tuned encoder with its head, lies in the folder itself. A
model trained with --norm pre is refused: transformers' ELECTRA and RoFormer cannot represent it. Before
anything is written, transformers' tokenizer must give sample text the same ids, and its models must give our
outputs, in float64 within 1e-6 of their values.
"""

import argparse
import importlib
import inspect
import logging
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, VOCABULARY, require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="file saved by fairseq-train, or a folder with checkpoint_best.pt or checkpoint_last.pt",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write; new or empty")
    parser.add_argument("--to", choices=formats(), required=True, help="format")
    parser.add_argument(
        "--vocab",
        type=Path,
        metavar="DIR",
        help="folder of the vocabulary (default: the checkpoint's, or its data's)",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="training log, for the figures of the model card"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="report on the training text, of fairseq-electra report --output FILE, for the model card",
    )
    parser.add_argument(
        "--bias",
        type=Path,
        metavar="FILE",
        help="results of fairseq-electra bias --output, for a section of the model card",
    )


def formats() -> list[str]:
    """List the formats: each is a module ``interchange/export_NAME.py`` with a function ``export_NAME``.

    A format with a model card takes the Markdown to end it with as a fourth argument.
    """
    folder = Path(__file__).parents[1] / "interchange"
    return sorted(path.stem.removeprefix("export_") for path in folder.glob("export_*.py"))


def run(args: argparse.Namespace) -> None:
    """Export the checkpoint."""
    require(CHECKPOINT, args.checkpoint)
    require("log", args.log)
    require("report", args.report)
    require("file of results", args.bias)
    require(VOCABULARY, args.vocab)
    import fairseq_electra
    from fairseq_electra.interchange import require_transformers

    if args.to == "transformers":
        require_transformers()
    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    from fairseq_electra.corpus_report import card as report_card
    from fairseq_electra.finetuning.encoder import EncoderWithHeads
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.pretraining.log import read_log
    from fairseq_electra.probes import bias_card

    module = importlib.import_module(f"fairseq_electra.interchange.export_{args.to}")
    export = getattr(module, f"export_{args.to}")
    records = read_log(args.log) if args.log else []
    if args.log and not records:
        raise InputError(
            f"--log {args.log} has no record of a run with --log-format json; give what fairseq-train printed"
        )
    pretrained = load_checkpoint(args.checkpoint, args.vocab)
    sections = [report_card.card_section(args.report)] if args.report else []
    if args.bias:
        fine_tuned = isinstance(pretrained.model, EncoderWithHeads)
        sections.append(bias_card.card_section(args.bias, args.checkpoint, fine_tuned))
    card = {"more": "\n".join(sections)} if sections else {}
    if card and "more" not in inspect.signature(export).parameters:
        raise InputError(f"--to {args.to} writes no model card; leave out --report and --bias")
    for line in export(pretrained, args.folder, records, **card):
        print(line)
