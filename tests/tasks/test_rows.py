"""fairseq's dataset of a task's rows: their order in each epoch."""

import numpy as np

from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.tasks._rows import ROWS_SORTED, RowsDataset

SIZES = np.random.default_rng(0).integers(5, 60, 2 * ROWS_SORTED + 100)


class Numbers(TaskRows):
    """Rows of which a batch has the numbers alone."""

    def collater(self, samples):
        return {"id": samples}


def test_ordered_indices_are_sorted_by_length_without_shuffle():
    dataset = RowsDataset(Numbers(SIZES))
    expected = sorted(range(len(SIZES)), key=lambda index: (SIZES[index], index))
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        assert dataset.ordered_indices().tolist() == expected
    assert dataset.can_reuse_epoch_itr_across_epochs


def test_ordered_indices_with_shuffle_differ_in_each_epoch_and_are_sorted_in_chunks():
    dataset = RowsDataset(Numbers(SIZES), seed=3, shuffle=True)
    orders = []
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        orders.append(dataset.ordered_indices())
        assert sorted(orders[-1].tolist()) == list(range(len(SIZES)))
        chunks = np.split(SIZES[orders[-1]], [ROWS_SORTED, 2 * ROWS_SORTED])
        assert all((np.diff(lengths) >= 0).all() for lengths in chunks)
        assert chunks[0].max() > chunks[1].min(), "a chunk has rows of all lengths"
    assert orders[0].tolist() != orders[1].tolist()
    dataset.set_epoch(1)
    assert dataset.ordered_indices().tolist() == orders[0].tolist(), "an epoch is resumed in its own order"
    assert not dataset.can_reuse_epoch_itr_across_epochs


def test_collater_is_that_of_the_rows():
    dataset = RowsDataset(Numbers(SIZES))
    assert dataset.collater([dataset[7], dataset[3]]) == {"id": [7, 3]}
    assert len(dataset) == len(SIZES)
    assert dataset.num_tokens(7) == dataset.size(7) == SIZES[7] == dataset.num_tokens_vec(np.array([7]))[0]
