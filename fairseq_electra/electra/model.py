"""ELECTRA: a generator replaces tokens, a discriminator predicts for every token whether it was replaced."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from fairseq_electra.electra.embeddings import DisentangledTokens, Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.fast.cross_entropy import probabilities
from fairseq_electra.electra.fast.sampling import sample_tokens
from fairseq_electra.electra.flops import Flops, electra_flops, masked_lm_flops
from fairseq_electra.electra.heads import MaskedLMHead, ReplacedTokenHead
from fairseq_electra.electra.initialization import draw_parameters
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sampling import CorruptedText, corrupt, sampling_probabilities
from fairseq_electra.electra.schedules import Schedule
from fairseq_electra.electra.sizes import EncoderSizes

TieEmbeddings = Literal["none", "tokens", "all", "gdes"]


class GeneratorOutput(NamedTuple):
    """Output of the generator."""

    gen_logits: Tensor  # (B, K, V)
    gen_probs: Tensor  # (B, K, V), softmax of gen_logits, without gradient


class ElectraOutput(NamedTuple):
    """Output of both networks, in the order in which it is computed."""

    gen_logits: Tensor  # (B, K, V)
    gen_probs: Tensor  # (B, K, V), softmax of gen_logits, without gradient
    corrupted_tokens: Tensor  # (B, T), the text with the sampled tokens in it
    is_replaced: Tensor  # (B, T), the discriminator's labels
    disc_logits: Tensor  # (B, T), above 0: predicted to be replaced


class Generator(nn.Module):
    """A masked language model: what :class:`MaskedLanguageModel` and :class:`Electra` have in common."""

    sizes: EncoderSizes
    pad: int
    embeddings: Embeddings
    generator_embeddings: Embeddings | None
    generator: Encoder
    generator_head: MaskedLMHead

    @property
    def generator_tokens(self) -> nn.Embedding:
        """The token table that the generator reads and predicts with. Shape of its weight: (V, E)."""
        own = self.generator_embeddings
        table = self.embeddings.tokens if own is None or own.tokens is None else own.tokens
        assert isinstance(table, nn.Embedding)  # ``embeddings`` has one where the generator has none
        return table

    def generate(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        masked_positions: Tensor,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Score the vocabulary at the masked positions. Shapes: (B, T) thrice, (B, K) -> (B, K, V)."""
        states = self.masked_states(src_tokens, segment_ids, padding_mask, masked_positions, documents)
        return self.generator_head(states, self.generator_tokens.weight)

    def masked_states(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        masked_positions: Tensor,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Encode rows, and take the masked positions. Shapes: (B, T) thrice, (B, K) -> (B, K, C)."""
        hidden = self.extract_generator_features(src_tokens, segment_ids, padding_mask, documents=documents)
        return hidden.gather(1, masked_positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))

    def extract_generator_features(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        all_layers: list[Tensor] | None = None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Encode rows with the generator; arguments and result as :meth:`Discriminator.extract_features`."""
        embeddings = self.generator_embeddings or self.embeddings
        embedded = embeddings(tokens, segment_ids, self.generator_tokens, documents)
        return self.generator(embedded, padding_mask, all_layers, documents)


class MaskedLanguageModel(Generator):
    """One network, trained to predict masked tokens: BERT's objective, with ELECTRA's generator.

    Args:
        sizes: sizes of the encoder.
        num_tokens: size of the vocabulary, V.
        pad: id of padding.
        untie_lm_head: predict with a token table of its own instead of the one it reads with.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.
    """

    def __init__(
        self,
        sizes: EncoderSizes,
        num_tokens: int,
        pad: int = 1,
        untie_lm_head: bool = False,
        checkpoint_activations: bool = False,
    ):
        super().__init__()
        self.sizes, self.pad = sizes, pad
        self.embeddings = Embeddings(sizes, num_tokens, pad)
        self.generator_embeddings = None
        self.generator = Encoder(sizes, checkpoint_activations)
        self.generator_head = MaskedLMHead(sizes, num_tokens, untie_lm_head)
        draw_parameters(self, [self.generator.projection])

    def forward(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor | None = None,
        sample_uniforms: Tensor | None = None,
        document_ends: Tensor | None = None,
    ) -> GeneratorOutput:
        """Predict the masked tokens; arguments as :meth:`Electra.forward`, some of them unused."""
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        gen_logits = self.generate(src_tokens, segment_ids, padding_mask, masked_positions, documents)
        return GeneratorOutput(gen_logits, probabilities(gen_logits))

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary."""
        return masked_lm_flops(self.sizes, num_tokens)


class Discriminator(nn.Module):
    """An encoder with a score for every token: what is kept after pre-training, and fine-tuned."""

    sizes: EncoderSizes
    pad: int
    embeddings: Embeddings
    discriminator: Encoder
    discriminator_head: ReplacedTokenHead

    def discriminate(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Score every token: above 0 it is predicted to be replaced. Shapes: (B, T) thrice -> (B, T)."""
        return self.discriminator_head(
            self.extract_features(tokens, segment_ids, padding_mask, documents=documents)
        )

    def extract_features(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        all_layers: list[Tensor] | None = None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Encode rows with the discriminator.

        Args:
            tokens: ids. Shape: (B, T).
            segment_ids: segment of each token, 0 or 1. Shape: (B, T).
            padding_mask: True at padding; None: there is no padding. Shape: (B, T).
            all_layers: a list that receives the input of the first layer and the output of each. Shapes: (B,
                T, C).
            documents: the documents of packed rows; None: each row is one document.

        Returns:
            the last layer's output. Shape: (B, T, C).
        """
        embedded = self.embeddings(tokens, segment_ids, documents=documents)
        return self.discriminator(embedded, padding_mask, all_layers, documents)


class Electra(Generator, Discriminator):
    """Generator and discriminator, trained together.

    Args:
        sizes: sizes of the discriminator.
        generator_sizes: sizes of the generator, such as ``sizes.generator(width=1 / 4, depth=1)``.
        num_tokens: size of the vocabulary, V.
        pad: id of padding.
        tie_embeddings: what the networks share: nothing, the token table, all embeddings with their
            LayerNorm, or the generator's token table without a gradient from the discriminator
            (:class:`~fairseq_electra.electra.embeddings.DisentangledTokens`).
        untie_lm_head: the generator predicts with a token table of its own instead of the one it reads with.
        temperature: divides the generator's scores before it is sampled.
        disallow_correct: never sample the original token.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.
        temperature_schedule: the temperature in training, by update; otherwise its last value counts.
        average_duplicates: see :func:`~fairseq_electra.electra.sampling.corrupt`.

    Source: Clark et al. 2020 section 2; google-research/electra run_pretraining.py::PretrainingModel.
    """

    def __init__(
        self,
        sizes: EncoderSizes,
        generator_sizes: EncoderSizes,
        num_tokens: int,
        pad: int = 1,
        tie_embeddings: TieEmbeddings = "all",
        untie_lm_head: bool = False,
        temperature: float = 1.0,
        disallow_correct: bool = False,
        checkpoint_activations: bool = False,
        temperature_schedule: Schedule | None = None,
        average_duplicates: bool = False,
    ):
        super().__init__()
        self.sizes, self.pad, self.average_duplicates = sizes, pad, average_duplicates
        self.temperature, self.disallow_correct = temperature, disallow_correct
        self.temperature_schedule = temperature_schedule
        if temperature_schedule is not None:
            self.temperature = temperature_schedule.last
        self.embeddings = Embeddings(sizes, num_tokens, pad)
        self.discriminator = Encoder(sizes, checkpoint_activations)
        self.discriminator_head = ReplacedTokenHead(sizes)
        # what is shared exists once, in self.embeddings
        self.generator_embeddings = None
        if tie_embeddings != "all":
            self.generator_embeddings = Embeddings(
                sizes, 0 if tie_embeddings == "tokens" else num_tokens, pad
            )
        if tie_embeddings == "gdes":
            self.embeddings.tokens = DisentangledTokens(self.generator_tokens)
        self.generator = Encoder(generator_sizes, checkpoint_activations)
        self.generator_head = MaskedLMHead(generator_sizes, num_tokens, untie_lm_head)
        draw_parameters(
            self,
            [self.discriminator.projection, self.discriminator_head.prediction, self.generator.projection],
        )
        if isinstance(self.embeddings.tokens, DisentangledTokens):
            nn.init.zeros_(self.embeddings.tokens.difference.weight)
        self.set_num_updates(0)

    def set_num_updates(self, num_updates: int) -> None:
        """Set the temperature of the next update, if there is a schedule; fairseq calls this before it."""
        if self.temperature_schedule is None:
            return
        value, device = self.temperature_schedule.at(num_updates), next(self.parameters()).device
        # not a number: torch.compile would make a graph for each; not a buffer: --bf16 would round it
        self.scheduled_temperature = torch.full((), value, dtype=torch.float64, device=device)

    def forward(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        document_ends: Tensor | None = None,
    ) -> ElectraOutput:
        """Corrupt the text, and score every token.

        Args:
            src_tokens: the masked text. Shape: (B, T).
            segment_ids: segment of each token, 0 or 1. Shape: (B, T).
            padding_mask: True at padding. Shape: (B, T).
            masked_positions: positions that the generator predicts. Shape: (B, K).
            target: the original tokens there, padding in spare slots. Shape: (B, K).
            sample_uniforms: uniform random numbers in [0, 1), used to sample tokens. Shape: (B, K).
            document_ends: ends of the documents in packed rows (:class:`PackedDocuments`). Shape: (B, D).
        """
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        generated, corrupted = self.generate_and_corrupt(
            src_tokens, segment_ids, padding_mask, masked_positions, target, sample_uniforms, documents
        )
        disc_logits = self.discriminate(corrupted.tokens, segment_ids, padding_mask, documents)
        return ElectraOutput(*generated, *corrupted, disc_logits)

    def generate_and_corrupt(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        documents: PackedDocuments | None,
    ) -> tuple[GeneratorOutput, CorruptedText]:
        """Run the generator and put its samples into the text; arguments as :meth:`forward`."""
        gen_logits = self.generate(src_tokens, segment_ids, padding_mask, masked_positions, documents)
        return self.corrupt_by(gen_logits, src_tokens, masked_positions, target, sample_uniforms)

    def corrupt_by(
        self,
        gen_logits: Tensor,
        src_tokens: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
    ) -> tuple[GeneratorOutput, CorruptedText]:
        """Put samples of the generator's scores, (B, K, V), into the text; arguments as :meth:`forward`."""
        gen_probs = probabilities(gen_logits)
        sampled = sample_tokens(self._sampling_distribution(gen_probs, gen_logits, target), sample_uniforms)
        corrupted = corrupt(src_tokens, masked_positions, target, sampled, self.pad, self.average_duplicates)
        return GeneratorOutput(gen_logits, gen_probs), corrupted

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary."""
        return electra_flops(self.sizes, self.generator.sizes, num_tokens)

    def _sampling_distribution(self, probs: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        is_scheduled = self.training and self.temperature_schedule is not None
        if self.temperature == 1 and not is_scheduled and not self.disallow_correct:
            return probs
        temperature = self.scheduled_temperature if is_scheduled else self.temperature
        return sampling_probabilities(logits, temperature, target if self.disallow_correct else None)
