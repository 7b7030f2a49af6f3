"""What the commands that probe a pre-training checkpoint share: arguments, the model, the file of results."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, VOCABULARY, check_output, require

if TYPE_CHECKING:
    from fairseq_electra.hub.interface import ElectraHubInterface

SENTENCE_SCORES = ("generator", "discriminator", "energy")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Declare the checkpoint, the first argument."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="pre-training checkpoint, or the folder of a run",
    )


def add_probing_arguments(
    parser: argparse.ArgumentParser, scores: tuple[str, ...], scored: str, output: str
) -> None:
    """Declare the arguments that follow those of a command's own.

    Args:
        parser: the command's.
        scores: names of the scores to choose from.
        scored: what is scored, with an article.
        output: what the JSON file holds.
    """
    parser.add_argument(
        "--scores",
        nargs="+",
        choices=list(scores),
        help=f"how to score {scored} (default: by all networks that the model has)",
    )
    parser.add_argument(
        "--vocab",
        metavar="DIR",
        help="folder of the vocabulary (default: that of the checkpoint or of its data)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"JSON file for {output}")


def check_probing_arguments(args: argparse.Namespace, example: str) -> None:
    """Refuse paths that cannot be; ``example`` is a name of an output file."""
    require(CHECKPOINT, args.checkpoint)
    require(VOCABULARY, args.vocab)
    if args.output is not None and args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name a file, such as {args.output}/{example}")
    check_output(args)


def load(args: argparse.Namespace) -> "tuple[dict[str, Any], ElectraHubInterface]":
    """Load the checkpoint.

    Returns:
        what the results say of it, and its model, on a GPU if there is one.
    """
    import torch

    from fairseq_electra.hub.interface import ElectraHubInterface
    from fairseq_electra.hub.load import load_checkpoint
    from fairseq_electra.probes.results import described

    pretrained = load_checkpoint(args.checkpoint, args.vocab)
    net = ElectraHubInterface(pretrained).to("cuda" if torch.cuda.is_available() else "cpu")
    return described(pretrained, args.checkpoint), net


def warn_of_unknown(net: "ElectraHubInterface", source: str, sentences: Sequence[str]) -> None:
    """Report on standard error how much of the sentences of a source the vocabulary does not know."""
    from fairseq_electra.cli._unknown_text import UnknownText
    from fairseq_electra.pretraining.unknown import Unknown

    unknown = Unknown()
    encodings = net.tokenizer.encode_batch_fast(list(sentences), add_special_tokens=False)
    unknown.add(net.tokenizer, sentences, [encoding.ids for encoding in encodings])
    UnknownText(source, unknown).say()


def write_results(found: dict[str, Any], output: Path | None) -> None:
    """Write the file of results, if there is to be one, and say where."""
    from fairseq_electra.files.text import atomic_write

    if output is None:
        return
    with atomic_write(output) as stream:
        stream.write(json.dumps(found, indent=2) + "\n")
    print(f"results: {output}")
