"""Floating-point operations of pre-training as ELECTRA's paper counts them, to compare with its tables.

:mod:`fairseq_electra.electra.flops` counts matrix products alone, a step as three forward passes. The paper counts more of a forward pass
(a look-up in the token table as a product with the table, biases, softmax, GELU, LayerNorm, dropout), and a step as two of them. Rows count
whole, padding too.

Source: Clark et al. 2020, section 3.3 and table 1; google-research/electra flops_computation.py, whose counts this module gives.
"""

from fairseq_electra.electra.flops import TRAITS
from fairseq_electra.electra.sizes import HEAD_SIZE, EncoderSizes, refuse_unknown_traits

PASSES = 2  # of a step: forward, and a backward pass that is taken to cost the same
GELU, LAYER_NORM, SOFTMAX, DROPOUT = 8, 5, 5, 4  # operations for each number
GENERATED = 20 / 128  # share of a row's tokens that the generator predicts


def pretraining_flops(
    discriminator: EncoderSizes,
    generator: EncoderSizes,
    num_tokens: int,
    width: int,
    rows: float,
    generated: float = GENERATED,
) -> float:
    """Count a whole pre-training.

    Args:
        discriminator: its sizes.
        generator: its sizes; the embeddings are shared.
        num_tokens: V.
        width: tokens of a row.
        rows: seen in all: rows of a batch times updates.
        generated: share of the tokens that the generator predicts.
    """
    of_token = sum(_encoder(sizes, num_tokens, width) for sizes in (discriminator, generator))
    of_token += _replaced_token_head(discriminator) + generated * _masked_lm_head(generator, num_tokens)
    return PASSES * rows * width * of_token


def _encoder(sizes: EncoderSizes, num_tokens: int, width: int) -> float:
    """Count embeddings and layers for one token of a row."""
    refuse_unknown_traits(sizes, TRAITS, "the paper's count of FLOPs")
    hidden, embedding = sizes.hidden_size, sizes.embedding_size
    embeddings = embedding * (2 * num_tokens + 2 * (width + 2) + 2 + LAYER_NORM + DROPOUT)
    if embedding != hidden:
        embeddings += 2 * embedding * hidden + hidden
    return embeddings + sizes.num_hidden_layers * _layer(hidden, sizes.intermediate_size, width)


def _layer(hidden: int, inner: int, width: int) -> float:
    heads = max(hidden // HEAD_SIZE, 1)
    products = 2 * 4 * hidden * hidden + 2 * 2 * hidden * inner
    attention = 2 * 2 * hidden * width + heads * width * (SOFTMAX + DROPOUT + 1)
    biases = 5 * hidden + inner
    # the LayerNorm behind attention counts once, not for each of its numbers: so does the original
    rest = GELU * inner + 2 * hidden * (DROPOUT + 1) + LAYER_NORM * (hidden + 1)
    return products + attention + biases + rest


def _replaced_token_head(sizes: EncoderSizes) -> float:
    return sizes.hidden_size * (2 * sizes.hidden_size + 1 + GELU + 2)


def _masked_lm_head(sizes: EncoderSizes, num_tokens: int) -> float:
    dense = sizes.embedding_size * (2 * sizes.hidden_size + 1 + GELU + LAYER_NORM)
    return dense + num_tokens * (2 * sizes.embedding_size + SOFTMAX + 2)
