"""The same training step, built from parts of other libraries.

Each factory returns a function that takes a batch and returns the loss to minimise. All of them train models
of the same sizes on the same batch with the two losses of ELECTRA, exact GELU and the given dropout. As in
the original, they have post-LayerNorm and learned positions; only RoFormer has rotary positions, as the
models of ``--arch`` have.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.initialization import initialize
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import EncoderSizes

DISC_WEIGHT = 50.0
Step = tuple[nn.Module, Callable[[dict], Tensor]]
BASELINE_TRAITS = (  # of all baselines but RoFormer, and of the original ELECTRA
    "learned positions, --norm post"
)


def same_as_baselines(size: str) -> bool:
    """Tell whether ``--arch`` has the same positions and LayerNorm as the baselines for this size."""
    return MODEL_SIZES[size].arch_traits == {"positions": "learned", "norm": "post"}


def describe_models(size: str) -> str:
    """Describe the compared models in a sentence for the report."""
    ours = MODEL_SIZES[size].arch_encoder
    return (
        f"{size}: fairseq_electra has {ours.positions} positions, --norm {ours.norm}; "
        f"RoFormer rotary ones, --norm post; the others {BASELINE_TRAITS}"
    )


def gumbel_sample(logits: Tensor) -> Tensor:
    """Sample with Gumbel noise, as google-research/electra and electra_pytorch do. Shape: (..., V) -> (...).

    The noise is always float32. In bfloat16 it would have only a few hundred values, none above 5.6, so that
    the samples would follow another distribution.
    """
    noise = (
        torch.empty_like(logits, dtype=torch.float32)
        .uniform_()
        .clamp_(1e-9, 1 - 1e-7)
        .log_()
        .neg_()
        .log_()
        .neg_()
    )
    return (logits.float() + noise).argmax(-1)


def transformers_step(size: str, num_tokens: int, dropout: float, *, masked_only: bool) -> Step:
    """Make a step from transformers' ElectraForMaskedLM and ElectraForPreTraining, combined as its users do.

    Args:
        size: The model size, such as ``tiny``.
        num_tokens: V, the size of the vocabulary.
        dropout: The dropout of hidden states and of attention.
        masked_only: Whether the generator's head is applied to masked positions only, instead of to all.
    """
    import transformers

    sizes, generator_sizes = MODEL_SIZES[size].encoder, MODEL_SIZES[size].generator
    shared = num_tokens, dropout
    generator = transformers.ElectraForMaskedLM(
        transformers.ElectraConfig(**_config(generator_sizes, *shared))
    )
    discriminator = transformers.ElectraForPreTraining(transformers.ElectraConfig(**_config(sizes, *shared)))
    discriminator.electra.embeddings = generator.electra.embeddings
    networks = nn.ModuleDict({"generator": generator, "discriminator": discriminator})

    def step(sample: dict) -> Tensor:
        tokens, segments, positions, target, real = _inputs(sample)
        masks = {"attention_mask": real.long(), "token_type_ids": segments}
        if masked_only:
            hidden = generator.electra(tokens, **masks).last_hidden_state
            hidden = hidden.gather(1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
            gen_logits = generator.generator_lm_head(generator.generator_predictions(hidden))
        else:
            gen_logits = generator(tokens, **masks).logits
            gen_logits = gen_logits.gather(1, positions.unsqueeze(-1).expand(-1, -1, num_tokens))
        corrupted, replaced = _corrupt(tokens, positions, target, gumbel_sample(gen_logits.detach()))
        return _losses(gen_logits, target, discriminator(corrupted, **masks).logits, replaced, real)

    return networks, step


def roformer_step(size: str, num_tokens: int, dropout: float) -> Step:
    """Make a step from transformers' RoFormer; the generator's head on masked positions only."""
    import transformers
    from transformers.models.electra.modeling_electra import ElectraDiscriminatorPredictions

    sizes, generator_sizes = MODEL_SIZES[size].encoder, MODEL_SIZES[size].generator
    shared = num_tokens, dropout
    generator = transformers.RoFormerForMaskedLM(
        transformers.RoFormerConfig(**_config(generator_sizes, *shared))
    )
    discriminator = transformers.RoFormerModel(transformers.RoFormerConfig(**_config(sizes, *shared)))
    discriminator.embeddings = generator.roformer.embeddings
    to_score = ElectraDiscriminatorPredictions(transformers.ElectraConfig(**_config(sizes, *shared)))
    networks = nn.ModuleDict({"generator": generator, "discriminator": discriminator, "to_score": to_score})

    def step(sample: dict) -> Tensor:
        tokens, segments, positions, target, real = _inputs(sample)
        masks = {"attention_mask": real.long(), "token_type_ids": segments}
        hidden = generator.roformer(tokens, **masks).last_hidden_state
        gen_logits = generator.cls(hidden.gather(1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])))
        corrupted, replaced = _corrupt(tokens, positions, target, gumbel_sample(gen_logits.detach()))
        return _losses(
            gen_logits, target, to_score(discriminator(corrupted, **masks).last_hidden_state), replaced, real
        )

    return networks, step


def _config(sizes: EncoderSizes, num_tokens: int, dropout: float) -> dict[str, Any]:
    return {
        "vocab_size": num_tokens,
        "embedding_size": sizes.embedding_size,
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_hidden_layers,
        "num_attention_heads": sizes.num_attention_heads,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "pad_token_id": 1,
    }


def fairseq_step(size: str, num_tokens: int, dropout: float) -> Step:
    """Make a step from fairseq's encoder layers; the generator's head on masked positions only."""
    sizes = MODEL_SIZES[size].encoder
    generator_sizes = MODEL_SIZES[size].generator
    embeddings = FairseqEmbeddings(sizes, num_tokens, dropout)
    generator, discriminator = FairseqEncoder(generator_sizes, dropout), FairseqEncoder(sizes, dropout)
    to_vocabulary = nn.Sequential(
        nn.Linear(generator_sizes.hidden_size, sizes.embedding_size),
        nn.GELU(),
        nn.LayerNorm(sizes.embedding_size, eps=1e-12),
    )
    bias = nn.Parameter(torch.zeros(num_tokens))
    to_score = nn.Sequential(
        nn.Linear(sizes.hidden_size, sizes.hidden_size), nn.GELU(), nn.Linear(sizes.hidden_size, 1)
    )
    networks = nn.ModuleList([embeddings, generator, discriminator, to_vocabulary, to_score])
    networks.register_parameter("bias", bias)
    networks.apply(initialize)

    def step(sample: dict) -> Tensor:
        tokens, segments, positions, target, real = _inputs(sample)
        hidden = generator(embeddings(tokens, segments), ~real)
        hidden = hidden.gather(1, positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        gen_logits = F.linear(to_vocabulary(hidden), embeddings.tokens.weight, bias)
        corrupted, replaced = _corrupt(tokens, positions, target, gumbel_sample(gen_logits.detach()))
        scores = to_score(discriminator(embeddings(corrupted, segments), ~real)).squeeze(-1)
        return _losses(gen_logits, target, scores, replaced, real)

    return networks, step


class FairseqEmbeddings(nn.Module):
    """The sum of token, position and segment embeddings. Shape: (B, T), (B, T) -> (B, T, E)."""

    def __init__(self, sizes: EncoderSizes, num_tokens: int, dropout: float):
        super().__init__()
        self.tokens = nn.Embedding(num_tokens, sizes.embedding_size, 1)
        self.positions = nn.Embedding(sizes.max_position_embeddings, sizes.embedding_size)
        self.segments = nn.Embedding(2, sizes.embedding_size)
        self.layer_norm, self.dropout = nn.LayerNorm(sizes.embedding_size, eps=1e-12), nn.Dropout(dropout)

    def forward(self, tokens: Tensor, segments: Tensor) -> Tensor:
        """Look up the embeddings."""
        vectors = (
            self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1])) + self.segments(segments)
        )
        return self.dropout(self.layer_norm(vectors))


class FairseqEncoder(nn.Module):
    """An encoder of fairseq's ``TransformerSentenceEncoderLayer``. Shape: (B, T, E) -> (B, T, C)."""

    def __init__(self, sizes: EncoderSizes, dropout: float):
        super().__init__()
        from fairseq.modules import TransformerSentenceEncoderLayer

        same = sizes.embedding_size == sizes.hidden_size
        self.projection = nn.Identity() if same else nn.Linear(sizes.embedding_size, sizes.hidden_size)
        self.layers = nn.ModuleList(
            TransformerSentenceEncoderLayer(
                embedding_dim=sizes.hidden_size,
                ffn_embedding_dim=sizes.intermediate_size,
                num_attention_heads=sizes.num_attention_heads,
                dropout=dropout,
                attention_dropout=dropout,
                activation_dropout=0.0,
                activation_fn="gelu",
            )
            for _ in range(sizes.num_hidden_layers)
        )

    def forward(self, embedded: Tensor, padding_mask: Tensor) -> Tensor:
        """Encode the embedded tokens."""
        hidden = self.projection(embedded).transpose(0, 1)
        mask = padding_mask if bool(padding_mask.any()) else None
        for layer in self.layers:
            hidden, _ = layer(hidden, self_attn_padding_mask=mask)
        return hidden.transpose(0, 1)


def _inputs(sample: dict) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    net = sample["net_input"]
    return (
        net["src_tokens"].long(),
        net["segment_ids"].long(),
        net["masked_positions"],
        sample["target"],
        ~net["padding_mask"],
    )


def _corrupt(tokens: Tensor, positions: Tensor, target: Tensor, sampled: Tensor) -> tuple[Tensor, Tensor]:
    used = target != 1
    corrupted = tokens.scatter(1, positions, torch.where(used, sampled, tokens.gather(1, positions)))
    original = tokens.scatter(1, positions, torch.where(used, target, tokens.gather(1, positions)))
    return corrupted, corrupted != original


def _losses(gen_logits: Tensor, target: Tensor, scores: Tensor, replaced: Tensor, real: Tensor) -> Tensor:
    mlm = F.cross_entropy(gen_logits.float().flatten(0, 1), target.flatten(), ignore_index=1)
    rtd = (
        F.binary_cross_entropy_with_logits(
            scores.float(), replaced.float(), weight=real.float(), reduction="sum"
        )
        / real.sum()
    )
    return mlm + DISC_WEIGHT * rtd
