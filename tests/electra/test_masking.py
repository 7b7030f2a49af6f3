import numpy as np
import pytest

from fairseq_electra.electra.hashing import Stream, bits, fractions, row_keys
from tests.helpers.masking import BOS, EOS, MASK, PAD, STARTS, VOCABULARY, masking, text, words_of


def batch(rows=256, width=128, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, width + 1, rows)
    tokens = rng.integers(4, MASK, (rows, width))
    for row, length in zip(tokens, lengths, strict=True):
        row[0], row[length - 1], row[length:] = BOS, EOS, PAD
        row[length // 2] = EOS if length > 6 else row[length // 2]
    return tokens, lengths, np.arange(rows)


def plain_masking(tokens, lengths, epoch, rows, seed=1, mask_prob=0.15, leave=0.15):
    """The rule, row by row: the candidates with the smallest draws are masked."""
    width = tokens.shape[1]
    slots = round(mask_prob * width)
    found = []
    for tokens_of_row, length, row in zip(tokens, lengths, rows, strict=True):
        key = row_keys(Stream.MASKS, seed, epoch, np.array([row]))
        halves = [int(word) >> shift & 0xFFFFFFFF for word in bits(key, width // 2)[0] for shift in (0, 32)]
        keep = fractions(bits(key, slots, first=width))[0]
        candidates = [t for t in range(length) if tokens_of_row[t] > 2 and tokens_of_row[t] != MASK]
        number = min(max(int(np.rint(mask_prob * length)), 1), len(candidates), slots)
        at = sorted(sorted(candidates, key=lambda t: (halves[t], t))[:number])
        shown = [tokens_of_row[t] if keep[k] < leave else MASK for k, t in enumerate(at)]
        found.append((at, [tokens_of_row[t] for t in at], shown))
    return found


def test_masking_is_the_rule_written_row_by_row():
    tokens, lengths, rows = batch()
    expected = plain_masking(tokens, lengths, 3, rows)
    masked, positions, target, uniforms, counts = masking()(tokens, lengths, 3, rows)
    assert positions.shape == target.shape == uniforms.shape == (256, 19)
    for row, (at, originals, shown) in enumerate(expected):
        used = target[row] != PAD
        assert list(positions[row][used]) == at
        assert list(target[row][used]) == originals
        assert list(masked[row][at]) == shown
        assert counts[row] == len(at) == used.sum()
        untouched = np.delete(np.arange(128), at)
        assert np.array_equal(masked[row][untouched], tokens[row][untouched])
        assert not positions[row][~used].any()


def test_the_number_of_masks_is_exact_and_special_tokens_are_never_masked():
    tokens, lengths, rows = batch(4096)
    _, _, target, _, counts = masking()(tokens, lengths, 1, rows)
    assert np.array_equal(counts, np.maximum(np.rint(0.15 * lengths), 1))
    assert set(np.unique(target)) & {BOS, EOS, MASK} == set()


def test_every_candidate_is_masked_alike():
    tokens = np.full((20_000, 34), 7)
    tokens[:, 0], tokens[:, -1], tokens[:, 20] = BOS, EOS, EOS
    hits = np.zeros(34)
    _, positions, target, _, _ = masking()(tokens, np.full(20_000, 34), 1, np.arange(20_000))
    np.add.at(hits, positions[target != PAD], 1)
    candidates = np.delete(hits, [0, 20, 33])
    assert not hits[[0, 20, 33]].any()
    expected = candidates.sum() / len(candidates)
    chi_square = ((candidates - expected) ** 2 / expected).sum()
    assert chi_square < 59.7  # 30 degrees of freedom, one chance in a thousand


def test_85_of_100_masked_tokens_show_the_mask_and_15_themselves():
    tokens, lengths, rows = batch(4096)
    src_tokens, positions, target, _, _ = masking()(tokens, lengths, 1, rows)
    used = target != PAD
    shown = np.take_along_axis(src_tokens, positions, 1)[used]
    assert (shown == MASK).mean() == pytest.approx(0.85, abs=0.005)
    assert np.array_equal(shown[shown != MASK], np.take_along_axis(tokens, positions, 1)[used][shown != MASK])


def test_random_replacement_draws_from_all_pieces():
    tokens, lengths, rows = batch(8192)
    masked = masking(leave_unmasked_prob=0.1, random_token_prob=0.1)(tokens, lengths, 1, rows)
    target = masked.target
    used = target != PAD
    shown = np.take_along_axis(masked.src_tokens, masked.positions, 1)[used]
    assert (shown == MASK).mean() == pytest.approx(0.8, abs=0.006)
    random = shown[(shown != MASK) & (shown != target[used])]
    assert len(random) / used.sum() == pytest.approx(0.1, abs=0.006)
    assert random.min() == 4 and random.max() == MASK - 1


def test_masks_depend_on_seed_epoch_and_row_and_on_nothing_else():
    tokens, lengths, rows = batch(64)

    def at(indices, epoch=1, seed=1):
        return masking(seed=seed)(tokens[indices], lengths[indices], epoch, rows[indices])

    whole = at(np.arange(64))
    for part in (np.arange(5), np.array([63, 2, 17])):
        for a, b in zip(at(part), whole, strict=True):
            assert np.array_equal(a, b[part])
    for other in (at(np.arange(64), epoch=2), at(np.arange(64), seed=2)):
        used = (whole.target != PAD) & (other.target != PAD)
        assert (other.positions != whole.positions)[used].mean() > 0.8
        assert (other.sample_uniforms != whole.sample_uniforms).all()


def test_draws_are_uniform_and_unrelated():
    rows = np.arange(2000)
    draws = [
        fractions(bits(row_keys(stream, seed, epoch, rows), 50))
        for stream, seed, epoch in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 1, 2))
    ]
    for draw in draws:
        assert draw.min() >= 0 and draw.max() < 1
        counts = np.histogram(draw, 100, (0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 149  # 99 degrees of freedom, one in a thousand
        for lag in (1, 2, 7, 19, 38):  # slots of a row, and the same slot of neighbouring rows
            assert abs(np.corrcoef(draw[:, :-lag].ravel(), draw[:, lag:].ravel())[0, 1]) < 0.013
            assert abs(np.corrcoef(draw[:-lag].ravel(), draw[lag:].ravel())[0, 1]) < 0.013
    for i, left in enumerate(draws):
        for right in draws[:i]:
            assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.013


def plain_word_masking(tokens, length, row, mask_prob=0.15):
    """The rule of choose_words word by word, in plain Python; returns the masked columns of a row."""
    width = len(tokens)
    slots = round(mask_prob * width)
    key = row_keys(Stream.MASKS, 1, 1, np.array([row]))
    halves = [int(word) >> shift & 0xFFFFFFFF for word in bits(key, (width + 1) // 2)[0] for shift in (0, 32)]
    offset = float(fractions(bits(key, 1, first=width + 3 * slots))[0, 0])
    words = words_of(tokens)
    pieces = sum(map(len, words))
    left = budget = min(max(int(np.rint(mask_prob * length)), 1), slots, pieces)
    share = budget / max(pieces, 1)
    by_length = sorted(words, key=lambda word: (-len(word), halves[word[0]]))
    sampled = [
        word for j, word in enumerate(by_length) if int((j + 1) * share + offset) > int(j * share + offset)
    ]
    groups = [[], [], []]
    for word in words:
        groups[1 if len(word) == 1 else 0 if word in sampled else 2].append(word)
    in_order = [word for group in groups for word in sorted(group, key=lambda word: halves[word[0]])]
    masked = []
    for word in in_order:
        if len(word) <= left:
            masked += word
            left -= len(word)
    return sorted(masked or in_order[0][:budget] if in_order else [])


@pytest.mark.parametrize(("width", "continues"), [(128, 0.3), (61, 0.7), (24, 0.9), (16, 0.0)])
def test_fast_masking_of_whole_words_is_the_plain_rule(width, continues):
    tokens, lengths, rows = text(100, width, continues)
    lengths -= np.arange(100) % (width // 2)
    tokens[np.arange(width) >= lengths[:, None]] = PAD
    expected = [
        plain_word_masking(*row) for row in zip(tokens.tolist(), lengths.tolist(), rows.tolist(), strict=True)
    ]
    _, positions, target, _, counts = masking(word_starts=STARTS)(tokens, lengths, 1, rows)
    assert [at[real != PAD].tolist() for at, real in zip(positions, target, strict=True)] == expected
    assert counts.tolist() == list(map(len, expected))


def test_whole_words_are_masked_together_and_use_up_the_budget():
    tokens, lengths, rows = text(1000)
    _, positions, target, _, counts = masking(word_starts=STARTS)(tokens, lengths, 1, rows)
    assert counts.max() == 19 and counts.mean() > 18.99
    for row in range(1000):
        masked = set(positions[row][target[row] != PAD].tolist())
        assert len(masked) == counts[row]
        assert all(len(masked & set(word)) in (0, len(word)) for word in words_of(tokens[row]))


@pytest.mark.parametrize("continues", [0.2, 0.5])
def test_long_words_are_masked_as_often_as_words_of_one_piece(continues):
    tokens, lengths, rows = text(3000, continues=continues)
    _, positions, target, _, counts = masking(word_starts=STARTS)(tokens, lengths, 1, rows)
    masked, there = np.zeros(8), np.zeros(8)
    for row in range(len(rows)):
        at = set(positions[row][target[row] != PAD].tolist())
        for word in words_of(tokens[row]):
            there[min(len(word), 7)] += 1
            masked[min(len(word), 7)] += word[0] in at
    rate = masked[1:6] / there[1:6]
    expected = counts.sum() / (3000 * 125)  # of 128 columns three are special
    error = 4 * np.sqrt(expected / there[1:6])
    assert (abs(rate - expected) < error + 0.003).all(), rate
    assert there[5] > 200


def test_a_word_longer_than_all_slots_is_masked_in_part():
    starts = np.ones(VOCABULARY, bool)
    starts[500:] = False
    tokens = np.full((1, 32), 600)
    tokens[0, 0], tokens[0, 1], tokens[0, -1] = BOS, 10, EOS
    _, positions, target, _, counts = masking(word_starts=starts)(tokens, np.array([32]), 1, np.array([0]))
    assert counts[0] == 5
    assert list(positions[0][target[0] != PAD]) == [1, 2, 3, 4, 5]


def test_a_row_without_candidates_is_left_alone():
    tokens = np.array([[BOS, MASK, MASK, EOS, PAD, PAD, PAD, PAD]])
    before = tokens.copy()
    _, _, target, _, counts = masking()(tokens, np.array([4]), 1, np.array([0]))
    assert counts[0] == 0 and (target == PAD).all()
    assert np.array_equal(tokens, before)
