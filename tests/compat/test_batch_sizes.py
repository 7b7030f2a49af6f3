"""Batches have the size that was asked for, and no row is left out of an epoch or of a validation."""

import logging

import numpy as np
import pytest
from fairseq.data import data_utils
from fairseq.dataclass import configs

from fairseq_electra.compat import batch_sizes
from tests.helpers.fairseq_source import stock_source
from tests.helpers.training import command, configuration


def sizes(rows: int, multiple: int, **more) -> list[int]:
    batches = data_utils.batch_by_size(
        np.arange(rows),
        None,
        np.full(rows, 10, dtype=np.int64),
        required_batch_size_multiple=multiple,
        **more,
    )
    assert np.concatenate(batches).tolist() == list(range(rows))
    return [len(batch) for batch in batches]


def test_fairseq_still_leaves_out_a_last_batch_that_is_no_multiple():
    plain = data_utils.batch_by_size.__wrapped__
    assert (
        sum(
            map(
                len,
                plain(
                    np.arange(71),
                    None,
                    np.full(71, 10, np.int64),
                    max_sentences=32,
                    required_batch_size_multiple=8,
                ),
            )
        )
        == 64
    )
    assert sizes(71, 8, max_sentences=32) == [32, 32, 7]


@pytest.mark.parametrize("rows", [1, 3, 7, 8, 9])
def test_a_few_rows_are_a_batch(rows):
    assert sizes(rows, 8, max_sentences=8) == [8] * (rows // 8) + [rows % 8] * (rows % 8 > 0)


def test_a_multiple_that_is_given_is_kept_to_and_the_log_says_what_becomes_of_the_batch_size(caplog):
    batch_sizes.warn_of_smaller_batches.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert sizes(50, 8, max_sentences=30) == sizes(50, 8, max_sentences=30) == [24, 24, 2]
        assert sizes(50, 4, max_tokens=70) == [4] * 12 + [2]
        assert sizes(12, 8, max_sentences=4) == [4, 4, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "--batch-size 30: batches have 24 rows, because --required-batch-size-multiple is 8; leave that"
        " option out to have 30"
    ]


@pytest.mark.parametrize(("given", "multiple"), [([], 1), (["--required-batch-size-multiple", 8], 8)])
def test_a_multiple_that_is_not_given_is_one(data_bin, tmp_path, given, multiple):
    assert (
        configuration(command(data_bin, tmp_path, *given)[3:]).dataset.required_batch_size_multiple
        == multiple
    )


def test_fairseq_still_asks_for_multiples_of_eight():
    assert "required_batch_size_multiple: int = field(\n        default=8" in stock_source(configs)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("rows", [7, 8])
def test_every_row_of_pre_training_is_trained_on_and_scored(make_task, pack, rows):
    task = make_task(pack=pack)
    for split in ("train", "valid"):
        dataset = task.load_dataset(split)
        batches = task.get_batch_iterator(
            dataset, max_sentences=rows, required_batch_size_multiple=8
        ).frozen_batches
        assert sorted(np.concatenate(batches)) == list(range(len(dataset)))
