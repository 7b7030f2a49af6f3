import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.rows import build_rows, gather_rows
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, PAD_ID
from tests.helpers.streams import stream_of


def read(ids, rows, width):
    return gather_rows(ids, rows, np.arange(len(rows)), width)[:3]


@pytest.fixture(scope="module")
def documents():
    rng = np.random.default_rng(0)
    return [list(rng.integers(1, 90, rng.integers(1, 12))) for _ in range(150)] + [[1], [2, 1], [500]]


@pytest.mark.parametrize(("pairs", "across"), [(True, False), (False, False), (False, True)])
def test_every_token_stands_in_one_row_in_the_order_of_the_text(documents, pairs, across):
    ids, sizes = stream_of(documents)
    rows = build_rows(sizes, 64, pairs=pairs, across_documents=across)
    tokens, segments, lengths = read(ids, rows, 64)
    assert np.array_equal(tokens[tokens >= 4], ids[ids >= 4])
    assert np.array_equal(lengths, rows.lengths)
    assert rows.lengths.max() == 64
    for row, segment, length, a, b in zip(
        tokens, segments, lengths, rows.first_length, rows.second_length, strict=True
    ):
        expected = [0] * (a + 2) + [1] * (b + 1 if b else 0)
        assert list(segment[:length]) == expected
        assert not segment[length:].any()
        assert row[0] == BOS_ID and row[a + 1] == EOS_ID and row[length - 1] == EOS_ID
        assert (row[:length] == EOS_ID).sum() == 1 + (b > 0)
        assert (row[length:] == PAD_ID).all()


def test_rows_stay_within_their_document(documents):
    ids, sizes = stream_of(documents)
    rows = build_rows(sizes, 64)
    document_of = np.repeat(np.arange(len(documents)), [sum(d) for d in documents])
    tokens, _, _ = read(ids, rows, 64)
    for row in tokens:
        assert len({document_of[token - 4] for token in row[row >= 4]}) == 1


def test_one_row_in_ten_is_single_and_one_in_twenty_is_short():
    sizes = np.array([*[9] * 200_000, 1], np.int32)  # one long document of short lines
    rows = build_rows(sizes, 128)
    assert (rows.second_length == 0).mean() == pytest.approx(0.10, abs=0.01)
    # 5 % draw a length from 5 to 128, all but one in 124 of them below 128
    assert (rows.lengths < 128).mean() == pytest.approx(0.05 * 123 / 124, abs=0.005)
    short = rows.lengths[rows.lengths < 128]
    assert short.min() >= 5
    assert short.mean() == pytest.approx(66, abs=4)


def test_segment_a_ends_with_a_line_near_the_half():
    sizes = np.array([*[9] * 20_000, 1], np.int32)
    ids = np.arange(4, 4 + sizes.sum(), dtype=np.uint32)
    ids[np.cumsum(sizes) - 1] = EOS_ID
    rows = build_rows(sizes, 128)
    pairs = np.flatnonzero((rows.second_length > 0) & (rows.lengths == 128))
    line_ends = set((np.cumsum(sizes) - 1).tolist())
    tokens, _, _ = read(ids, rows, 128)
    last_of_a = tokens[pairs, rows.first_length[pairs].astype(int)]
    assert all(int(token) - 4 + 1 in line_ends for token in last_of_a)
    assert abs(rows.first_length[pairs].astype(int) - 62).max() <= 8
    assert 0.3 < (rows.first_length[pairs] > 62).mean() < 0.6  # the coin that lets a line cross the half


def test_long_paragraphs_give_pairs_too():
    sizes = np.array([1000, 1, 700, 1], np.int32)
    rows = build_rows(sizes, 128)
    assert (rows.second_length > 0).mean() > 0.6


def test_rows_do_not_depend_on_what_else_is_in_the_corpus_before_their_part(monkeypatch, documents):
    _, sizes = stream_of(documents)
    whole = build_rows(sizes, 64)
    monkeypatch.setattr("fairseq_electra.pretraining.rows.TOKENS_PER_PART", 500)
    parts = build_rows(sizes, 64)
    for name in ("start", "num_ids", "first_length", "second_length"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


@pytest.mark.parametrize(
    ("ids", "line_sizes"), [([5, EOS_ID, 6, 7, EOS_ID, 8, 9, EOS_ID], [5, 3]), ([5, 6, 7, 8, EOS_ID], [2, 3])]
)
def test_lines_that_their_ends_do_not_fit_are_refused(ids, line_sizes):
    rows = build_rows(np.array(line_sizes, np.int32), 64)
    with pytest.raises(InputError, match="does not end with </s>, or holds one inside"):
        read(np.array(ids, np.uint16), rows, 64)


def test_only_blank_lines_give_no_rows():
    assert len(build_rows(np.array([1, 1, 1], np.int32), 64)) == 0


def test_leading_and_doubled_blank_lines_are_no_documents():
    ids = np.array([EOS_ID, EOS_ID, 4, 5, EOS_ID, EOS_ID, EOS_ID, 6, EOS_ID], np.uint16)
    rows = build_rows(np.array([1, 1, 3, 1, 1, 2], np.int32), 64)
    tokens, *_ = read(ids, rows, 64)
    assert [list(row[row >= 4]) for row in tokens] == [[4, 5], [6]]
