"""The core alone: no fairseq, plain sizes."""

import numpy as np
import pytest
import torch

from fairseq_electra.electra.language_models import AllTokensMLM
from fairseq_electra.electra.losses import LossWeights, MaskedBatch, SpecialIds
from fairseq_electra.electra.masking import Masking
from fairseq_electra.electra.model import Electra, MaskedLanguageModel
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.electra.sizes import EncoderSizes

PAD, UNK, FIRST_PIECE, V = 1, 3, 4, 40
MASK, DISC_WEIGHT = V - 1, 2.0
SIZES = EncoderSizes(16, 32, 64, 2, 2, positions="rotary", dropout=0.0, attention_dropout=0.0)
MASKING = Masking(0.15, 0.15, 0.0, mask_index=MASK, pad_index=PAD, first_piece=FIRST_PIECE)


def masked_rows(update: int, rows: int = 16, width: int = 24):
    """Rows that count upwards from a random token: what is missing can be told from what stands beside it."""
    rng = np.random.default_rng(update)
    tokens = FIRST_PIECE + (rng.integers(0, MASK - FIRST_PIECE, (rows, 1)) + np.arange(width)) % (
        MASK - FIRST_PIECE
    )
    masked = MASKING(tokens, np.full(rows, width), 1, np.arange(rows) + rows * update)
    return [torch.from_numpy(array) for array in masked[:4]]


def run(model, objective, update):
    tokens, positions, target, uniforms = masked_rows(update)
    segments, padding = torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool)
    output = model(tokens, segments, padding, positions, target, uniforms)
    batch = MaskedBatch(tokens, padding, positions, target)
    weights = LossWeights(1.0, DISC_WEIGHT, DISC_WEIGHT, gen_at_all=1.0)
    sums = OBJECTIVES[objective].sums(output, batch, SpecialIds(PAD, UNK, MASK), weights)
    return sums, int((target != PAD).sum())


MODELS = {"electra": Electra, "all_tokens_mlm": AllTokensMLM, "mlm": MaskedLanguageModel}


@pytest.mark.parametrize("objective", MODELS)
def test_model_learns_in_a_plain_training_loop(objective):
    torch.manual_seed(1)
    generator = () if objective == "mlm" else (SIZES.generator(1 / 2, 1),)
    model = MODELS[objective](SIZES, *generator, num_tokens=V)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for update in range(200):
        sums, masked = run(model, objective, update)
        optimizer.zero_grad()
        (sums["loss"] / masked).backward()
        optimizer.step()
        losses.append(float(sums["masked_lm_sum"]) / masked)
    assert losses[0] > 3.4 and np.mean(losses[-10:]) < 3.0  # log(36) = 3.6 knows nothing


def test_objectives_share_their_first_half():
    model = Electra(SIZES, SIZES.generator(1 / 2, 1), V).eval()
    both, _ = run(model, "electra", 0)
    alone, _ = run(model, "mlm", 0)
    assert all(torch.equal(alone[name], both[name]) for name in alone if name != "loss")
    assert both["loss"].item() == pytest.approx(alone["loss"].item() + DISC_WEIGHT * float(both["disc_sum"]))
