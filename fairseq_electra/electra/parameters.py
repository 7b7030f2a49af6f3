"""Number of parameters of a model, computed from its sizes."""

from fairseq_electra.electra.sizes import NUM_SEGMENTS, EncoderSizes, refuse_unknown_traits

TRAITS = {"positions": ("learned", "rotary"), "norm": ("post", "deepnorm", "scaled", "pre")}


def encoder_parameters(sizes: EncoderSizes) -> int:
    """Count the parameters of an encoder: the projection behind the embeddings, and the layers.

    Raises:
        InputError: the encoder has a trait that is unknown here.
    """
    refuse_unknown_traits(sizes, TRAITS, "the count of parameters")
    hidden, inner = sizes.hidden_size, sizes.intermediate_size
    projection = 0 if sizes.embedding_size == hidden else (sizes.embedding_size + 1) * hidden
    attention, feed_forward, norms = (
        4 * (hidden + 1) * hidden,
        (hidden + 1) * inner + (inner + 1) * hidden,
        4 * hidden,
    )
    last_norm = 2 * hidden if sizes.norm == "pre" else 0
    return projection + sizes.num_hidden_layers * (attention + feed_forward + norms) + last_norm


def discriminator_parameters(sizes: EncoderSizes, num_tokens: int) -> int:
    """Count the discriminator with its embeddings and its head, which are kept after pre-training.

    Args:
        sizes: sizes of the discriminator.
        num_tokens: size of the vocabulary, V.
    """
    table = num_tokens + NUM_SEGMENTS + (sizes.max_position_embeddings if sizes.positions == "learned" else 0)
    head = (sizes.hidden_size + 1) * sizes.hidden_size + sizes.hidden_size + 1
    return (table + 2) * sizes.embedding_size + encoder_parameters(sizes) + head


def pretraining_parameters(discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int) -> int:
    """Count both networks, which share all embeddings.

    Args:
        discriminator: sizes of the discriminator.
        generator: sizes of the generator.
        num_tokens: size of the vocabulary, V.
    """
    embedding = generator.embedding_size
    head = (generator.hidden_size + 1) * embedding + 2 * embedding + num_tokens
    return discriminator_parameters(discriminator, num_tokens) + encoder_parameters(generator) + head
