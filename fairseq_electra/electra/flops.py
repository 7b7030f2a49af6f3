"""Floating-point operations of a training step's matrix products, and the peak of the device."""

import functools
import re
import time
from typing import NamedTuple

import numpy as np
import torch

from fairseq_electra.electra.sizes import (
    ANY_NUMBER,
    DROPOUT_PLACES,
    FEED_FORWARDS,
    NORM_KINDS,
    NORMS,
    EncoderSizes,
    refuse_unknown_traits,
)

# most traits add no product
TRAITS = {
    "positions": ("learned", "rotary"),
    "norm": NORMS,
    "norm_kind": NORM_KINDS,
    "dropout_at": DROPOUT_PLACES,
    "no_linear_bias": (False, True),
    "rotary_base": ANY_NUMBER,
    "local_rotary_base": ANY_NUMBER,
    "norm_eps": ANY_NUMBER,
    "no_segments": (False, True),
    "normed_head": (False, True),
    # these do
    "feed_forward": FEED_FORWARDS,
    "local_window": ANY_NUMBER,
    "global_every": ANY_NUMBER,
    "recurrence": ANY_NUMBER,
}
STEP_BY_FORWARD = 3  # every product of the forward pass has two in the backward pass
# dense bfloat16, FLOP/s, from the makers' data sheets; the first entry whose name is part of the device's
# name counts
KNOWN_PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
}
SLOW = 0.5  # seconds; a product that takes longer (float16 on most CPUs) is measured once only
MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}  # of the measured product: enough work for all of the device


class Flops(NamedTuple):
    """Operations of the matrix products in a forward pass; a multiplication and its addition count as two."""

    per_token: float  # for each token, padding left out
    per_pair: float  # for each pair of tokens of a document, in layers whose tokens attend to all of it
    per_masked: float  # for each masked token
    per_local_pair: float = 0.0  # for each pair of tokens within the window, in layers that have one

    def __add__(self, other) -> "Flops":
        return Flops(*(a + b for a, b in zip(self, other, strict=True)))

    def of_step(self, tokens: float, pairs: float, masked: float, local_pairs: float | None = None) -> float:
        """Return the operations of a training step.

        Args:
            tokens: number of tokens in the batch, padding left out.
            pairs: sum of the squared lengths of its rows, or of the documents in packed rows.
            masked: number of tokens that the generator predicts.
            local_pairs: sum of :func:`pairs_within` the window; not needed where there is none.
        """
        if self.per_local_pair and local_pairs is None:
            raise ValueError("some layers have a window: give the number of pairs within it")
        forward = self.per_token * tokens + self.per_pair * pairs + self.per_masked * masked
        return STEP_BY_FORWARD * (forward + self.per_local_pair * (local_pairs or 0.0))


def pairs_within(window: int, lengths: np.ndarray) -> np.ndarray:
    """Count the pairs of tokens at most half a window apart, each token with itself among them.

    With the reach r of the window, or of the document if that is shorter, each of n tokens sees r on either
    side, but for those that its ends cut off: r + (r - 1) + ... + 1 at each end.

    Args:
        window: number of tokens around a token that it sees; 0: all of its document.
        lengths: number of tokens of each document. Any shape, which the result has too.
    """
    if window == 0:
        return lengths * lengths
    reach = np.clip(lengths - 1, 0, window // 2)
    return lengths * (2 * reach + 1) - reach * (reach + 1)


def encoder_flops(sizes: EncoderSizes, trained: bool = True) -> Flops:
    """Count the operations of an encoder, from the embeddings to the last layer's output.

    With recurrence every token sees two parts, and keys and values are computed twice in training: the second
    time for states without gradient, so with one product in the backward pass where others have two
    (:data:`STEP_BY_FORWARD`). A first part, which has none before it, counts like the others, since its
    products are computed too.

    Raises:
        InputError: the encoder has a trait that is unknown here.
    """
    refuse_unknown_traits(sizes, TRAITS, "the count of FLOPs")
    hidden, layers, local = sizes.hidden_size, sizes.num_hidden_layers, sizes.num_local_layers
    projection = 0 if sizes.embedding_size == hidden else sizes.embedding_size * hidden
    matrices = 3 if sizes.feed_forward == "geglu" else 2
    per_layer = 4.0 * hidden * hidden + matrices * hidden * sizes.intermediate_size
    per_pair = 2.0 * 2 * hidden
    if sizes.recurrence:
        per_layer += 2 * sizes.recurrence * 2 * hidden
        if trained:
            per_layer += 2 * hidden * hidden * 2 / STEP_BY_FORWARD
        per_pair = 0.0
    return Flops(2.0 * (projection + layers * per_layer), (layers - local) * per_pair, 0.0, local * per_pair)


def masked_lm_flops(sizes: EncoderSizes, num_tokens: int, trained: bool = True) -> Flops:
    """Count the operations of a masked language model, or of a generator, with its head.

    Args:
        sizes: sizes of the encoder.
        num_tokens: size of the vocabulary, V.
        trained: whether it has a backward pass.
    """
    return encoder_flops(sizes, trained)._replace(per_masked=per_prediction(sizes, num_tokens))


def per_prediction(sizes: EncoderSizes, num_tokens: int) -> float:
    """Count the operations of a masked-LM head for one position; arguments as :func:`masked_lm_flops`."""
    return 2.0 * sizes.embedding_size * (sizes.hidden_size + num_tokens)


def head_flops(sizes: EncoderSizes) -> Flops:
    """Count the operations of the head that scores whether a token was replaced."""
    return Flops(2.0 * sizes.hidden_size * (sizes.hidden_size + 1), 0.0, 0.0)


def electra_flops(discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int) -> Flops:
    """Count the operations of both networks with their heads.

    Args:
        discriminator: sizes of the discriminator.
        generator: sizes of the generator.
        num_tokens: size of the vocabulary, V.

    Source: google-research/electra flops_computation.py counts the same products. Like the paper's tables, it
    also counts each look-up in the token table as a product with the table, counts pointwise operations, and
    takes a step to cost two forward passes.
    """
    generated = masked_lm_flops(generator, num_tokens)
    return generated + encoder_flops(discriminator) + head_flops(discriminator)


@functools.cache
def peak_flops(device: str, dtype: torch.dtype) -> float:
    """Return the peak of one device in FLOP/s: from data sheets for GPUs in half precision, else measured.

    Args:
        device: ``cpu`` or ``cuda``.
        dtype: type of the matrices.
    """
    if device == "cuda" and dtype != torch.float32 and (known := known_peak(torch.cuda.get_device_name())):
        return known
    size = MATRIX_SIZE[device]
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        product = left @ right
        product[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - start)
        if best > SLOW:
            break
    return 2.0 * size**3 / best


def known_peak(name: str) -> float | None:
    """Look up the peak of a GPU by PyTorch's name for it; None if it is not in the table."""
    return next((peak for words, peak in KNOWN_PEAKS.items() if re.search(rf"\b{words}\b", name)), None)
