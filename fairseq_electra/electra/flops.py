"""Floating-point operations of a training step's matrix products, and the peak of the device."""

import functools
import re
import time
from typing import NamedTuple

import torch

from fairseq_electra.electra.sizes import EncoderSizes, refuse_unknown_traits

# no trait adds a product
TRAITS = {
    "positions": ("learned", "rotary"),
    "norm": ("post", "deepnorm", "scaled", "pre"),
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
    per_pair: float  # for each pair of a token and a token that it attends to
    per_masked: float  # for each masked token

    def __add__(self, other) -> "Flops":
        return Flops(*(a + b for a, b in zip(self, other, strict=True)))

    def of_step(self, tokens: float, pairs: float, masked: float) -> float:
        """Return the operations of a training step.

        Args:
            tokens: number of tokens in the batch, padding left out.
            pairs: sum of the squared lengths of its rows, or of the documents in packed rows.
            masked: number of tokens that the generator predicts.
        """
        return STEP_BY_FORWARD * (self.per_token * tokens + self.per_pair * pairs + self.per_masked * masked)


def encoder_flops(sizes: EncoderSizes) -> Flops:
    """Count the operations of an encoder, from the embeddings to the last layer's output.

    Raises:
        InputError: the encoder has a trait that is unknown here.
    """
    refuse_unknown_traits(sizes, TRAITS, "the count of FLOPs")
    hidden, layers = sizes.hidden_size, sizes.num_hidden_layers
    projection = 0 if sizes.embedding_size == hidden else sizes.embedding_size * hidden
    per_layer = 4 * hidden * hidden + 2 * hidden * sizes.intermediate_size
    return Flops(2.0 * (projection + layers * per_layer), 2.0 * layers * 2 * hidden, 0.0)


def masked_lm_flops(sizes: EncoderSizes, num_tokens: int) -> Flops:
    """Count the operations of a masked language model, or of a generator, with its head.

    Args:
        sizes: sizes of the encoder.
        num_tokens: size of the vocabulary, V.
    """
    return encoder_flops(sizes)._replace(per_masked=per_prediction(sizes, num_tokens))


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
