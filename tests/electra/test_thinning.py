"""Masks that are taken back, and numbers of masks that are drawn."""

import numpy as np
import pytest
import torch

from fairseq_electra.electra.masking import MaskedTokens, wanted_tokens
from fairseq_electra.electra.thinning import Masks, keep_masks, slot_ranks
from tests.helpers.masking import MASK, PAD, masking, text


def thinned(high, rate, tokens, lengths, rows, epoch=1):
    """The masks of a rule of masking, thinned to a lower rate, as arrays; the ranks too."""
    masked = high(tokens, lengths, epoch, rows)
    ranks = slot_ranks(high.draws(epoch, rows, tokens.shape[1]).of_tokens(), masked.positions, masked.counts)
    keep = ranks < wanted_tokens(rate, lengths, ranks.shape[1])[:, None]
    given = Masks(*(torch.from_numpy(array) for array in masked[:3]))
    return masked, [tensor.numpy() for tensor in keep_masks(given, torch.from_numpy(keep), PAD)], ranks


def ragged(rows=200):
    """Rows of several lengths, some with hardly a token to mask."""
    tokens, lengths, numbers = text(rows)
    lengths = np.random.default_rng(1).integers(4, 129, rows)
    tokens[np.arange(128) >= lengths[:, None]] = PAD
    tokens[::7, 3:] = np.where(tokens[::7, 3:] > 3, 2, tokens[::7, 3:])  # one or two candidates
    return tokens, lengths, numbers


@pytest.mark.parametrize("rate", [0.3, 0.22, 0.15, 0.01])
def test_keep_masks_leaves_the_masks_of_the_lower_rate(rate):
    tokens, lengths, rows = ragged()
    high, low = masking(mask_prob=0.3), masking(mask_prob=rate)
    masked, (shown, positions, target), _ = thinned(high, rate, tokens, lengths, rows)
    expected = low(tokens, lengths, 1, rows)
    for row in rows:
        used = target[row] != PAD
        assert list(positions[row][used]) == list(expected.positions[row][: expected.counts[row]])
        assert list(target[row][used]) == list(tokens[row][positions[row][used]])
        assert (positions[row][~used] == 0).all()
        at = np.zeros(128, bool)
        at[positions[row][used]] = True
        assert (shown[row] == np.where(at, masked.src_tokens[row], tokens[row])).all()
    assert (shown == MASK).sum() > 0


def test_keep_masks_shows_the_originals_of_random_and_of_unchanged_tokens_too():
    tokens, lengths, rows = text(100)
    high = masking(mask_prob=0.3, leave_unmasked_prob=0.3, random_token_prob=0.5)
    masked, (shown, _, target), _ = thinned(high, 0.01, tokens, lengths, rows)
    assert ((masked.src_tokens != tokens) & (masked.src_tokens != MASK)).sum() > 1000  # random ones
    assert ((target != PAD).sum(1) == 1).all() and ((shown != tokens).sum(1) <= 1).all()


def test_slot_ranks_are_those_of_a_loop():
    tokens, lengths, rows = ragged(40)
    high = masking(mask_prob=0.3)
    masked, _, ranks = thinned(high, 0.3, tokens, lengths, rows)
    draws = high.draws(1, rows, 128).of_tokens()
    for row in rows:
        count = masked.counts[row]
        at = masked.positions[row][:count]
        expected = [sum(draws[row, other] < draws[row, one] for other in at) for one in at]
        assert list(ranks[row]) == expected + [ranks.shape[1]] * (ranks.shape[1] - count)


def test_kept_masks_are_a_uniform_choice_of_all():
    tokens, lengths, rows = text(4000)
    _, (_, _, target), ranks = thinned(masking(mask_prob=0.3), 0.15, tokens, lengths, rows)
    kept = (target != PAD).mean(0)  # of each slot
    share = 19 / ranks.shape[1]
    assert abs(kept - share).max() < 4 * np.sqrt(share * (1 - share) / 4000)
    together = ((target[:, 3] != PAD) & (target[:, 4] != PAD)).mean()  # neighbours are no pair
    expected = share * 18 / (ranks.shape[1] - 1)
    assert abs(together - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def drawing():
    return masking(mask_prob=1.0, leave_unmasked_prob=0.0, draw_rates=True)


def test_drawn_rates_are_uniform_and_depend_on_row_and_epoch_alone():
    tokens, lengths, rows = text(5000)
    masked: MaskedTokens = drawing()(tokens, lengths, 1, rows)
    candidates = (tokens > 2).sum(1)
    assert masked.positions.shape == tokens.shape and (candidates == 125).all()
    assert masked.counts.min() == 1 and masked.counts.max() == 125
    found = np.histogram(masked.counts, bins=25, range=(0.5, 125.5))[0]
    assert ((found - 200) ** 2 / 200).sum() < 51.2  # chi-square of 24 degrees, 0.1 %
    again = drawing()(tokens[7:9], lengths[7:9], 1, rows[7:9])
    assert (again.counts == masked.counts[7:9]).all() and (again.src_tokens == masked.src_tokens[7:9]).all()
    other = drawing()(tokens, lengths, 2, rows).counts
    assert abs(np.corrcoef(other, masked.counts)[0, 1]) < 0.06
    assert ((masked.src_tokens == MASK).sum(1) == masked.counts).all()


def test_drawn_rates_mask_nothing_where_nothing_may_be_masked():
    tokens = np.array([[0, MASK, 2, PAD, PAD, PAD, PAD, PAD]])
    masked = drawing()(tokens, np.array([3]), 1, np.array([0]))
    assert masked.counts.tolist() == [0] and (masked.target == PAD).all()
