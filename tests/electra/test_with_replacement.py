"""Masked positions drawn with replacement, against loops in plain Python and the original's arithmetic."""

import numpy as np
import pytest
import torch

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from fairseq_electra.electra.sampling import corrupt
from fairseq_electra.electra.with_replacement import WITH_REPLACEMENT, first_of_duplicates
from tests.helpers.masking import MASK, PAD, masking, text

WIDTH, SLOTS = 128, 19


def plain_draws(tokens, length, row):
    """The positions of a row in the order of their draws."""
    uniforms = fractions(bits(row_keys(Stream.MASKS, 1, 3, np.array([row])), SLOTS))[0]
    candidates = [t for t in range(length) if tokens[t] > 2 and tokens[t] != MASK]
    number = min(max(round(0.15 * length), 1), SLOTS) if candidates else 0
    return sorted(candidates[int(uniforms[k] * len(candidates))] for k in range(number))


def masked_text(rows, **changes):
    tokens, lengths, numbers = text(rows)
    lengths -= np.arange(rows) % 100
    tokens[np.arange(WIDTH) >= lengths[:, None]] = PAD
    return tokens, lengths, masking(masker=WITH_REPLACEMENT, **changes)(tokens, lengths, 3, numbers)


def test_draw_positions_is_the_rule_written_row_by_row():
    tokens, lengths, masked = masked_text(200)
    doubled = 0
    for row in range(200):
        expected = plain_draws(tokens[row], lengths[row], row)
        used = masked.target[row] != PAD
        assert masked.positions[row][used].tolist() == expected
        assert masked.counts[row] == len(expected) == used.sum() and not used[len(expected) :].any()
        assert not masked.positions[row][~used].any()
        assert masked.target[row][used].tolist() == tokens[row][expected].tolist()
        doubled += len(expected) - len(set(expected))
    assert doubled > 100


def test_one_draw_of_two_is_enough_to_hide_a_token():
    tokens, _, masked = masked_text(400, leave_unmasked_prob=0.5)
    keep = fractions(bits(row_keys(Stream.MASKS, 1, 3, np.arange(400)), SLOTS, first=WIDTH)) < 0.5
    disagreed = 0
    for row in range(400):
        expected = tokens[row].copy()
        drawn = dict[int, list[bool]]()
        for k in range(masked.counts[row]):
            drawn.setdefault(int(masked.positions[row][k]), []).append(bool(keep[row, k]))
        for position, kept in drawn.items():
            expected[position] = tokens[row][position] if all(kept) else MASK
            disagreed += len(set(kept)) == 2
        assert masked.src_tokens[row].tolist() == expected.tolist()
    assert disagreed > 100


def test_as_many_positions_are_different_as_the_theory_says():
    tokens, lengths, numbers = text(4000)
    positions = masking(masker=WITH_REPLACEMENT)(tokens, lengths, 1, numbers).positions
    different = np.mean([len(set(row)) for row in positions.tolist()])
    assert different == pytest.approx(125 * (1 - (1 - 1 / 125) ** SLOTS), abs=0.06)  # 125 are candidates


def test_draws_depend_on_the_row_alone_and_a_row_without_candidates_has_none():
    tokens, lengths, numbers = text(64)
    tokens[5] = MASK
    mask = masking(masker=WITH_REPLACEMENT)
    whole, part = mask(tokens, lengths, 1, numbers), np.array([63, 5, 17])
    for some, all_of_them in zip(mask(tokens[part], lengths[part], 1, numbers[part]), whole, strict=True):
        assert np.array_equal(some, all_of_them[part])
    assert whole.counts[5] == 0 and (whole.target[5] == PAD).all()
    assert (np.delete(whole.counts, 5) == SLOTS).all()


def scatter_update(sequence, updates, positions):
    """Transcription of google-research/electra pretrain_helpers.py::scatter_update, for one row of ids."""
    total, count = np.zeros_like(sequence), np.zeros_like(sequence)
    np.add.at(total, positions, updates)
    np.add.at(count, positions, 1)
    count[0] = 0  # updates of position 0 are ignored
    return np.where(count > 0, total // np.maximum(count, 1), sequence)


@pytest.mark.parametrize("average", [False, True])
def test_corrupt_writes_the_first_sample_or_the_original_codes_mean(average):
    tokens, _, masked = masked_text(100)
    sampled = np.random.default_rng(0).integers(4, MASK, masked.target.shape)
    again = np.random.default_rng(1).random(sampled.shape) < 0.3
    sampled[again] = masked.target[again]  # the generator was right
    found = corrupt(
        *map(torch.from_numpy, (masked.src_tokens, masked.positions, masked.target, sampled)),
        pad=PAD,
        average_duplicates=average,
    )
    for row in range(100):
        used = masked.target[row] != PAD
        at, ids = masked.positions[row][used], sampled[row][used]
        if average:
            text_of_row = scatter_update(
                masked.src_tokens[row], sampled[row] * used, masked.positions[row] * used
            )
        else:
            text_of_row = masked.src_tokens[row].copy()
            for position, token in reversed([*zip(at, ids, strict=True)]):  # the first is written last
                text_of_row[position] = token
        assert found.tokens[row].tolist() == text_of_row.tolist()
        replaced = np.isin(np.arange(WIDTH), at) & (text_of_row != tokens[row])
        assert found.is_replaced[row].tolist() == replaced.tolist()


def test_a_mean_that_is_the_original_is_not_replaced():
    src, positions = torch.tensor([[0, 99, 11, 2]]), torch.tensor([[1, 1, 0]])
    target, sampled = torch.tensor([[10, 10, PAD]]), torch.tensor([[8, 13, 55]])
    corrupted, replaced = corrupt(src, positions, target, sampled, PAD, average_duplicates=True)
    assert corrupted.tolist() == [[0, 10, 11, 2]] and not replaced.any()
    corrupted, replaced = corrupt(src, positions, target, sampled, PAD)
    assert corrupted.tolist() == [[0, 8, 11, 2]] and replaced.tolist() == [[False, True, False, False]]


def test_all_slots_of_a_position_write_the_same_so_that_their_order_does_not_matter():
    torch.manual_seed(0)
    positions, values = torch.randint(9, (50, 30)), torch.randint(1000, (50, 30))
    found = first_of_duplicates(values, positions, 9)
    for at, given, same in zip(positions.tolist(), values.tolist(), found.tolist(), strict=True):
        assert same == [given[at.index(position)] for position in at]
    order = torch.randperm(30)
    empty = torch.zeros(50, 9, dtype=torch.int64)
    written = empty.scatter(1, positions, found)
    assert torch.equal(written, empty.scatter(1, positions[:, order], found[:, order]))


def test_different_positions_are_written_as_ever():
    positions = torch.stack([torch.randperm(40)[:10].sort().values for _ in range(20)])
    values = torch.randint(1000, (20, 10))
    assert torch.equal(first_of_duplicates(values, positions, 40), values)
