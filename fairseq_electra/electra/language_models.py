"""Models that predict the original tokens of corrupted text (Clark et al. 2020, section 3.4).

They stand between masked language modelling and replaced-token detection: the text is corrupted as ELECTRA's
is, but the main encoder predicts tokens instead of whether they were replaced. What is fine-tuned is the main
encoder, which has the names of ELECTRA's discriminator.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.flops import Flops, encoder_flops, head_flops, masked_lm_flops, per_prediction
from fairseq_electra.electra.heads import MaskedLMHead
from fairseq_electra.electra.initialization import initialize
from fairseq_electra.electra.model import Electra, GeneratorOutput
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sampling import CorruptedText
from fairseq_electra.electra.sizes import EncoderSizes


class ReplaceMLMOutput(NamedTuple):
    """Output of the generator and of the main encoder, in the order in which it is computed."""

    gen_logits: Tensor  # (B, K, V)
    gen_probs: Tensor  # (B, K, V), softmax of gen_logits, without gradient
    corrupted_tokens: Tensor  # (B, T), the text with the sampled tokens in it
    is_replaced: Tensor  # (B, T)
    logits: Tensor  # (B, K, V), the main encoder's, at the masked positions


class AllTokensMLMOutput(NamedTuple):
    """Output of the generator and of the main encoder, in the order in which it is computed."""

    gen_logits: Tensor  # (B, K, V)
    gen_probs: Tensor  # (B, K, V), softmax of gen_logits, without gradient
    corrupted_tokens: Tensor  # (B, T), the text with the sampled tokens in it
    is_replaced: Tensor  # (B, T)
    logits: Tensor  # (B, T, V), the main encoder's, at all positions
    disc_logits: Tensor | None  # (B, T), above 0: the token is not to be copied; None: there is no copy head


class CorruptedTextModel(Electra, ABC):
    """A generator, and a main encoder that scores the vocabulary.

    Args:
        sizes: sizes of the main encoder.
        generator_sizes: sizes of the generator.
        num_tokens: size of the vocabulary, V.
        options: further arguments of :class:`~fairseq_electra.electra.model.Electra`.
    """

    has_copy_head = False
    predicts_all = True  # else the tokens that were masked

    def __init__(self, sizes: EncoderSizes, generator_sizes: EncoderSizes, num_tokens: int, **options: Any):
        super().__init__(sizes, generator_sizes, num_tokens, **options)
        self.language_head = MaskedLMHead(sizes, num_tokens)
        self.language_head.apply(initialize)
        if not self.has_copy_head:
            self.discriminator_head = None  # type: ignore[assignment]

    def forward(  # type: ignore[override]
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        document_ends: Tensor | None = None,
    ) -> ReplaceMLMOutput | AllTokensMLMOutput:
        """Corrupt the text, and predict the original tokens; arguments as :meth:`Electra.forward`."""
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        generated, corrupted = self.generate_and_corrupt(
            src_tokens, segment_ids, padding_mask, masked_positions, target, sample_uniforms, documents
        )
        hidden = self.extract_features(corrupted.tokens, segment_ids, padding_mask, documents=documents)
        return self.outputs(generated, corrupted, hidden, masked_positions)

    @abstractmethod
    def outputs(
        self, generated: GeneratorOutput, corrupted: CorruptedText, hidden: Tensor, masked_positions: Tensor
    ) -> ReplaceMLMOutput | AllTokensMLMOutput:
        """Predict the original tokens from the main encoder's states.

        Args:
            generated: the generator's output.
            corrupted: the text that the main encoder has read.
            hidden: its last states. Shape: (B, T, C).
            masked_positions: positions of the masked tokens. Shape: (B, K).
        """

    def score_vocabulary(self, hidden: Tensor) -> Tensor:
        """Score the vocabulary with the token table that the encoder reads. Shapes: (..., C) -> (..., V)."""
        table = self.embeddings.tokens
        assert table is not None  # the main encoder's embeddings always have one
        return self.language_head(hidden, table.weight)

    def discriminate(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Score how unlikely every token is where it stands; arguments and result as Discriminator's.

        This is the logit of the probability that the original is another token: with p that of this token in
        the softmax, and r the sigmoid of the copy head's score, r (1 - p); without a copy head r is 1.
        """
        hidden = self.extract_features(tokens, segment_ids, padding_mask, documents=documents)
        return unlikeliness(*self.predict(hidden), tokens)

    def judge(
        self,
        tokens: Tensor,
        original: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        documents: PackedDocuments | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Score corrupted text in one pass.

        Args:
            tokens: the corrupted text. Shape: (B, T).
            original: the text before. Shape: (B, T).
            segment_ids, padding_mask, documents: as in :meth:`discriminate`.

        Returns:
            what :meth:`discriminate` returns, and the log-probability of the original tokens, in nats. Shape
            of both: (B, T).
        """
        hidden = self.extract_features(tokens, segment_ids, padding_mask, documents=documents)
        logits, copy_scores = self.predict(hidden)
        return (
            unlikeliness(logits, copy_scores, tokens),
            log_likelihood(logits, copy_scores, tokens, original.long()),
        )

    def predict(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Score the vocabulary, (..., V), and with a copy head whether to copy, (...)."""
        return self.score_vocabulary(hidden), self.discriminator_head(hidden) if self.has_copy_head else None


def unlikeliness(logits: Tensor, copy_scores: Tensor | None, tokens: Tensor) -> Tensor:
    """Compute the logit of the probability that the original is another token.

    Args:
        logits: scores of the vocabulary. Shape: (..., V).
        copy_scores: scores of the copy head, as in :func:`log_likelihood`. Shape: (...,).
        tokens: what stands there. Shape: (...,).

    Returns:
        Shape: (...,).
    """
    logits = logits.to(loss_dtype(logits.dtype))
    token = tokens.unsqueeze(-1)
    others = logits.scatter(-1, token, float("-inf")).logsumexp(-1)
    scores = others - logits.gather(-1, token).squeeze(-1)  # log((1 - p) / p)
    if copy_scores is None:
        return scores
    drawn = copy_scores.to(scores.dtype)
    other = F.logsigmoid(drawn) + F.logsigmoid(scores)
    same = torch.logaddexp(F.logsigmoid(-drawn), F.logsigmoid(drawn) + F.logsigmoid(-scores))
    return other - same


class ReplaceMLM(CorruptedTextModel):
    """Replace MLM: predicts the original tokens at the masked positions, where it reads the generator's.

    It never reads ``<mask>``, as in fine-tuning, and so measures what that mismatch costs a masked LM.
    """

    predicts_all = False

    def outputs(
        self, generated: GeneratorOutput, corrupted: CorruptedText, hidden: Tensor, masked_positions: Tensor
    ) -> ReplaceMLMOutput:
        """See :meth:`CorruptedTextModel.outputs`."""
        hidden = hidden.gather(1, masked_positions.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        return ReplaceMLMOutput(*generated, *corrupted, self.score_vocabulary(hidden))

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary."""
        return masked_lm_flops(self.generator.sizes, num_tokens) + masked_lm_flops(self.sizes, num_tokens)


class AllTokensMLMWithoutCopy(CorruptedTextModel):
    """All-Tokens MLM without the copy mechanism: predicts the original token at every position."""

    def outputs(
        self, generated: GeneratorOutput, corrupted: CorruptedText, hidden: Tensor, masked_positions: Tensor
    ) -> AllTokensMLMOutput:
        """See :meth:`CorruptedTextModel.outputs`."""
        return AllTokensMLMOutput(*generated, *corrupted, *self.predict(hidden))

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary."""
        predictions = Flops(per_prediction(self.sizes, num_tokens), 0.0, 0.0)
        copy_head = head_flops(self.sizes) if self.has_copy_head else Flops(0.0, 0.0, 0.0)
        generator = masked_lm_flops(self.generator.sizes, num_tokens)
        return generator + encoder_flops(self.sizes) + predictions + copy_head


class AllTokensMLM(AllTokensMLMWithoutCopy):
    """All-Tokens MLM: predicts the original token at every position, with a head that may copy the input.

    The copy head is that of ELECTRA's discriminator: with r the sigmoid of its score, a token is copied with
    probability 1 - r, else drawn from the softmax over the vocabulary. The paper's D is 1 - r.
    """

    has_copy_head = True


def log_likelihood(logits: Tensor, copy_scores: Tensor | None, corrupted: Tensor, original: Tensor) -> Tensor:
    """Compute the log-probability of the original tokens, in nats.

    Args:
        logits: scores of the vocabulary. Shape: (B, T, V).
        copy_scores: scores of the copy head, above 0: the token is not to be copied; None: there is no such
            head. Shape: (B, T).
        corrupted: the tokens that the main encoder has read. Shape: (B, T).
        original: the original tokens. Shape: (B, T).

    Returns:
        Shape: (B, T).
    """
    dtype = loss_dtype(logits.dtype)
    drawn = -F.cross_entropy(logits.to(dtype).flatten(0, 1), original.flatten(), reduction="none").view_as(
        original
    )
    if copy_scores is None:
        return drawn
    score = copy_scores.to(dtype)
    drawn = F.logsigmoid(score) + drawn
    copied = F.logsigmoid(-score)
    return torch.where(corrupted == original, torch.logaddexp(copied, drawn), drawn)


def most_likely(output: AllTokensMLMOutput, positions: Tensor) -> Tensor:
    """Return the token that is most likely to be the original, without gradient.

    Args:
        output: output of an All-Tokens MLM.
        positions: which positions to predict. Shape: (B, K).

    Returns:
        ids. Shape: (B, K).
    """
    logits = output.logits.detach().gather(1, positions.unsqueeze(-1).expand(-1, -1, output.logits.shape[-1]))
    probs, read = logits.softmax(-1, loss_dtype(logits.dtype)), output.corrupted_tokens.gather(1, positions)
    if output.disc_logits is not None:
        rate = output.disc_logits.detach().gather(1, positions).to(probs.dtype).sigmoid().unsqueeze(-1)
        probs = (rate * probs).scatter_add(-1, read.unsqueeze(-1), 1 - rate)
    return probs.argmax(-1)
