"""Corrupt a validation set once with a trained generator, to compare discriminators on it.

Each validation reports fixed_auc: how well the discriminator finds replacements drawn by frequency. With the
file that this command writes into the data folder, it also reports fixed_generator_auc, on replacements made
by a real generator. Both can be compared between runs that read the same data folder.

    fairseq-electra corrupt checkpoints/checkpoint_last.pt data-bin

Another training of the generator, or another machine, gives other replacements. Those of --replacements FILE
can be handed on, so that figures of several machines compare:

    fairseq-electra corrupt checkpoints/checkpoint_last.pt data-bin --replacements judge.npz
    fairseq-electra corrupt judge.npz data-bin
"""

import argparse
import hashlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairseq_electra.checkpoints import find_checkpoint
from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, DATA, require
from fairseq_electra.progress import Progress

if TYPE_CHECKING:
    from fairseq_electra.pretraining.binarized import Binarized
    from fairseq_electra.pretraining.fixed_corruption import Corruption

REPLACEMENTS = ".npz"  # end of the name of a file of replacements


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help=(
            "pre-training checkpoint whose generator to use, or a folder: its last, if a discriminator was"
            " trained beside the generator, else its best; or a file of --replacements (.npz), which are made"
            " again"
        ),
    )
    parser.add_argument(
        "data", metavar="DATA", help="folder of binarized text, with the checkpoint's dict.txt"
    )
    parser.add_argument("--split", default="valid", help="split of the data (default %(default)s)")
    parser.add_argument(
        "--replacements",
        type=Path,
        metavar="FILE.npz",
        help="also write the replacements alone, without the text, for others who have the same text",
    )


def run(args: argparse.Namespace) -> None:
    """Corrupt the split and save it in the data folder."""
    require(CHECKPOINT, args.checkpoint)
    require(DATA, args.data)
    if args.replacements is not None and args.replacements.suffix != REPLACEMENTS:
        raise InputError(f"--replacements {args.replacements}: the name must end with {REPLACEMENTS}")
    import fairseq_electra

    fairseq_electra.register()
    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    from fairseq_electra.pretraining.binarized import load_dictionary, open_binarized
    from fairseq_electra.pretraining.fixed_corruption import (
        BY_GENERATOR,
        load_replacements,
        save_corruption,
        save_replacements,
    )

    prefix = Path(args.data) / args.split
    if Path(args.checkpoint).suffix == REPLACEMENTS:
        vocabulary_size = len(load_dictionary(args.data))
        corpus = open_binarized(prefix, vocabulary_size)
        corruption = load_replacements(Path(args.checkpoint), corpus, vocabulary_size)
    else:
        corpus, corruption = corrupted_by_checkpoint(str(find_checkpoint(args.checkpoint)), args.data, prefix)
    path = save_corruption(prefix, corpus, *corruption)
    print(
        f"{path}: {(corruption.ids != corpus.ids).mean():.1%} of {len(corpus.ids):,} ids replaced by"
        f" {corruption.generator}; logged as {BY_GENERATOR}_auc"
    )
    if args.replacements is not None:
        save_replacements(args.replacements, corpus, corruption)
        print(f"{args.replacements}: the replacements alone")


def corrupted_by_checkpoint(checkpoint: str, data: str, prefix: Path) -> "tuple[Binarized, Corruption]":
    """Corrupt a split with the generator of a checkpoint; returns the text and its corruption.

    Raises:
        InputError: the checkpoint has no generator, or one that cannot read the rows.
    """
    from fairseq_electra.cli.inspect import load_pretrained
    from fairseq_electra.pretraining.binarized import open_binarized
    from fairseq_electra.pretraining.fixed_corruption import ROW_LENGTH, Corruption, corrupt_by_rows

    model, task = load_pretrained(checkpoint, data)
    if not task.objective.has_generator:
        raise InputError(f"{checkpoint} has no generator; give the checkpoint of another --objective")
    sizes = model.generator.sizes
    if sizes.positions == "learned" and sizes.max_position_embeddings < ROW_LENGTH:
        raise InputError(
            f"{checkpoint} reads rows of {sizes.max_position_embeddings} tokens, fewer than the"
            f" {ROW_LENGTH} needed"
        )
    if warning := too_short(task.cfg.tokens_per_sample):
        print(warning, file=sys.stderr)
    dictionary = task.source_dictionary
    corpus = open_binarized(prefix, len(dictionary))
    with Progress() as progress:
        progress.stage(f"corrupting {prefix}", "rows")
        corrupted = corrupt_by_rows(corpus, rows_by_generator(model, dictionary, progress))
    with open(checkpoint, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    name = f"the generator of {Path(checkpoint).name} (SHA-256 {digest[:12]}...)"
    return corpus, Corruption(corrupted, name)


def too_short(trained_on: int) -> str:
    """Return a warning for a generator trained on shorter rows than it corrupts; empty for others."""
    from fairseq_electra.pretraining.fixed_corruption import ROW_LENGTH

    return (
        f"WARNING: the generator was trained on rows of at most {trained_on} tokens and corrupts rows of "
        f"{ROW_LENGTH}: after token "
        f"{trained_on} its replacements may be poor; use one that was trained with --tokens-per-sample "
        f"{ROW_LENGTH} or more"
        if trained_on < ROW_LENGTH
        else ""
    )


def rows_by_generator(model, dictionary, progress: Progress | None = None):
    """Return a function for :func:`corrupt_by_rows` that masks rows and fills in the generator's samples.

    ``progress`` counts the rows.
    """
    import numpy as np
    import torch

    from fairseq_electra.electra.fast.cross_entropy import probabilities
    from fairseq_electra.electra.masking import Masking
    from fairseq_electra.electra.sampling import corrupt, sample_tokens
    from fairseq_electra.pretraining.fixed_corruption import CORRUPTED_SHARE, SEED

    pad, mask = dictionary.pad(), len(dictionary) - 1
    no_text = torch.tensor([*range(dictionary.unk()), mask])  # </s> within a line would end it
    masking = Masking(
        CORRUPTED_SHARE,
        0.15,
        0.0,
        mask_index=mask,
        pad_index=pad,
        first_piece=dictionary.nspecial,
        seed=SEED,
    )

    @torch.no_grad()
    def corrupt_rows(tokens: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        masked = masking(tokens, (tokens != pad).sum(1), 1, numbers)
        src_tokens, positions, target, uniforms = (torch.from_numpy(array) for array in masked[:4])
        logits = model.generate(src_tokens, torch.zeros_like(src_tokens), src_tokens == pad, positions)
        text = logits.index_fill(-1, no_text, float("-inf"))
        sampled = sample_tokens(probabilities(text), uniforms)
        if progress is not None:
            progress.add(len(tokens))
        return corrupt(src_tokens, positions, target, sampled, pad)[0].numpy()

    return corrupt_rows
