"""Trains transformers' classes as its users do, to tell whether a collapse is due to our implementation."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.pretraining.score_histogram import area_under_curve, score_histogram
from fairseq_electra.pretraining.wordpiece import PAD_ID


def train(data: Path, args: argparse.Namespace, recipe: dict) -> list[dict]:
    """Train in bfloat16 with AdamW (with bias correction) and the schedule of the other runs.

    Args:
        data: The folder of binarized text.
        args: The arguments of the study: ``tokens``, ``rows`` and ``updates``.
        recipe: ``rate``, ``warmup`` (a share of the schedule) and ``total`` (the updates of the schedule).

    Returns:
        ``update``, ``fixed_auc`` and ``mask_token_accuracy`` at six points of the run.
    """
    from omegaconf import OmegaConf

    from benchmark.baselines import transformers_step
    from fairseq_electra.precision import autocast
    from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask

    torch.manual_seed(1)
    changes = {"data": str(data), "tokens_per_sample": args.tokens, "seed": 1, "train_subset": "train"}
    cfg: Any = OmegaConf.merge(OmegaConf.structured(ElectraPretrainingConfig), changes | FAIRSEQ_DEFAULTS)
    task = ElectraPretrainingTask.setup_task(cfg)
    text, valid = task.load_dataset("train"), task.load_dataset("valid")
    networks, step = transformers_step("small", len(task.source_dictionary), 0.1, masked_only=True)
    optimizer = torch.optim.AdamW(
        networks.parameters(), lr=recipe["rate"], eps=1e-6, weight_decay=0.01, fused=True
    )
    warmup = round(recipe["warmup"] * recipe["total"])
    order, points = text.ordered_indices(), []
    for update in range(args.updates):
        share = min(update / warmup, (recipe["total"] - update) / (recipe["total"] - warmup))
        for group in optimizer.param_groups:
            group["lr"] = recipe["rate"] * share
        networks.train()
        optimizer.zero_grad()
        with autocast("bf16", "cpu"):
            loss = step(text.collater(order[update * args.rows : (update + 1) * args.rows]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0, foreach=True)
        optimizer.step()
        if (update + 1) % max(1, args.updates // 6) == 0:
            points.append(
                {
                    "update": update + 1,
                    **score(networks.eval(), valid, task.source_dictionary.index("<mask>")),
                }
            )
    return points


# options that the task reads from other parts of fairseq's configuration
FAIRSEQ_DEFAULTS = dict.fromkeys(
    ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16", "amp", "tpu"), False
)
FAIRSEQ_DEFAULTS |= {"cpu": True, "update_freq": [1], "ddp_backend": "pytorch_ddp"}  # type: ignore[dict-item]


@torch.no_grad()
def score(networks, valid, mask: int) -> dict[str, float]:
    """Score the discriminator on the fixed corruption, and the generator where the input is ``<mask>``."""
    histogram, right, shown = torch.zeros(()), 0, 0
    for first in range(0, len(valid), 32):
        sample = valid.collater(np.arange(first, min(first + 32, len(valid))))
        net, fixed = sample["net_input"], sample["fixed"]["fixed"]
        masks = {"attention_mask": (~net["padding_mask"]).long(), "token_type_ids": net["segment_ids"].long()}
        logits = networks["discriminator"](fixed["tokens"].long(), **masks).logits
        histogram = histogram + score_histogram(logits, fixed["is_replaced"], ~net["padding_mask"])
        best = networks["generator"](net["src_tokens"].long(), **masks).logits.argmax(-1)
        guessed = best.gather(1, net["masked_positions"])
        hidden = _has_symbol(net["src_tokens"], net["masked_positions"], mask) & (sample["target"] != PAD_ID)
        right, shown = right + int((hidden & (guessed == sample["target"])).sum()), shown + int(hidden.sum())
    return {
        "fixed_auc": round(area_under_curve(histogram), 4),
        "mask_token_accuracy": round(100 * right / shown, 2),
    }


def _has_symbol(tokens: Tensor, positions: Tensor, symbol: int) -> Tensor:
    return tokens.gather(1, positions) == symbol
