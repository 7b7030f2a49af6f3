"""Floating-point operations of pre-training as ELECTRA's paper counts them, for comparison with its tables.

:mod:`fairseq_electra.electra.flops` counts matrix products only, and three forward passes a step. The paper
also counts look-ups in the token table (as products with the table), biases, softmax, GELU, LayerNorm and
dropout, and two forward passes a step. Padding counts as well.

Source: Clark et al. 2020, section 3.3 and table 1; google-research/electra flops_computation.py, which gives
the same counts.
"""

from fairseq_electra.electra.sizes import HEAD_SIZE, EncoderSizes, refuse_unknown_traits

TRAITS = {"positions": ("learned", "rotary"), "norm": ("post", "deepnorm", "scaled", "pre")}
STEP_BY_FORWARD = 2  # the backward pass is taken to cost as much as the forward pass
GELU, LAYER_NORM, SOFTMAX, DROPOUT = 8, 5, 5, 4  # operations for each value
MASKED_SHARE = 20 / 128  # share of a row's tokens that the generator predicts


def pretraining_flops(
    discriminator: EncoderSizes,
    generator: EncoderSizes,
    num_tokens: int,
    length: int,
    rows: float,
    masked_share: float = MASKED_SHARE,
) -> float:
    """Count the operations of a whole pre-training.

    Args:
        discriminator: sizes of the discriminator.
        generator: sizes of the generator, which shares the embeddings.
        num_tokens: size of the vocabulary, V.
        length: length of a row in tokens.
        rows: number of rows read in all: rows of a batch times updates.
        masked_share: share of the tokens that the generator predicts.
    """
    per_token = sum(_encoder(sizes, num_tokens, length) for sizes in (discriminator, generator))
    per_token += _replaced_token_head(discriminator) + masked_share * _masked_lm_head(generator, num_tokens)
    return STEP_BY_FORWARD * rows * length * per_token


def _encoder(sizes: EncoderSizes, num_tokens: int, length: int) -> float:
    """Count embeddings and layers for one token of a row."""
    refuse_unknown_traits(sizes, TRAITS, "the paper's count of FLOPs")
    hidden, embedding = sizes.hidden_size, sizes.embedding_size
    embeddings = embedding * (2 * num_tokens + 2 * (length + 2) + 2 + LAYER_NORM + DROPOUT)
    if embedding != hidden:
        embeddings += 2 * embedding * hidden + hidden
    return embeddings + sizes.num_hidden_layers * _layer(hidden, sizes.intermediate_size, length)


def _layer(hidden: int, inner: int, length: int) -> float:
    heads = max(hidden // HEAD_SIZE, 1)
    products = 2 * 4 * hidden * hidden + 2 * 2 * hidden * inner
    attention = 2 * 2 * hidden * length + heads * length * (SOFTMAX + DROPOUT + 1)
    biases = 5 * hidden + inner
    # as in the original, the LayerNorm behind attention counts once, not once for each value
    rest = GELU * inner + 2 * hidden * (DROPOUT + 1) + LAYER_NORM * (hidden + 1)
    return products + attention + biases + rest


def _replaced_token_head(sizes: EncoderSizes) -> float:
    return sizes.hidden_size * (2 * sizes.hidden_size + 1 + GELU + 2)


def _masked_lm_head(sizes: EncoderSizes, num_tokens: int) -> float:
    dense = sizes.embedding_size * (2 * sizes.hidden_size + 1 + GELU + LAYER_NORM)
    return dense + num_tokens * (2 * sizes.embedding_size + SOFTMAX + 2)
