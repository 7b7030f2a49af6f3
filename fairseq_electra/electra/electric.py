"""Electric: an encoder that gives every token an energy, trained by noise-contrastive estimation.

The energy E of a token says how unlikely it is where it stands: exp(-E) estimates p(token | the other
tokens), though nothing forces the estimates for all tokens of the vocabulary to add up to 1. One pass scores
all tokens of a text, where a masked language model needs a pass for each.

**The loss.** Of a row's m tokens that can be noise (all but special symbols), k are replaced by samples of a
noise distribution q(token | the other tokens), and the encoder must tell noise from text. Before the token x
is seen, the odds of noise to text at a position are k : m - k; text has it with probability p(x), noise with
q(x). So by Bayes' rule, with exp(-E) in the place of p,

    log P(noise | x) / P(text | x)  =  log k / (m - k)  +  log q(x)  -  log p(x)
                                    =  log k / (m - k)  +  log q(x)  +  E(x)

is the logit of a binary classifier, trained with cross-entropy. Above 0 it predicts noise, as the score of
ELECTRA's discriminator predicts a replaced token. At the optimum E is -log p. The rule needs log q of the
token that stands at each position, be it noise or text. It also needs labels that say where a token comes
from: a sample is noise even where it happens to equal the original.

Two approximations keep this to one pass: E reads the other tokens with their noise, q reads them without. The
first leaves a constant of the context in E, as k of the other tokens are noise where the token is text, and
k - 1 where it is noise itself; differences between tokens in one context are free of it.

**The noise.** q is a cloze model of two Transformers, one that reads from the left and one that reads from
the right (:mod:`fairseq_electra.electra.noise_model`). It reads the text as it is, predicts every token from
all others, and is trained with cross-entropy at the same time.

Source: Clark et al. 2020b (arXiv 2012.08561); google-research/electra run_pretraining.py. Deviations from the
latter: the odds are those of each row, not those of the constant mask_prob; special symbols, which are never
noise, give no loss; energies start at log V, where all tokens of the vocabulary are equally likely, instead
of 0, which only makes the first gradients many times as large.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.flops import Flops, encoder_flops, head_flops
from fairseq_electra.electra.heads import ReplacedTokenHead
from fairseq_electra.electra.initialization import draw_parameters
from fairseq_electra.electra.model import Discriminator
from fairseq_electra.electra.noise_model import NoiseModel
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sampling import corrupt
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.electra.with_replacement import first_of_duplicates

CERTAIN = 1e4  # log odds of what is certain: its loss and gradient are 0 in every float type


class ElectricOutput(NamedTuple):
    """Output of the noise model and of the main encoder, in the order in which it is computed."""

    original_tokens: Tensor  # (B, T), the text
    can_be_noise: Tensor  # (B, T), True at tokens of the text, False at special symbols and padding
    noise_nll: Tensor  # (B, T), the noise model's -log q of the text's tokens, in nats
    noise_best: Tensor  # (B, T), the token that it finds likeliest
    corrupted_tokens: Tensor  # (B, T), the text with noise in it
    energies: Tensor  # (B, T), the main encoder's
    is_replaced: Tensor  # (B, T), True where noise stands, whether or not it equals the original
    disc_logits: Tensor  # (B, T), log odds of noise: above 0, it is predicted


class Electric(Discriminator):
    """The main encoder, whose :meth:`discriminate` gives energies, and the noise model, trained together.

    The main encoder has the names of ELECTRA's discriminator, so it is fine-tuned as one. Both read the same
    embeddings.

    Args:
        sizes: sizes of the main encoder.
        generator_sizes: sizes of each tower of the noise model.
        num_tokens: size of the vocabulary, V; its last entry is ``<mask>``.
        pad: id of padding.
        unk: id of ``<unk>``, behind all special symbols but ``<mask>``.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.
    """

    noise_model: NoiseModel

    def __init__(
        self,
        sizes: EncoderSizes,
        generator_sizes: EncoderSizes,
        num_tokens: int,
        pad: int = 1,
        unk: int = 3,
        checkpoint_activations: bool = False,
    ):
        super().__init__()
        self.sizes, self.pad, self.unk, self.mask = sizes, pad, unk, num_tokens - 1
        self.embeddings = Embeddings(sizes, num_tokens, pad)
        self.discriminator = Encoder(sizes, checkpoint_activations)
        self.discriminator_head = ReplacedTokenHead(sizes)
        self.noise_model = NoiseModel(generator_sizes, num_tokens, checkpoint_activations)
        towers = (self.noise_model.left, self.noise_model.right)
        draw_parameters(
            self,
            [
                self.discriminator.projection,
                self.discriminator_head.prediction,
                *(tower.projection for tower in towers),
            ],
        )
        nn.init.constant_(self.discriminator_head.prediction.bias, math.log(num_tokens))

    def forward(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor,
        masked_positions: Tensor,
        target: Tensor,
        sample_uniforms: Tensor,
        document_ends: Tensor | None = None,
    ) -> ElectricOutput:
        """Put noise into the text, and score every token.

        Arguments as :meth:`fairseq_electra.electra.model.Electra.forward`; noise is put at the masked
        positions, and what ``src_tokens`` shows there is not read.
        """
        documents = None if document_ends is None else PackedDocuments.of(document_ends, src_tokens.shape[1])
        used = target != self.pad

        def write(tensor: Tensor, values: Tensor) -> Tensor:
            """Write into the slots; a spare one writes back what stands at position 0, never masked."""
            there = tensor.gather(1, masked_positions)
            return tensor.scatter(1, masked_positions, torch.where(used, values.to(tensor.dtype), there))

        original = write(src_tokens.long(), target)
        embedded = self.embeddings(original, segment_ids, documents=documents)
        around = self.noise_model(embedded, padding_mask, documents)
        assert isinstance(self.embeddings.tokens, nn.Embedding)
        noise = self.noise_model.predict(
            around, self.embeddings.tokens.weight, original, masked_positions, sample_uniforms
        )
        corrupted = corrupt(src_tokens, masked_positions, target, noise.sampled, self.pad)
        is_noise = write(torch.zeros_like(padding_mask), used)
        can_be_noise = (original >= self.unk) & (original != self.mask)
        energies = self.discriminate(corrupted.tokens, segment_ids, padding_mask, documents)
        # of a position with several slots, that of the sample that was written
        sampled_log_q = first_of_duplicates(noise.sampled_log_q, masked_positions, src_tokens.shape[1])
        log_q = write(-noise.nll.detach(), sampled_log_q)
        energies = energies.to(loss_dtype(energies.dtype))
        logits = energies + log_q + log_odds(is_noise, can_be_noise, energies.dtype)
        return ElectricOutput(
            original, can_be_noise, noise.nll, noise.best, corrupted.tokens, energies, is_noise, logits
        )

    def flops(self, num_tokens: int) -> Flops:
        """Count the operations of a forward pass; ``num_tokens`` is the size of the vocabulary."""
        return self.noise_model.flops(num_tokens) + encoder_flops(self.sizes) + head_flops(self.sizes)


def log_odds(is_noise: Tensor, can_be_noise: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute log k / (m - k) where a token can be noise: k of the row's m such tokens are.

    Where nothing is to be learnt, as the token is surely text, or all of the row's are noise, the result is
    :data:`CERTAIN` in size.

    Args:
        is_noise: True at noise. Shape: (B, T).
        can_be_noise: True where noise could stand. Shape: (B, T).
        dtype: type of the result.

    Returns:
        Shape: (B, T).
    """
    noise, tokens = (flags.sum(1, keepdim=True).to(dtype) for flags in (is_noise, can_be_noise))
    share = noise / tokens.clamp(min=1)
    return torch.where(can_be_noise, share.logit(), -torch.inf).clamp(-CERTAIN, CERTAIN)


def noise_sums(output: ElectricOutput, unk: int) -> dict[str, Tensor]:
    """Compute the noise model's cross-entropy at all tokens that can be noise, in nats.

    Returns:
        ``loss``, with its gradient, and without gradient: ``noise_sum``, the same; ``noise_count``, the
        number of tokens; ``noise_known``, of those that are not ``<unk>`` (id ``unk``), and
        ``noise_correct``, of correct predictions of them.
    """
    loss = output.noise_nll.masked_fill(~output.can_be_noise, 0.0).sum()
    known = output.can_be_noise & (output.original_tokens != unk)
    return {
        "loss": loss,
        "noise_sum": loss.detach(),
        "noise_count": output.can_be_noise.sum(),
        "noise_known": known.sum(),
        "noise_correct": ((output.noise_best == output.original_tokens) & known).sum(),
    }
