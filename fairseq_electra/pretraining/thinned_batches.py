"""Batches with fewer masks than they were made with (:mod:`fairseq_electra.electra.thinning`)."""

import numpy as np

from fairseq_electra.electra.masking import wanted_tokens
from fairseq_electra.electra.thinning import Masks, keep_masks


def thinned(sample: dict, rate: float, pad: int) -> dict:
    """Return a batch with as many masks as Masking at ``rate`` would have made.

    Nothing waits for the device: the number of masked tokens is computed on the host, from the lengths that
    came with the batch, and which of them are kept on the device, with the same arithmetic.

    Args:
        sample: a batch of :class:`~fairseq_electra.pretraining.batches.MaskedRows` that can be thinned; it
            stays as it is.
        rate: the masking rate, at most that of the batch.
        pad: id of padding.
    """
    net_input, ranks = sample["net_input"], sample["slot_ranks"]
    lengths = (~net_input["padding_mask"]).sum(1)
    wanted = (lengths.double() * rate).round().clamp(1, ranks.shape[1])
    masks = keep_masks(
        Masks(net_input["src_tokens"], net_input["masked_positions"], net_input["target"]),
        ranks < wanted.unsqueeze(1),
        pad,
    )
    counts = wanted_tokens(rate, sample["row_lengths"], ranks.shape[1])
    return {
        **sample,
        "nmasked": int(np.minimum(sample["row_masked"], counts).sum()),
        "target": masks.target,
        "net_input": {
            **net_input,
            "src_tokens": masks.src_tokens,
            "masked_positions": masks.positions,
            "target": masks.target,
        },
    }
