"""Sums as the criterion of pre-training gives them to the log, from invented scores."""

import torch

from fairseq_electra.pretraining.metrics import log_metrics
from fairseq_electra.pretraining.score_histogram import score_histogram


def sums_of(update: int, training: bool = True, flags: bool = True) -> dict:
    """A batch's sums as the criterion gives them, from invented scores."""
    generator = torch.Generator().manual_seed(update)
    shape = (4 + update % 3, 60)
    is_replaced, real = (
        torch.rand(shape, generator=generator) < 0.13,
        torch.rand(shape, generator=generator) < 0.9,
    )
    is_replaced &= real
    logits = torch.randn(shape, generator=generator) - 1 + is_replaced - (0 if flags else 50)
    flagged = (logits > 0) & real
    masked, hidden = 30 + update, torch.tensor(25 + update % 2)
    sums = {
        "sample_size": masked,
        "ntokens": int(real.sum()),
        "nsentences": len(real),
        "loss": torch.rand((), generator=generator) * 900,
        "masked_lm_sum": torch.rand((), generator=generator) * 200,
        "masked_unknown": torch.tensor(update % 4),
        "masked_lm_correct": torch.tensor(7 + update % 5),
        "mask_token_correct": torch.tensor(3 + update % 4),
        "mask_token_count": hidden,
        "sampled_correct": torch.tensor(update % 6),
        "disc_sum": torch.rand((), generator=generator) * 150,
        "replaced": is_replaced.sum(),
        "flagged": flagged.sum(),
        "flagged_replaced": (flagged & is_replaced).sum(),
        "disc_histogram": score_histogram(logits, is_replaced, real),
    }
    if training:
        return sums | {"flops": 1e9}
    return sums | {"gen_entropy_sum": torch.rand((), generator=generator) * 100}


class MetricsAlone:
    """A criterion that has nothing but its metrics."""

    @staticmethod
    def reduce_metrics(logging_outputs):
        log_metrics(logging_outputs)
