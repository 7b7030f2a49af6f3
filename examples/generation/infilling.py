"""How often a model fills in the very token that was masked.

    python -m generation.infilling checkpoints data-bin --steps 16 --mask-prob .15 .5

Of lines of the validation text a share of the tokens is masked. The command prints how many of them the
chosen method restores, beside the generator's own accuracy: the likeliest token of each, all in one pass.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fairseq_electra.electra.masking import Masking
from fairseq_electra.errors import InputError
from fairseq_electra.generation.generate import generate
from fairseq_electra.generation.networks import NetworksOfModels
from fairseq_electra.generation.settings import METHODS, Settings
from fairseq_electra.generation.templates import Template
from fairseq_electra.hub.interface import ElectraHubInterface, from_pretrained
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.dictionary import read_vocabulary
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, LEADING, PAD_ID, UNK_ID
from generation import positive_integer, run

MIN_TOKENS = 8  # of a line that is taken


class Accuracy(NamedTuple):
    """Accuracies in per cent, and the number of tokens behind them."""

    tokens: int
    in_one_pass: float
    in_steps: float


def lines_of(
    data: str | Path, symbols: list[str], split: str, number: int, longest: int, shortest: int = MIN_TOKENS
) -> list[np.ndarray]:
    """Read the first lines of a binarized text that are long enough.

    Args:
        data: data folder.
        symbols: the vocabulary that the data must have.
        split: the split to read.
        number: number of lines.
        longest: lines are cut to this many tokens.
        shortest: number of tokens of the lines that are taken, at least.

    Returns:
        ids of each line, without its ``</s>``. Shape: (length,) each.

    Raises:
        InputError: the text is missing, empty or of another vocabulary.
    """
    if read_vocabulary(data) != symbols:
        raise InputError(f"{data} was made with another vocabulary than the model's; give the data it knows")
    text = open_binarized(Path(data) / split, len(symbols))
    ends = text.line_sizes.cumsum()
    chosen = np.flatnonzero(text.line_sizes > shortest)[:number]
    if not len(chosen):
        raise InputError(f"{data} has no line of {shortest} tokens in {split}; give other text")
    return [text.ids[ends[i] - text.line_sizes[i] : ends[i] - 1][:longest].astype(np.int64) for i in chosen]


def masked_template(line: np.ndarray, number: int, mask: int, mask_prob: float, seed: int) -> Template:
    """Mask a share of a line's tokens, as in pre-training; ``<unk>`` stays.

    Args:
        line: ids. Shape: (length,).
        number: number of the line, from which its masks are drawn.
        mask: id of ``<mask>``.
        mask_prob: share of the tokens.
        seed: random seed.
    """
    row = np.array([[BOS_ID, *line, EOS_ID]])
    masking = Masking(mask_prob, 0.0, 0.0, mask, PAD_ID, len(LEADING), seed=seed)
    masked = masking(row, np.array([row.shape[1]]), 1, np.array([number]))
    is_open = (np.asarray(masked.src_tokens)[0] == mask) & (row[0] != UNK_ID)
    return Template(tuple(np.where(is_open, mask, row[0]).tolist()), tuple(is_open.tolist()))


def infilling_accuracy(
    model: ElectraHubInterface,
    networks: NetworksOfModels,
    lines: list[np.ndarray],
    mask_prob: float,
    settings: Settings,
) -> Accuracy:
    """Mask tokens, fill them in, and compare them with the original ones."""
    templates = [
        masked_template(line, i, model.mask, mask_prob, settings.seed) for i, line in enumerate(lines)
    ]
    kept = [i for i, template in enumerate(templates) if any(template.is_open)]
    correct, tokens = [], 0
    for each in (Settings(steps=1, temperature=0), settings):
        texts = generate(networks, [templates[i] for i in kept], each, model.device)
        hits = [
            (np.array(text.ids) == lines[i])[np.array(text.is_open)]
            for i, text in zip(kept, texts, strict=True)
        ]
        tokens = sum(map(len, hits))
        correct.append(100 * float(np.concatenate(hits).mean()))
    return Accuracy(tokens, *correct)


def main() -> None:
    """Print the accuracies as JSON lines, one for each share of masked tokens."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="checkpoint of the pre-training, or its folder")
    parser.add_argument("data", help="data folder, as encode makes it")
    parser.add_argument("--split", default="valid", help="split of the data (default: %(default)s)")
    parser.add_argument(
        "--lines", type=positive_integer, default=200, help="number of lines (default: %(default)s)"
    )
    parser.add_argument(
        *("--mask-prob",), type=float, nargs="+", default=[0.15, 0.5], help="shares (default: .15 .5)"
    )
    parser.add_argument("--method", choices=METHODS, default="diffusion", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=16, help="number of passes (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.0, help="default: 0, the likeliest token")
    parser.add_argument(
        "--critic", action="store_true", help="the discriminator chooses what is masked again"
    )
    parser.add_argument("--critic-from", metavar="CHECKPOINT", help="whose discriminator (default: its own)")
    parser.add_argument("--seed", type=int, default=1, help="of the masks and of what is drawn")
    args = parser.parse_args()
    settings = Settings(
        method=args.method,
        steps=args.steps,
        temperature=args.temperature,
        critic=args.critic,
        seed=args.seed,
    )
    if args.critic_from and not args.critic:
        raise InputError("--critic-from is for --critic; add it")
    if not all(0 < mask_prob <= 1 for mask_prob in args.mask_prob):
        raise InputError(f"--mask-prob must be above 0 and at most 1, got {args.mask_prob}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = from_pretrained(args.checkpoint).to(device)
    critic = from_pretrained(args.critic_from).to(device) if args.critic_from else model
    networks = NetworksOfModels(model, critic if args.critic else None)
    longest = min(model.max_length, critic.max_length) - 2
    lines = lines_of(args.data, model.symbols, args.split, args.lines, longest)
    for mask_prob in args.mask_prob:
        found = infilling_accuracy(model, networks, lines, mask_prob, settings)
        print(json.dumps({"mask_prob": mask_prob, **found._asdict()}))


if __name__ == "__main__":
    run(main)
