"""A generator that is rewarded for fooling the discriminator learns to do so."""

import pytest
import torch

from fairseq_electra.electra import losses
from fairseq_electra.electra.adversarial import AdversarialElectra, AdversarialOutput
from fairseq_electra.electra.schedules import parse_schedule
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError

SIZES = EncoderSizes(8, 8, 1, 1, 8)
IDS, WEIGHTS = losses.SpecialIds(0, 1, 5), losses.LossWeights(1.0, 0.0, 0.0, 0.0)


FALLING = parse_schedule("--temperature-schedule", "linear:1@9", 2.0)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 2.0},
        {"disallow_correct": True},
        {"temperature_schedule": FALLING},
        {"average_duplicates": True},
    ],
)
def test_another_distribution_than_the_generators_own_is_refused(options):
    with pytest.raises(InputError, match="samples the generator's own distribution"):
        AdversarialElectra(SIZES, SIZES, 6, **options)


def test_the_generator_learns_which_token_fools_the_discriminator():
    """The discriminator takes token 3 for original and finds all others; the original is 2."""
    torch.manual_seed(1)
    logits, baseline = torch.zeros(6, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([logits, baseline], lr=0.05)
    none, first, original = (torch.full((8, 1), value) for value in (False, 0, 2))
    batch = losses.MaskedBatch(torch.full((8, 1), 5), none, first, original)
    for _ in range(150):
        gen_logits = logits.expand(8, 1, 6)
        probs = gen_logits.detach().softmax(-1)
        sampled = torch.multinomial(probs[:, 0], 1)
        disc_logits = torch.where((sampled == 2) | (sampled == 3), -3.0, 3.0)
        read = gen_logits, probs, sampled, sampled != 2, disc_logits
        output = AdversarialOutput(*read, baseline.expand(8, 1))
        optimizer.zero_grad()
        losses.adversarial(output, batch, IDS, WEIGHTS)["loss"].backward()
        optimizer.step()
    assert logits.argmax() == 3 and logits.softmax(-1)[3] > 0.9
    # the discriminator is hardly ever right by now, and the baseline has learnt it
    assert baseline.sigmoid().item() < 0.5
