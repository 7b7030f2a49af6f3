"""Number of parameters of a model, computed from its sizes."""

from fairseq_electra.electra.flops import TRAITS
from fairseq_electra.electra.sizes import NUM_SEGMENTS, EncoderSizes, refuse_unknown_traits


def encoder_parameters(sizes: EncoderSizes) -> int:
    """Count the parameters of an encoder: the projection behind the embeddings, and the layers.

    Raises:
        InputError: the encoder has a trait that is unknown here.
    """
    refuse_unknown_traits(sizes, TRAITS, "the count of parameters")
    hidden, inner, bias = sizes.hidden_size, sizes.intermediate_size, int(not sizes.no_linear_bias)
    projection = 0 if sizes.embedding_size == hidden else (sizes.embedding_size + bias) * hidden
    attention, outer = 4 * (hidden + bias) * hidden, 2 * inner if sizes.feed_forward == "geglu" else inner
    feed_forward = (hidden + bias) * outer + (inner + bias) * hidden
    norms = 2 * sizes.num_hidden_layers + sizes.is_pre_norm - (sizes.norm == "pre_but_first")
    layers = sizes.num_hidden_layers * (attention + feed_forward)
    return projection + layers + norms * norm_parameters(sizes, hidden)


def norm_parameters(sizes: EncoderSizes, size: int) -> int:
    """Count a normalization layer for vectors of ``size`` numbers."""
    return size * (2 if sizes.norm_kind == "layernorm" else 1)


def discriminator_parameters(sizes: EncoderSizes, num_tokens: int) -> int:
    """Count the discriminator with its embeddings and its head, which are kept after pre-training.

    Args:
        sizes: sizes of the discriminator.
        num_tokens: size of the vocabulary, V.
    """
    table = num_tokens + (0 if sizes.no_segments else NUM_SEGMENTS)
    table += sizes.max_position_embeddings if sizes.positions == "learned" else 0
    head = (sizes.hidden_size + 1) * sizes.hidden_size + sizes.hidden_size + 1
    head += norm_parameters(sizes, sizes.hidden_size) if sizes.normed_head else 0
    embedding = sizes.embedding_size
    return table * embedding + norm_parameters(sizes, embedding) + encoder_parameters(sizes) + head


def pretraining_parameters(discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int) -> int:
    """Count both networks, which share all embeddings.

    Args:
        discriminator: sizes of the discriminator.
        generator: sizes of the generator.
        num_tokens: size of the vocabulary, V.
    """
    embedding = generator.embedding_size
    head = (generator.hidden_size + 1) * embedding + norm_parameters(generator, embedding) + num_tokens
    return discriminator_parameters(discriminator, num_tokens) + encoder_parameters(generator) + head
