"""What each pair counts, in the file of a cell, and intervals over seeds and pairs."""

import numpy as np
import pytest

from fairseq_electra.comparison import minimal_pairs
from fairseq_electra.comparison.report import less_reference
from tests.helpers.plans import cell


def test_points_are_read_as_they_were_written():
    points = np.array([0, 0.5, 1, 1, 0])
    assert minimal_pairs.written(points) == "01220"
    assert minimal_pairs.read("01220").tolist() == points.tolist()


def test_each_paradigm_weighs_the_same_in_a_difference():
    one, other = {"a": "2222", "b": "1"}, {"a": "0022", "b": "0"}
    assert minimal_pairs.difference([(one, other)]).exact == pytest.approx((50 + 50) / 2)
    same = minimal_pairs.difference([(one, one)])
    assert same.exact == 0 and same.interval() == (0, 0)


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng, held = np.random.default_rng(3), 0
    for _ in range(100):
        models = []
        for _ in range(2):
            right = rng.random((2, 40)) < [[0.7], [0.5]]
            models.append(tuple({"a": minimal_pairs.written(1.0 * each)} for each in right))
        low, high = minimal_pairs.difference(models, samples=400).interval()
        held += low <= 20 <= high
    assert held >= 85


def test_a_sample_has_the_spread_of_one_that_draws_each_pair_by_itself():
    rng, size = np.random.default_rng(4), 50
    models = [
        tuple({"a": minimal_pairs.written(rng.integers(3, size=size) / 2)} for _ in range(2))
        for _ in range(3)
    ]
    drawn = minimal_pairs.difference(models, samples=20_000).drawn
    gaps = np.stack([minimal_pairs.read(one["a"]) - minimal_pairs.read(two["a"]) for one, two in models], 1)
    plain = 100 * np.stack([gaps[rng.integers(size, size=size)].mean(0) for _ in range(20_000)])
    assert drawn.mean(0) == pytest.approx(plain.mean(0), abs=0.3)
    assert np.cov(drawn.T) == pytest.approx(np.cov(plain.T), rel=0.1, abs=2)


def test_blimp_is_compared_by_the_scores_that_all_cells_have():
    def with_points(objective, digits):
        return cell(objective, 1, {}, blimp={"discriminator": {"mean": 50.0, "points": {"a": digits}}})

    reference = with_points("electra", "0000")
    gap = less_reference([with_points("gdes", "2000")], [reference], {})
    assert str(gap["BLiMP, discriminator"]) == "+25.0 (1 seed)"
    assert less_reference([cell("gdes", 1, {})], [reference], {}) == {}
