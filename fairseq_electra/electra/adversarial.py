"""ELECTRA with a generator that is trained to fool the discriminator, by REINFORCE."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from fairseq_electra.electra.flops import Flops
from fairseq_electra.electra.initialization import initialize
from fairseq_electra.electra.model import Electra
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError


class AdversarialOutput(NamedTuple):
    """Output of both networks and of the baseline, in the order in which it is computed."""

    gen_logits: Tensor  # (B, K, V)
    gen_probs: Tensor  # (B, K, V), softmax of gen_logits, without gradient
    corrupted_tokens: Tensor  # (B, T), the text with the sampled tokens in it
    is_replaced: Tensor  # (B, T), the discriminator's labels
    disc_logits: Tensor  # (B, T), above 0: predicted to be replaced
    baseline_logits: Tensor  # (B, K), of the probability that the discriminator will be right there


class AdversarialElectra(Electra):
    """Generator and discriminator against each other.

    The baseline is one linear layer on the generator's last states, which get no gradient from it.

    Args:
        sizes, generator_sizes, num_tokens, options: as those of
            :class:`~fairseq_electra.electra.model.Electra`.

    Raises:
        InputError: the generator is not to be sampled as it is; the estimate of the gradient needs that.

    Source: Clark et al. 2020, appendix F.
    """

    def __init__(self, sizes: EncoderSizes, generator_sizes: EncoderSizes, num_tokens: int, **options: Any):
        super().__init__(sizes, generator_sizes, num_tokens, **options)
        changed = self.temperature != 1 or self.temperature_schedule is not None
        if changed or self.disallow_correct or self.average_duplicates:
            raise InputError(
                "--objective adversarial samples the generator's own distribution; leave out --temperature,"
                " --temperature-schedule, --disallow-correct and --duplicate-samples mean"
            )
        self.generator_baseline = nn.Linear(generator_sizes.hidden_size, 1)
        self.generator_baseline.apply(initialize)

    def forward(  # type: ignore[override]
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        document_ends: Tensor | None = None,
    ) -> AdversarialOutput:
        """Corrupt the text, and score every token; arguments as :meth:`Electra.forward`."""
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        states = self.masked_states(src_tokens, segment_ids, padding_mask, masked_positions, documents)
        gen_logits = self.generator_head(states, self.generator_tokens.weight)
        generated, corrupted = self.corrupt_by(
            gen_logits, src_tokens, masked_positions, target, sample_uniforms
        )
        disc_logits = self.discriminate(corrupted.tokens, segment_ids, padding_mask, documents)
        baseline_logits = self.generator_baseline(states.detach()).squeeze(-1)
        return AdversarialOutput(*generated, *corrupted, disc_logits, baseline_logits)

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary."""
        return super().flops(num_tokens) + Flops(0.0, 0.0, 2.0 * self.generator.sizes.hidden_size)
