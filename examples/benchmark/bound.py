"""The matrix products of a training step alone: a lower bound of its time if everything else took no time."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from fairseq_electra.electra.sizes import EncoderSizes


class Product(NamedTuple):
    """A batch of matrix products of shapes (rows, inner) x (inner, columns), done ``number`` times."""

    number: int
    batch: int
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> float:
        """The number of floating-point operations; a multiplication and an addition count as two."""
        return 2.0 * self.number * self.batch * self.rows * self.inner * self.columns


def forward_products(sizes: EncoderSizes, rows: int, width: int) -> list[Product]:
    """List the matrix products of an encoder's forward pass on (B, T) tokens, as if no layer had a window."""
    tokens, hidden = rows * width, sizes.hidden_size
    layers, heads = sizes.num_hidden_layers, sizes.num_attention_heads
    outer = sizes.intermediate_size * (2 if sizes.feed_forward == "geglu" else 1)
    products = [
        Product(layers, 1, tokens, hidden, 3 * hidden),
        Product(layers, rows * heads, width, hidden // heads, width),
        Product(layers, rows * heads, width, width, hidden // heads),
        Product(layers, 1, tokens, hidden, hidden),
        Product(layers, 1, tokens, hidden, outer),
        Product(layers, 1, tokens, sizes.intermediate_size, hidden),
    ]
    if sizes.embedding_size != hidden:
        products.append(Product(1, 1, tokens, sizes.embedding_size, hidden))
    return products


def step_products(
    discriminator: EncoderSizes | None,
    generator: EncoderSizes,
    num_tokens: int,
    rows: int,
    width: int,
    slots: int,
) -> list[Product]:
    """List all matrix products of a training step, which has two backward ones for each forward one.

    Args:
        discriminator: The sizes of the discriminator; None for a masked language model.
        generator: The sizes of the generator or the masked language model.
        num_tokens: V, the size of the vocabulary.
        rows, width: B and T.
        slots: K, the number of masked positions of a row.
    """
    forward = [
        *forward_products(generator, rows, width),
        Product(1, 1, rows * slots, generator.hidden_size, generator.embedding_size),
        Product(1, 1, rows * slots, generator.embedding_size, num_tokens),
    ]
    if discriminator is not None:
        hidden, tokens = discriminator.hidden_size, rows * width
        forward += forward_products(discriminator, rows, width)
        forward += [Product(1, 1, tokens, hidden, hidden), Product(1, 1, tokens, hidden, 1)]
    to_inputs = [each._replace(inner=each.columns, columns=each.inner) for each in forward]
    to_weights = [each._replace(rows=each.inner, inner=each.rows) for each in forward]
    return [*forward, *to_inputs, *to_weights]


def products_alone(products: list[Product], dtype: torch.dtype, device: str = "cpu") -> Callable[[], None]:
    """Return a function that computes all these products, on random numbers made beforehand."""
    made = {}
    for each in products:
        shape = each._replace(number=1)
        if shape not in made:
            made[shape] = [
                torch.randn(each.batch, each.rows, each.inner, dtype=dtype, device=device),
                torch.randn(each.batch, each.inner, each.columns, dtype=dtype, device=device),
                torch.empty(each.batch, each.rows, each.columns, dtype=dtype, device=device),
            ]

    def run() -> None:
        for each in products:
            left, right, result = made[each._replace(number=1)]
            for _ in range(each.number):
                if each.batch == 1:
                    torch.mm(left[0], right[0], out=result[0])
                else:
                    torch.bmm(left, right, out=result)

    return run


def clock(device: str) -> float:
    """Return the processor time on a CPU; on a GPU, wait for it and return the wall time. In seconds."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
