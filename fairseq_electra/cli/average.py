"""Average the weights of checkpoints, or extract the moving average that --store-ema keeps.

fairseq-electra average checkpoints/checkpoint_*_*.pt --output averaged.pt
fairseq-electra average --ema checkpoints/checkpoint_last.pt --output ema.pt

fairseq-validate --path, --finetune-from-model and fairseq-electra inspect read the result like any other
checkpoint.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import fairseq_electra
from fairseq_electra.checkpoints import find_checkpoint
from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, require

if TYPE_CHECKING:
    from torch import Tensor

LABELS = "labels"  # of a model that was fine-tuned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="CHECKPOINT",
        help=(
            "checkpoint of one run, or of runs of one model; of a folder checkpoint_best.pt, else"
            " checkpoint_last.pt"
        ),
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="CHECKPOINT", help="where to write the average"
    )
    parser.add_argument(
        "--ema", action="store_true", help="average the moving averages of the weights, not the weights"
    )


def run(args: argparse.Namespace) -> None:
    """Write the average. All but the weights comes from the checkpoint with most updates.

    There is no optimizer state, so no run resumes from it.
    """
    require(CHECKPOINT, *args.checkpoints)
    if args.output.exists():
        raise InputError(f"{args.output} is there already; name a new file")
    from fairseq import checkpoint_utils
    from omegaconf import OmegaConf

    fairseq_electra.register()
    total: dict[str, Tensor] = {}
    paths = list(map(find_checkpoint, args.checkpoints))
    state: dict = {}
    traits: dict = {}
    for path in paths:
        this = checkpoint_utils.load_checkpoint_to_cpu(str(path))
        weights = weights_of(this, path, ema=args.ema)
        check_alike(weights, total or weights, path, paths[0])
        found = traits_of(this)
        traits = traits or found
        check_traits(found, traits, path, paths[0])
        if not state or updates_of(this) >= updates_of(state):
            state = this
        for name, tensor in weights.items():
            if is_constant(name, tensor):
                total[name] = tensor
            elif name in total:
                total[name] += tensor.double()
            else:
                total[name] = tensor.double()
    number = len(paths)
    if number == 1 and not args.ema:
        print(
            f"WARNING: the average of {paths[0]} alone is itself; a larger --keep-interval-updates keeps more"
            " checkpoints of a run",
            file=sys.stderr,
        )
    state["model"] = {
        name: tensor if is_constant(name, tensor) else (tensor / number).to(weights[name].dtype)
        for name, tensor in total.items()
    }
    state["cfg"] = OmegaConf.to_container(state["cfg"], resolve=True, enum_to_str=True)  # as fairseq saves it
    state.pop("last_optimizer_state", None)
    state["extra_state"].pop("ema", None)
    for kept in (state, state["extra_state"]):
        (kept.get("task_state") or {}).pop("threshold", None)  # chosen for other weights
    args.output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint_utils.torch_persistent_save(state, str(args.output))
    kind = "moving averages" if args.ema else "checkpoints"
    print(
        f"{args.output}: the average of {number} {kind}, {sum(t.numel() for t in total.values()):,} numbers"
    )


def weights_of(state: dict, path: Path, *, ema: bool) -> "dict[str, Tensor]":
    """Return a checkpoint's weights, or their moving average with the checkpoint's own constants."""
    if "model" not in state:
        raise InputError(
            f"{path} is not a checkpoint of fairseq: it has no model; give a file that fairseq-train saved"
        )
    if not ema:
        return state["model"]
    average = (state.get("extra_state") or {}).get("ema")
    if not average:
        raise InputError(f"{path} has no moving average; train with --store-ema, or leave --ema out")
    return {
        **state["model"],
        **{name: tensor for name, tensor in average.items() if not is_constant(name, tensor)},
    }


def updates_of(state: dict) -> int:
    """Return the number of updates that a checkpoint was trained for."""
    return int((state.get("optimizer_history") or [{}])[-1].get("num_updates") or 0)


def traits_of(state: dict) -> dict:
    """Return what decides what a checkpoint's network computes, and what it means, by option."""
    from fairseq_electra.electra.configuration import function_of
    from fairseq_electra.finetuning.info import TUNED_FOR

    model = (state.get("cfg") or {}).get("model")
    if model is None or model.get("model_size") is None:
        return {}
    traits = {**function_of(model), "pooling": str(model.get("pooling"))}
    tuned = (state.get("extra_state") or {}).get(TUNED_FOR)
    if tuned is None:
        return traits
    task = json.loads(tuned["task"] or "{}")
    labels = tuned["labels"] or task.get("labels", ())
    return traits | {"task": task.get("kind"), LABELS: ", ".join(labels) or "none"}


def check_traits(traits: dict, first: dict, path: Path, first_path: Path) -> None:
    """Refuse checkpoints whose networks compute different functions of their weights, or of other tasks."""
    for name in traits.keys() & first.keys():
        if traits[name] == first[name]:
            continue
        if name == LABELS:
            raise InputError(
                f"{path} has the labels {traits[name]}, and {first_path} has {first[name]}: they are not of"
                " one model"
            )
        raise InputError(
            f"{path} and {first_path} are not of one model: --{name.replace('_', '-')} is"
            f" {traits[name]} and {first[name]}"
        )


def is_constant(name: str, tensor: "Tensor") -> bool:
    """Tell what all checkpoints of one model share: the dictionary's digest, the residual scale of --norm."""
    from fairseq_electra.electra.state import RESIDUAL_SCALE

    return not tensor.is_floating_point() or name.endswith(RESIDUAL_SCALE)


def check_alike(
    weights: "dict[str, Tensor]", first: "dict[str, Tensor]", path: Path, first_path: Path
) -> None:
    """Refuse checkpoints of different models or dictionaries."""
    import torch

    from fairseq_electra.electra.state import RESIDUAL_SCALE, same_scale

    for name in sorted({*weights, *first}):
        left, right = weights.get(name), first.get(name)
        if left is None or right is None or left.shape != right.shape:
            shapes = [None if tensor is None else tuple(tensor.shape) for tensor in (left, right)]
            raise InputError(
                f"{path} and {first_path} are not of one model: {name} has the shapes {shapes[0]} and"
                f" {shapes[1]}"
            )
        if not left.is_floating_point() and not torch.equal(left, right):
            raise InputError(
                f"{path} and {first_path} differ in {name}; average only checkpoints of one dictionary"
            )
        if name.endswith(RESIDUAL_SCALE) and not same_scale(left, right):
            raise InputError(
                f"{path} and {first_path} differ in {name}; average only checkpoints of one --norm"
            )
