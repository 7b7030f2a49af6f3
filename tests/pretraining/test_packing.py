import numpy as np
import pytest

from fairseq_electra.pretraining.packing import gather_packed, pack
from fairseq_electra.pretraining.rows import build_rows, gather_rows
from fairseq_electra.pretraining.wordpiece import PAD_ID
from tests.helpers.streams import stream_of

WIDTH = 64


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    ids, line_sizes = stream_of([list(rng.integers(1, 40, rng.integers(1, 4))) for _ in range(400)])
    return ids, build_rows(line_sizes, WIDTH)


def test_every_document_lies_in_one_packed_row_and_none_is_too_long(corpus):
    _, rows = corpus
    packing = pack(rows.lengths, WIDTH)
    assert np.array_equal(np.sort(packing.documents), np.arange(len(rows)))
    for row in range(len(packing)):
        inside = packing.documents[packing.bounds[row] : packing.bounds[row + 1]]
        assert (
            packing.lengths[row] == rows.lengths[inside].sum() <= WIDTH
            and 0 < len(inside) < packing.document_slots
        )
    assert packing.lengths.mean() / WIDTH > 0.95 > 0.75 > rows.lengths.mean() / WIDTH


def test_packing_is_the_same_for_a_seed_and_another_for_another(corpus):
    _, rows = corpus
    one, again, other = (
        pack(rows.lengths, WIDTH, 1),
        pack(rows.lengths, WIDTH, 1),
        pack(rows.lengths, WIDTH, 2),
    )
    assert np.array_equal(one.documents, again.documents) and not np.array_equal(
        one.documents, other.documents
    )
    assert np.array_equal(np.sort(one.lengths), np.sort(other.lengths))


@pytest.mark.parametrize("sizes", [[], [64], [64, 64], [5] * 13, [33, 31, 64, 10, 54, 40]])
def test_few_documents(sizes):
    packing = pack(np.array(sizes, np.int32), WIDTH)
    assert packing.lengths.sum() == sum(sizes) and len(packing) == -(-sum(sizes) // WIDTH)


def test_packed_rows_hold_what_plain_rows_hold(corpus):
    ids, rows = corpus
    packing = pack(rows.lengths, WIDTH)
    index = np.random.default_rng(1).permutation(len(packing))[:40]
    tokens, segments, lengths, ends = gather_packed(ids, rows, packing, index, WIDTH)
    for row, number in enumerate(index):
        begin = 0
        inside = packing.documents[packing.bounds[number] : packing.bounds[number + 1]]
        for document, end in zip(inside, ends[row], strict=False):
            alone, its_segments, (length,), _ = gather_rows(ids, rows, np.array([document]), WIDTH)
            assert end == begin + length
            assert np.array_equal(tokens[row, begin:end], alone[0, :length])
            assert np.array_equal(segments[row, begin:end], its_segments[0, :length])
            begin = int(end)
        assert lengths[row] == begin == packing.lengths[number]
        assert (
            (tokens[row, begin:] == PAD_ID).all()
            and not segments[row, begin:].any()
            and (ends[row, len(inside) :] == WIDTH).all()
        )
