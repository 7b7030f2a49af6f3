"""Accuracies on minimal pairs, their mean and its standard error, and the files and tables of results."""

import dataclasses
import json
import statistics

import numpy as np
import pytest

from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.blimp import (
    Paradigm,
    mean_accuracy,
    pair_points,
    probe,
    standard_error,
)
from fairseq_electra.probes.pairs import Pair
from fairseq_electra.probes.results import described, results, table, ties_in_words
from fairseq_electra.probes.sentence_scores import score_sentences

PAIRS = [
    Pair("b", "syntax", "The name of a class is short.", "The name of a classes is short."),
    Pair("a", "binding", "A function calls itself.", "A function calls themselves."),
    Pair("b", "syntax", "An object has a value.", "An object have a value."),
    Pair("a", "binding", "A module imports itself.", "a MODULE imports itself."),
]


def paradigm(name, term, points, same=()) -> Paradigm:
    return Paradigm(
        name, term, np.array([i in same for i in range(len(points))]), {"generator": np.array(points)}
    )


@pytest.fixture
def paradigms() -> list[Paradigm]:
    """Means of 75, 25 and 50 per cent; the second has fewer pairs."""
    return [
        paradigm("x", "syntax", [1, 1, 0.5, 0.5], same=[2]),
        paradigm("y", "binding", [0, 0.5]),
        paradigm("z", "syntax", [0, 1, 1, 0, 0, 1]),
    ]


def test_pair_points_count_a_tie_as_one_half():
    scores = [-1.0, -2.0, -2.0, -1.0, -3.0, -3.0, -1.0, np.nextafter(-1.0, -2.0)]
    assert pair_points(scores).tolist() == [1, 0, 0.5, 1]


def test_mean_accuracy_weighs_each_paradigm_the_same(paradigms):
    assert [each.accuracy("generator") for each in paradigms] == [75, 25, 50]
    assert [each.ties("generator") for each in paradigms] == [2, 1, 0]
    assert mean_accuracy(paradigms, "generator") == 50


def test_standard_error_is_that_of_a_mean_of_independent_means(paradigms):
    variances = [
        statistics.variance(each.points["generator"].tolist()) / len(each.same) for each in paradigms
    ]
    assert standard_error(paradigms, "generator") == pytest.approx(100 * sum(variances) ** 0.5 / 3)
    assert standard_error([*paradigms, paradigm("one", "syntax", [1])], "generator") is None


def test_standard_error_is_the_spread_over_samples_of_pairs():
    draws = np.random.default_rng(1)
    chances = np.array([0.5, 0.9, 0.7])
    found = [
        [
            paradigm(str(i), "syntax", (draws.random(20) < chance).astype(float))
            for i, chance in enumerate(chances)
        ]
        for _ in range(400)
    ]
    spread = np.std([mean_accuracy(each, "generator") for each in found])
    expected = np.sqrt(np.mean([standard_error(each, "generator") ** 2 for each in found]))
    assert spread == pytest.approx(expected, rel=0.1)


def test_probe_compares_both_sentences_of_each_pair(pretrained):
    net = ElectraHubInterface(pretrained()).double()
    found = probe(net, PAIRS)
    assert [(each.name, each.term) for each in found] == [("b", "syntax"), ("a", "binding")]
    assert [each.same.tolist() for each in found] == [[False, False], [False, True]]
    for score in ("generator", "discriminator"):
        good = score_sentences(net, [pair.good for pair in PAIRS], score)
        bad = score_sentences(net, [pair.bad for pair in PAIRS], score)
        points = [0.5 if g == b else float(g > b) for g, b in zip(good, bad, strict=True)]
        assert points[3] == 0.5 and 0.5 not in points[:3]
        assert [each.points[score].tolist() for each in found] == [points[::2], points[1::2]]
    alone = probe(net, PAIRS, ["generator"])
    assert all(list(each.points) == ["generator"] for each in alone)


def test_table_and_words_say_what_the_results_hold(paradigms, pretrained, tmp_path):
    (tmp_path / "checkpoint_last.pt").write_bytes(b"weights")
    model = dataclasses.replace(
        pretrained(), cfg={"model": {"model_size": "tiny", "generator_only": True}}, updates=7
    )
    found = results(paradigms, PAIRS, described(model, tmp_path))
    assert json.loads(json.dumps(found)) == found
    assert found["net"] | {"sha256": ""} == {"size": "tiny", "objective": "mlm", "updates": 7, "sha256": ""}
    assert found["net"]["sha256"].startswith("9a129038") and found["versions"]["torch"]
    assert found["paradigms"][0] == {
        "UID": "x",
        "linguistics_term": "syntax",
        "pairs": 4,
        "same_tokens": 1,
        "accuracy": {"generator": 75.0},
        "ties": {"generator": 2},
    }
    assert found["summary"]["generator"]["linguistics_terms"] == {"binding": 25.0, "syntax": 62.5}
    assert table(found).splitlines() == [
        "| accuracy, % | paradigms | generator |",
        "|---|---:|---:|",
        "| binding | 1 | 25.0 |",
        "| syntax | 2 | 62.5 |",
        f"| mean over paradigms | 3 | 50.0 ± {standard_error(paradigms, 'generator'):.1f} |",
    ]
    assert ties_in_words(found) == (
        "4 pairs, 1 of them with the same tokens in both sentences; ties, which count one half: generator 3"
    )
    found["summary"]["generator"]["standard_error"] = None
    assert table(found).endswith("| mean over paradigms | 3 | 50.0 |")
