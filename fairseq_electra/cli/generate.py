"""Generate text with a masked language model: continue prompts, fill gaps, or write freely.

The model is the generator of a pre-training checkpoint, or a model that was trained with --objective mlm;
--mask-prob-schedule uniform trains it for this. Writes one text per line.

    fairseq-electra generate checkpoints --samples 3 --length 40
    fairseq-electra generate checkpoints --prompt "The orchestra played" --no-repeat 3 --top-p .9
    fairseq-electra generate checkpoints --prompt "The <mask*3> of Spain is Madrid." --critic
    fairseq-electra generate checkpoints --input prompts.txt --candidates 8 --output texts.txt

<mask> stands for one token, <mask*5> for five; a text without either is continued by --length tokens. The
length of a text is never the model's choice. Texts are as lower-case as the vocabulary.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_electra.cli._token_lines import load
from fairseq_electra.errors import InputError
from fairseq_electra.generation.settings import METHODS, ORDERS, Settings
from fairseq_electra.paths import CHECKPOINT, VOCABULARY, check_output, require

if TYPE_CHECKING:
    from fairseq_electra.generation.generate import Generated
    from fairseq_electra.hub.interface import ElectraHubInterface

LENGTH = "64"
SETTINGS = {
    "steps": (int, "number of passes through the generator for a text"),
    "block": (int, "finish blocks of this many tokens from left to right (0: one block)"),
    "temperature": (float, "divides the scores; 0: take the likeliest token"),
    "top_k": (int, "draw from the K likeliest tokens alone (0: from all)"),
    "top_p": (float, "draw from the likeliest tokens alone that have this probability together"),
    "no_repeat": (int, "let no sequence of this many tokens occur twice in a text (0: any may)"),
    "seed": (int, "random seed; the same seed gives the same texts"),
    "candidates": (
        int,
        "generate this many texts for each that is written, and keep the one with the highest mean of"
        " log p(original) by the discriminator",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="pre-training checkpoint, or a folder of checkpoints or of transformers",
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--prompt",
        default="",
        metavar="TEXT",
        help="text to continue, or with <mask> to fill (default: none)",
    )
    given.add_argument(
        "--input", metavar="FILE", help="file with a prompt per line, plain, .gz or .xz; - is standard input"
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=1,
        metavar="N",
        help="number of texts for each prompt (default %(default)s)",
    )
    parser.add_argument(
        "--length",
        metavar="N[:M]",
        help="number of tokens to generate where no <mask> is given, or a range to draw it from"
        f" (default {LENGTH})",
    )
    _add_settings(parser)
    parser.add_argument(
        "--critic-from",
        metavar="CHECKPOINT",
        help="whose discriminator --critic and --candidates use (default: that of the checkpoint itself)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="number of texts at once (default %(default)s)",
    )
    parser.add_argument(
        "--language",
        default="en",
        metavar="CODE",
        help="language in which sacremoses joins words and signs (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON lines, with tokens and scores")
    parser.add_argument("--output", type=Path, metavar="FILE", help="output file (default: standard output)")
    parser.add_argument(
        "--vocab",
        metavar="DIR",
        help="folder of the vocabulary (default: that of the checkpoint or of its data)",
    )
    parser.add_argument(
        "--generator",
        metavar="DIR",
        help="generator of a folder of transformers (default: its subfolder generator)",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare the options that :class:`Settings` has."""
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=Settings.method,
        help="how tokens are chosen to be drawn (default %(default)s)",
    )
    for name, (kind, text) in SETTINGS.items():
        option = f"--{name.replace('_', '-')}"
        default = getattr(Settings, name)
        parser.add_argument(
            option, type=kind, default=default, metavar="N", help=f"{text} (default %(default)s)"
        )
    parser.add_argument(
        "--order",
        choices=ORDERS,
        default=Settings.order,
        help="which of the tokens drawn in a step stay (default %(default)s)",
    )
    parser.add_argument("--remask", action="store_true", help="tokens that stayed may be masked again")
    parser.add_argument(
        "--critic",
        action="store_true",
        help="the discriminator chooses which tokens are masked again: those with the highest p(replaced)",
    )


def run(args: argparse.Namespace) -> None:
    """Read the prompts, complete them and write the texts."""
    settings = Settings(**{name: getattr(args, name) for name in Settings.__dataclass_fields__})
    shortest, longest = _lengths(args.length or LENGTH)
    _check(args, settings)
    from fairseq_electra.generation.detokenize import Detokenizer
    from fairseq_electra.generation.generate import generate
    from fairseq_electra.generation.networks import NetworksOfModels
    from fairseq_electra.generation.templates import GAP, Template, read_template
    from fairseq_electra.generation.uniforms import drawn_length
    from fairseq_electra.pretraining.unknown import PREDICTION_REMEDY, Unknown
    from fairseq_electra.progress import Progress

    model = load(args)
    critic = _critic(args, model) if settings.needs_discriminator else None
    networks = NetworksOfModels(model, critic)
    detokenize = Detokenizer(model.pieces, args.language)
    unknown, templates = Unknown(), list[Template]()
    prompts = list(_prompts(args))
    if args.length and all(GAP.search(prompt) for _, prompt in prompts):
        raise InputError(
            "--length is of prompts without <mask>, and every prompt has one; leave it out, or write <mask*5>"
            " for five tokens"
        )
    for location, prompt in prompts:
        for _ in range(args.samples):
            length = drawn_length(settings.seed, len(templates), shortest, longest)
            templates.append(read_template(model, prompt, length, location, unknown, critic))
    if unknown.unknown_ids:
        warning = unknown.warning("the prompts", PREDICTION_REMEDY)
        print(warning or f"the prompts: {unknown}", file=sys.stderr)
    with Progress() as progress:
        texts = generate(networks, templates, settings, model.device, args.batch_size, progress)
    lines = []
    for i, text in enumerate(texts):
        plain = detokenize([model.symbols[token] for token in text.ids])
        answer = {"prompt": prompts[i // args.samples][1], "text": plain, **_scores(text, model)}
        lines.append(json.dumps(answer, ensure_ascii=False) if args.json else plain)
    _write(lines, args.output)


def _check(args: argparse.Namespace, settings: Settings) -> None:
    """Refuse options and paths that cannot be used, before slow imports.

    Raises:
        InputError: as said.
    """
    for option in ("samples", "batch_size"):
        if getattr(args, option) < 1:
            name = option.replace("_", "-")
            raise InputError(f"--{name} must be 1 or more, got {getattr(args, option)}")
    if args.critic_from and not settings.needs_discriminator:
        raise InputError("--critic-from is for --critic and --candidates; add one of them")
    if args.output is not None and args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name a file, such as {args.output}/texts.txt")
    check_output(args)
    require(CHECKPOINT, args.checkpoint, args.critic_from)
    require(VOCABULARY, args.vocab)
    require("file of prompts", args.input)


def _critic(args: argparse.Namespace, model: "ElectraHubInterface") -> "ElectraHubInterface":
    """Load the model of ``--critic-from``, if it is given."""
    if not args.critic_from:
        return model
    return load(argparse.Namespace(checkpoint=args.critic_from, vocab=args.vocab, generator=None))


def _lengths(given: str) -> tuple[int, int]:
    """Read the value of ``--length``."""
    shortest, _, longest = given.partition(":")
    try:
        lengths = int(shortest), int(longest or shortest)
    except ValueError:
        lengths = 0, 0
    if not 1 <= lengths[0] <= lengths[1]:
        raise InputError(f"--length {given} is no length; give a number such as 64, or a range such as 32:96")
    return lengths


def _prompts(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the name of each prompt in errors, and its text."""
    from fairseq_electra.files.table import is_json, is_table, numbered_lines, source_name

    if args.input is None:
        yield "--prompt", args.prompt
        return
    source = source_name(args.input)
    if is_table(args.input) or is_json(args.input):
        raise InputError(f"{source} is a table by its name; give plain text, a prompt per line")
    number = 0
    for number, line in numbered_lines(args.input):
        if not line.strip():
            raise InputError(f"{source}, line {number} is blank; give a prompt in each line")
        yield f"{source}, line {number}", line
    if not number:
        raise InputError(f"{source} is empty; give a prompt per line")


def _scores(text: "Generated", model: "ElectraHubInterface") -> dict:
    """Return the tokens of a text with their scores, for JSON."""
    tokens = []
    for i, token in enumerate(text.ids):
        piece = model.pieces.text(model.symbols[token])
        entry = {"id": token, "token": piece, "generated": text.is_open[i]}
        if text.is_open[i]:
            entry["logprob"] = text.logprobs[i]
        if text.logprobs_original is not None:
            entry["logprob_original"] = text.logprobs_original[i]
        tokens.append(entry)
    return {"tokens": tokens} | ({} if text.score is None else {"score": text.score})


def _write(lines: list[str], output: Path | None) -> None:
    from fairseq_electra.files.text import atomic_write

    if output is None:
        print("\n".join(lines))
        return
    with atomic_write(output) as stream:
        stream.write("".join(f"{line}\n" for line in lines))
    print(f"{len(lines):,} texts: {output}")
