"""Floating-point operations of pre-training: what the matrix products of a step cost, and what the machine could do."""

import functools
import re
import time
from typing import NamedTuple

import torch

from fairseq_electra.electra.sizes import EncoderSizes, refuse_unknown_traits

TRAITS = {
    "positions": ("learned", "rotary"),
    "norm": ("post", "deepnorm", "scaled", "pre"),
}  # none takes part in a product
BACKWARD_TOO = 3  # a step costs its forward pass three times: every product has two in the backward pass
# bfloat16, dense, of the makers' data sheets, FLOP/s; the first whose words are among the device's counts
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
LONG = 0.5  # seconds of a product that need no second measurement: float16 on most CPUs
PRODUCT = {
    "cpu": 1024,
    "cuda": 8192,
}  # rows and columns of the matrices of a measurement: enough work for all of the device


class Flops(NamedTuple):
    """Operations of a forward pass, two for each multiplication with its addition, matrix products alone."""

    per_token: float  # of rows, padding left out
    per_pair: float  # a token and one that it attends to
    per_masked: float  # masked token

    def __add__(self, other) -> "Flops":
        return Flops(*(a + b for a, b in zip(self, other, strict=True)))

    def of_step(self, tokens: float, pairs: float, masked: float) -> float:
        """Operations of a training step.

        Args:
            tokens: of the batch, padding left out.
            pairs: squares of the lengths of its rows (or of the documents in them), summed.
            masked: tokens that the generator guesses.
        """
        return BACKWARD_TOO * (self.per_token * tokens + self.per_pair * pairs + self.per_masked * masked)


def encoder_flops(sizes: EncoderSizes) -> Flops:
    """Count an encoder, from the embeddings to the last layer's output.

    Raises:
        InputError: it has a trait that is not known here.
    """
    refuse_unknown_traits(sizes, TRAITS, "the count of FLOPs")
    hidden, layers = sizes.hidden_size, sizes.num_hidden_layers
    projection = 0 if sizes.embedding_size == hidden else sizes.embedding_size * hidden
    per_layer = 4 * hidden * hidden + 2 * hidden * sizes.intermediate_size
    return Flops(2.0 * (projection + layers * per_layer), 2.0 * layers * 2 * hidden, 0.0)


def masked_lm_flops(sizes: EncoderSizes, num_tokens: int) -> Flops:
    """Count a masked language model, or a generator, with its head.

    Args:
        sizes: its sizes.
        num_tokens: size of the vocabulary, V.
    """
    return encoder_flops(sizes)._replace(
        per_masked=2.0 * sizes.embedding_size * (sizes.hidden_size + num_tokens)
    )


def electra_flops(discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int) -> Flops:
    """Count both networks with their heads.

    Args:
        discriminator: its sizes.
        generator: its sizes.
        num_tokens: size of the vocabulary, V.

    Source: google-research/electra flops_computation.py counts the same products. It also counts each look-up in the token table as a
    product with it, and pointwise work, and takes a step for two forward passes; so do the paper's tables.
    """
    hidden = discriminator.hidden_size
    head = Flops(2.0 * hidden * (hidden + 1), 0.0, 0.0)
    return masked_lm_flops(generator, num_tokens) + encoder_flops(discriminator) + head


@functools.cache
def peak_flops(device: str, dtype: torch.dtype) -> float:
    """Tell what one device can do, in FLOP/s: known of some GPUs in half precision, else measured by a product of matrices.

    Args:
        device: ``cpu`` or ``cuda``.
        dtype: of the products.
    """
    if device == "cuda" and dtype != torch.float32 and (known := known_peak(torch.cuda.get_device_name())):
        return known
    size = PRODUCT[device]
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        product = left @ right
        product[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - start)
        if best > LONG:
            break
    return 2.0 * size**3 / best


def known_peak(name: str) -> float | None:
    """Look a GPU up by the name that PyTorch has for it."""
    return next((peak for words, peak in KNOWN_PEAKS.items() if re.search(rf"\b{words}\b", name)), None)
