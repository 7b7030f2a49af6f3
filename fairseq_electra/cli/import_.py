"""Import a model of transformers as a checkpoint to start from.

fairseq-electra import electra-small-discriminator --generator electra-small-generator released/checkpoint.pt
fairseq-train data-bin ... --arch electra --finetune-from-model released/checkpoint.pt

The vocabulary, with fairseq's ids, is written next to the checkpoint; encode the text with it:
fairseq-electra encode --vocab released. A fine-tuned model keeps its head, for fairseq-electra predict;
fine-tuned again, it gets the head of the new task. A BERT, also one of sentence-transformers, becomes the
discriminator; one with a masked-LM head becomes the generator too. A generator alone is a masked language
model. Before anything is written, sample text must get the ids of transformers' tokenizer, and the model must
give the outputs of transformers' own, in float64 within 1e-6 of their values.
"""

import argparse
import logging
from pathlib import Path

from fairseq_electra.paths import require


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="folder of a discriminator, a BERT, or a fine-tuned model: config.json, model.safetensors, ...",
    )
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint to write, in a new folder"
    )
    parser.add_argument(
        "--generator", type=Path, metavar="DIR", help="the generator (default: DIR/generator, if it is there)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="random seed for weights missing from the folder (default %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Import the folder."""
    require("folder", args.folder, args.generator)
    import fairseq_electra
    from fairseq_electra.interchange import require_transformers

    require_transformers()
    fairseq_electra.register()
    from fairseq_electra.interchange.import_transformers import import_transformers

    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    for line in import_transformers(args.folder, args.checkpoint, args.generator, args.seed):
        print(line)
