"""Defaults of a command line beyond the size: safe ones, or those of a checkpoint.

The size table keeps the original's shapes, for checkpoints and YAML files that say nothing else. ``--arch``
on a command line fills in what is here, so what is saved is always explicit. The original's choices are in
:mod:`fairseq_electra.originals`.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import torch

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import option
from fairseq_electra.models._trait_options import TRAIT_NAMES

# weights of another number of heads have the same shapes
HEADS = ("num_attention_heads", "generator_num_attention_heads")
logger = logging.getLogger(__name__)
# of pre-training: a second moment that follows the gradients within 50 updates, so that one that was small
# does not make large updates
SAFE_BETAS = "(0.9, 0.98)"


def fill_in(args: argparse.Namespace) -> None:
    """Fill in open options: those of the checkpoint to start from, or safe ones."""
    chosen = MODEL_SIZES[str(args.model_size)].arch_traits | {"bias_correction": "on"}
    _set_open(args, chosen | traits_of_start(args))


def fill_in_betas(args: argparse.Namespace) -> None:
    """Fill in Adam's betas of a pre-training whose command line leaves them open, behind :func:`fill_in`."""
    _set_open(args, {"adam_betas": betas_of_start(args) or SAFE_BETAS})


def _is_open(args: argparse.Namespace, name: str) -> bool:
    value = getattr(args, name, None)
    return value is None or value is False  # 0 is given


def _set_open(args: argparse.Namespace, chosen: dict[str, Any]) -> None:
    for name, value in chosen.items():
        if _is_open(args, name):
            setattr(args, name, value)


def traits_of_start(args: argparse.Namespace) -> dict[str, Any]:
    """Read the traits of the checkpoint that a run would start from; empty if there is none of ours.

    Of those that are off by default, the ones that are on and that the command line does not name; and the
    numbers of attention heads.
    """
    path, cfg = checkpoint_of(args, args.finetune_from_model)
    saved = cfg.get("model") or {}
    if saved.get("model_size") not in MODEL_SIZES:
        return {}
    size = MODEL_SIZES[saved["model_size"]]
    found = {name: saved.get(name) or getattr(size.encoder, name) for name in size.arch_traits}
    later = {
        name: saved[name]
        for name in (*TRAIT_NAMES, *HEADS)
        if saved.get(name) not in (None, getattr(size.encoder, name, None)) and _is_open(args, name)
    }
    said = later
    if any(_is_open(args, name) for name in found) and found != size.arch_traits:
        said = found | later
    if said:
        words = (option(name) + ("" if value is True else f" {value}") for name, value in said.items())
        logger.info(f"as in {path}: {' '.join(words)}")
    return found | later


def betas_of_start(args: argparse.Namespace) -> str | None:
    """Read Adam's betas from the checkpoint that a run would resume; None if there is none."""
    path, cfg = checkpoint_of(args)
    saved = cfg.get("optimizer") or {}
    if args.reset_optimizer or saved.get("_name") != "electra_adam":
        return None
    betas = saved.get("adam_betas") or (0.9, 0.999)
    found = betas if isinstance(betas, str) else f"({betas[0]}, {betas[1]})"
    if found != SAFE_BETAS:
        logger.info(f"as in {path}: --adam-betas '{found}'")
    return found


def checkpoint_of(args: argparse.Namespace, otherwise: str | None = None) -> tuple[Path | None, dict]:
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
