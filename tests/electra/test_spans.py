"""Masks of spans."""

import numpy as np
import pytest

from fairseq_electra.electra.hashing import Stream, bits, row_keys
from fairseq_electra.errors import InputError
from fairseq_electra.tasks._pretraining_options import check_options
from tests.helpers.masking import BOS, EOS, PAD, STARTS, masking, text, words_of


def single(tokens):
    """Every token that is not special as a word of its own."""
    return [[t] for t, token in enumerate(tokens) if token > 2]


def draws_of(row, width):
    """The random numbers of a row: those of its spans, and those that decide where spans begin."""
    slots, key = round(0.15 * width), row_keys(Stream.MASKS, 1, 1, np.array([row]))

    def halves(first):
        return [
            int(word) >> shift & 0xFFFFFFFF
            for word in bits(key, (width + 1) // 2, first=first)[0]
            for shift in (0, 32)
        ]

    return halves(0), halves(width + 3 * slots)


def plain_spans(words, tokens, start_draws, budget, mean):
    """The rule of choose_spans, word by word: lists of words that are one span."""
    expected = budget * len(words) / sum(map(len, words))
    share = min(max((expected / mean - 1) / (expected - 1), 0), 1)
    spans = []
    for word in words:
        if start_draws[word[0]] < share * 2**32 or tokens[word[0] - 1] <= 2:
            spans.append([])
        spans[-1].append(word)
    return spans


def plain_masks(tokens, length, row, mean, words_in):
    """The masked columns of a row, and the spans that they belong to."""
    draws, start_draws = draws_of(row, len(tokens))
    words = words_in(tokens)
    left = budget = min(max(int(np.rint(0.15 * length)), 1), round(0.15 * len(tokens)), sum(map(len, words)))
    spans, masked, used = plain_spans(words, tokens, start_draws, budget, mean), [], 0
    for span in sorted(spans, key=lambda span: draws[span[0][0]]):
        before = left
        for word in span if start_draws[span[0][0]] % 2 == 0 else reversed(span):
            if len(word) <= left:
                masked += word
                left -= len(word)
        used += left < before
    return sorted(masked), used


@pytest.mark.parametrize("mean", [1.5, 3.0, 6.0])
@pytest.mark.parametrize(("words_in", "starts"), [(single, None), (words_of, STARTS)])
@pytest.mark.parametrize("width", [128, 61])
def test_fast_masking_of_spans_is_the_plain_rule(mean, words_in, starts, width):
    tokens, lengths, rows = text(60, width)
    lengths -= np.arange(60) % (width // 2)
    tokens[np.arange(width) >= lengths[:, None]] = PAD
    expected = [
        plain_masks(*row, mean, words_in)[0]
        for row in zip(tokens.tolist(), lengths.tolist(), rows.tolist(), strict=True)
    ]
    _, positions, target, _, counts = masking(word_starts=starts, mean_span=mean)(tokens, lengths, 1, rows)
    assert [at[real != PAD].tolist() for at, real in zip(positions, target, strict=True)] == expected
    assert counts.tolist() == list(map(len, expected))


@pytest.mark.parametrize(("mean", "width"), [(2.0, 128), (3.0, 128), (6.0, 128), (4.0, 512)])
def test_spans_have_the_mean_length_that_is_given_and_use_up_the_budget(mean, width):
    tokens, lengths, rows = text(51_200 // width, width)
    _, positions, target, _, counts = masking(mean_span=mean)(tokens, lengths, 1, rows)
    assert (counts == round(0.15 * width)).all()
    found = [plain_masks(row, width, i, mean, single) for i, row in enumerate(tokens.tolist())]
    length = counts.sum() / sum(used for _, used in found)
    assert 0.93 * mean < length < 1.05 * mean  # the ends of the text cut some
    masked = np.zeros(tokens.shape, bool)
    masked[rows[:, None], np.where(target != PAD, positions, 0)] = True
    runs = masked[:, 1:].sum() / (masked[:, 1:] & ~masked[:, :-1]).sum()
    assert length < runs < 1.25 * length  # spans that adjoin make one run


def test_spans_of_words_hold_whole_words_of_the_mean_number_given():
    tokens, lengths, rows = text(400)
    _, positions, target, _, counts = masking(word_starts=STARTS, mean_span=2.0)(tokens, lengths, 1, rows)
    assert counts.max() == 19 and counts.mean() > 18.9
    words = spans = 0
    for i, row in enumerate(tokens.tolist()):
        masked = set(positions[i][target[i] != PAD].tolist())
        own = words_of(row)
        assert all(len(masked & set(word)) in (0, len(word)) for word in own)
        words += sum(word[0] in masked for word in own)
        spans += plain_masks(row, 128, i, 2.0, words_of)[1]
    assert words / spans == pytest.approx(2, rel=0.06)


@pytest.mark.parametrize("mean", [2.0, 6.0])
def test_long_words_are_masked_more_rarely_in_spans_by_no_more_than_the_pages_say(mean):
    tokens, lengths, rows = text(1500)
    _, positions, target, _, _ = masking(word_starts=STARTS, mean_span=mean)(tokens, lengths, 1, rows)
    masked, there = np.zeros(128), np.zeros(128)
    for i, row in enumerate(tokens.tolist()):
        chosen = set(positions[i][target[i] != PAD].tolist())
        for word in words_of(row):
            there[len(word)] += 1
            masked[len(word)] += word[0] in chosen
    rate = masked[1:4] / there[1:4]
    assert rate == pytest.approx([0.160, 0.149, 0.140], abs=0.008)
    assert masked[4:7].sum() / there[4:7].sum() == pytest.approx(0.13, abs=0.02)


def test_special_tokens_are_never_masked_and_no_place_of_a_text_is_much_preferred():
    tokens = np.full((6000, 62), 7)
    tokens[:, 0], tokens[:, -1], tokens[:, 31] = BOS, EOS, EOS
    _, positions, target, _, _ = masking(mean_span=2.0)(tokens, np.full(6000, 62), 1, np.arange(6000))
    rate = np.bincount(positions[target != PAD], minlength=62) / 6000
    assert not rate[[0, 31, 61]].any()
    rate = np.delete(rate, [0, 31, 61])
    assert rate.mean() == pytest.approx(9 / 59) and (abs(rate / rate.mean() - 1) < 0.15).all()


def test_a_mean_of_one_is_single_tokens_and_of_more_than_the_budget_one_span_in_part():
    tokens, lengths, rows = text(50)
    for one, other in zip(
        masking()(tokens, lengths, 1, rows), masking(mean_span=1.0)(tokens, lengths, 1, rows), strict=True
    ):
        assert np.array_equal(one, other)
    _, positions, target, _, counts = masking(mean_span=100.0)(tokens, lengths, 1, rows)
    assert (counts == 19).all() and (positions[:, -1] - positions[:, 0] == 18).all() and (target != PAD).all()


@pytest.mark.parametrize(
    ("spans", "width", "remedy"),
    [
        *(
            (spans, 128, "a mean length from 1 to 6.4, or 0")
            for spans in (-1.0, 0.5, 6.5, 30.0, float("nan"))
        ),
        (2.0, 16, "give longer rows, or 0"),
    ],
)
def test_a_mean_that_a_row_has_no_room_for_is_refused(make_task, spans, width, remedy):
    cfg = make_task().cfg
    cfg.tokens_per_sample, cfg.mask_spans = width, spans
    with pytest.raises(InputError, match=f"--mask-spans .*{remedy}"):
        check_options(cfg)
    cfg.tokens_per_sample, cfg.mask_spans = 128, 6.4
    check_options(cfg)


def test_the_task_masks_spans_and_measures_the_share_of_masked_tokens_with_them(make_task):
    task = make_task(mask_spans=2.5)
    dataset = task.load_dataset("train")
    assert dataset.masking.mean_span == 2.5 and "mask_spans" in task.masked_share.state_dict()["options"]
    positions = dataset.collater([0, 1])["net_input"]["masked_positions"]
    assert (positions.diff() == 1).sum() > (
        make_task().load_dataset("train").collater([0, 1])["net_input"]["masked_positions"].diff() == 1
    ).sum()
    assert "mask_spans" not in make_task().masked_share.state_dict()["options"]


@pytest.mark.parametrize(
    ("masker", "whole_words", "spans", "refused"),
    [
        ("spans", False, 0.0, "--masker spans needs --mask-spans; give it"),
        ("words", False, 0.0, "--masker words needs --mask-whole-words; give it"),
        ("tokens", True, 0.0, "--masker tokens does not read --mask-whole-words; leave out one of the two"),
        ("tokens", False, 3.0, "--masker tokens does not read --mask-spans; leave out one of the two"),
        ("words", True, 3.0, "--masker words does not read --mask-spans; leave out one of the two"),
        ("tokens", False, 0.0, ""),
        ("words", True, 0.0, ""),
        ("spans", True, 3.0, ""),
        ("spans", False, 1.0, ""),
    ],
)
def test_check_options_refuses_a_masker_without_its_option_or_with_another_s(
    make_task, masker, whole_words, spans, refused
):
    cfg = make_task().cfg
    cfg.tokens_per_sample = 128
    cfg.masker, cfg.mask_whole_words, cfg.mask_spans = masker, whole_words, spans
    if not refused:
        check_options(cfg)
        return
    with pytest.raises(InputError, match=refused):
        check_options(cfg)
