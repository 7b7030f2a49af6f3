"""Defaults of a command line beyond the size: safe ones, the original's, or those of a checkpoint.

The size table keeps the original's shapes, for checkpoints and YAML files that say nothing else. ``--arch``
on a command line fills in what is here, so what is saved is always explicit.
"""

import argparse
import logging
from pathlib import Path

import torch

from fairseq_electra.electra.size_table import MODEL_SIZES

logger = logging.getLogger(__name__)
ORIGINALS = {
    # Clark et al. 2020 names BERT's network (section 3.1) and Adam
    "paper": {"positions": "learned", "norm": "post", "bias_correction": "on", "adam_betas": "(0.9, 0.999)"},
    # google-research/electra model/modeling.py, model/optimization.py::AdamWeightDecayOptimizer
    "google": {
        "positions": "learned",
        "norm": "post",
        "bias_correction": "off",
        "adam_betas": "(0.9, 0.999)",
    },
}
# of pre-training: a second moment that follows the gradients within 50 updates, so that one that was small
# does not make large updates
SAFE_BETAS = "(0.9, 0.98)"
AS = "as_the"  # "as" is a word of Python's


def add_arguments(parser) -> None:
    """Declare ``--as``, which a command line alone has: a YAML file lists what it stands for."""
    parser.add_argument(
        "--as",
        dest=AS,
        choices=sorted(ORIGINALS),
        help=(
            "take defaults from the paper (--positions learned --norm post --adam-betas '(0.9, 0.999)'), "
            "or its code (and --bias-correction off)"
        ),
    )


def fill_in(args: argparse.Namespace) -> None:
    """Fill in open options: those of ``--as``, of the checkpoint to start from, or safe ones."""
    original = args.__dict__.pop(AS, None)
    if original:
        chosen = ORIGINALS[original]
    else:
        chosen = (
            MODEL_SIZES[str(args.model_size)].arch_traits | {"bias_correction": "on"} | traits_of_start(args)
        )
    _set_open(args, chosen)


def fill_in_betas(args: argparse.Namespace) -> None:
    """Fill in Adam's betas of a pre-training whose command line leaves them open, behind :func:`fill_in`."""
    _set_open(args, {"adam_betas": betas_of_start(args) or SAFE_BETAS})


def _set_open(args: argparse.Namespace, chosen: dict[str, str]) -> None:
    for name, value in chosen.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)


def traits_of_start(args: argparse.Namespace) -> dict[str, str]:
    """Read the traits of the checkpoint that a run would start from; empty if there is none of ours."""
    path, cfg = _start(args, args.finetune_from_model)
    saved = cfg.get("model") or {}
    if saved.get("model_size") not in MODEL_SIZES:
        return {}
    size = MODEL_SIZES[saved["model_size"]]
    found = {name: saved.get(name) or getattr(size.encoder, name) for name in ("positions", "norm")}
    if found != size.arch_traits:
        logger.info(f"as in {path}: --positions {found['positions']} --norm {found['norm']}")
    return found


def betas_of_start(args: argparse.Namespace) -> str | None:
    """Read Adam's betas from the checkpoint that a run would resume; None if there is none."""
    path, cfg = _start(args)
    saved = cfg.get("optimizer") or {}
    if args.reset_optimizer or saved.get("_name") != "electra_adam":
        return None
    betas = saved.get("adam_betas") or (0.9, 0.999)
    found = betas if isinstance(betas, str) else f"({betas[0]}, {betas[1]})"
    if found != SAFE_BETAS:
        logger.info(f"as in {path}: --adam-betas '{found}'")
    return found


def _start(args: argparse.Namespace, otherwise: str | None = None) -> tuple[Path | None, dict]:
    """Find the checkpoint that a run would resume, or else another, and its configuration."""
    named = [args.restore_file]
    if args.restore_file == "checkpoint_last.pt":  # fairseq checkpoint_utils.py::load_checkpoint
        named = [Path(args.save_dir, args.restore_file), args.continue_once, otherwise]
    path = next((path for path in map(Path, filter(None, named)) if path.is_file()), None)
    if path is None:
        return None, {}
    try:  # without its tensors
        return path, dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["cfg"])
    except Exception:  # of another model, or damaged: fairseq will come to it and say so
        return path, {}
