"""What a command line leaves open about a net beyond its size: choices that train safely, the original's, or those of a checkpoint.

The size table keeps the original's shapes, for checkpoints and YAML files that say nothing else. ``--arch`` on a command line fills in what
is here, so what is saved is always explicit.
"""

import argparse
import logging
import shlex
from pathlib import Path

import torch

from fairseq_electra.modules.sizes import MODEL_SIZES, SAFE

logger = logging.getLogger(__name__)
ORIGINALS = {
    # Clark et al. 2020 names BERT's network (section 3.1) and Adam
    "paper": {"positions": "learned", "norm": "post", "bias_correction": "on", "adam_betas": "(0.9, 0.999)"},
    # google-research/electra model/modeling.py, model/optimization.py::AdamWeightDecayOptimizer
    "google": {"positions": "learned", "norm": "post", "bias_correction": "off", "adam_betas": "(0.9, 0.999)"},
}
# of pre-training: a second moment that follows the gradients within 50 updates, so that one that was small does not make large updates
SAFE_BETAS = "(0.9, 0.98)"
AS = "as_the"  # "as" is a word of Python's


def add_arguments(parser) -> None:
    """Declare ``--as``, which a command line alone has: a YAML file lists what it stands for."""
    parser.add_argument(
        "--as",
        dest=AS,
        choices=sorted(ORIGINALS),
        help="what is not given otherwise as the paper has it (--positions learned --norm post --adam-betas '(0.9, 0.999)'), "
        "or its code (and --bias-correction off)",
    )


def fill_in(args: argparse.Namespace, **safe: str) -> None:
    """Fill in what the command line leaves open: as ``--as`` says, or as the checkpoint to start from has it, or safely.

    Args:
        args: the command line; changed.
        safe: further safe choices, of this kind of training.
    """
    original = args.__dict__.pop(AS, None)
    chosen = ORIGINALS[original] if original else SAFE[str(args.model_size)] | {"bias_correction": "on"} | safe | traits_of_start(args)
    for name, value in chosen.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)


def traits_of_start(args: argparse.Namespace) -> dict[str, str]:
    """Read the traits of the checkpoint that a run would start from; none where there is no such checkpoint of ours."""
    resumed = [Path(args.restore_file)]
    others = []
    if args.restore_file == "checkpoint_last.pt":  # fairseq checkpoint_utils.py::load_checkpoint
        resumed = [Path(args.save_dir, args.restore_file), *([Path(args.continue_once)] if args.continue_once else [])]
        others = [Path(args.finetune_from_model)] if args.finetune_from_model else []
    path = next((path for path in (*resumed, *others) if path.is_file()), None)
    if path is None:
        return {}
    try:  # without its tensors
        cfg = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["cfg"]
        saved = cfg["model"]
        size = MODEL_SIZES[str(saved["model_size"])]
    except Exception:  # of another model, or damaged: fairseq will come to it and say so
        return {}
    found = {"positions": saved.get("positions") or size.positions, "norm": saved.get("norm") or size.norm}
    usual = dict(SAFE[str(saved["model_size"])])
    if path in resumed and not args.reset_optimizer and (cfg.get("optimizer") or {}).get("_name") == "electra_adam":
        betas = cfg["optimizer"].get("adam_betas") or (0.9, 0.999)
        found["adam_betas"] = betas if isinstance(betas, str) else f"({betas[0]}, {betas[1]})"
        usual["adam_betas"] = SAFE_BETAS
    if found != usual:
        given = (f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in found.items())
        logger.info(f"as in {path}: {' '.join(given)}")
    return found
