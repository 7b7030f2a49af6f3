"""Turn a folder of transformers into a checkpoint to start from.

fairseq-electra import electra-small-discriminator --generator electra-small-generator released/checkpoint.pt
fairseq-train data-bin ... --arch electra --finetune-from-model released/checkpoint.pt

The vocabulary, with fairseq's ids, comes beside the checkpoint; encode the text with it: fairseq-electra
encode --vocab released. A fine-tuned net keeps its head, for fairseq-electra predict; fine-tuned again, it
gets the head of the new task. A BERT, also one of sentence-transformers, becomes the discriminator; one with
a masked-LM head the generator as well. Before anything is written, the ids of sample text must be those of
transformers' tokenizer, and our networks must agree with transformers' own, in float64 within 1e-6 of their
values.
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
        help="the discriminator, a BERT, or a fine-tuned net: config.json, model.safetensors, tokenizer.json, ...",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="file to write, in a new folder")
    parser.add_argument(
        "--generator", type=Path, metavar="DIR", help="the generator (default: DIR/generator, if it is there)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of what the folder does not have (default %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Import."""
    require("folder", args.folder, args.generator)
    import fairseq_electra
    from fairseq_electra.interchange import require_transformers

    require_transformers()
    fairseq_electra.register()
    from fairseq_electra.interchange.import_transformers import import_transformers

    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    for line in import_transformers(args.folder, args.checkpoint, args.generator, args.seed):
        print(line)
