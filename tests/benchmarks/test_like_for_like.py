"""Fair comparisons (positions, batches by length, the same bytes), and the summary of the measurements."""

import copy
import itertools
import json
import shutil

import numpy as np
import pytest

from benchmark import packing, prediction, questions, summary, text, trainer, training_step
from benchmark.baselines import BASELINE_TRAITS, roformer_step
from tests.helpers.paths import ROOT

SLOTS = 512
ROFORMER = summary.ROFORMER


def test_roformer_has_the_parameters_of_the_net_of_tiny():
    """The shapes are equal, once our joint projection of query, key and value is split as in transformers."""
    theirs, _ = roformer_step("tiny", training_step.VOCABULARY, 0.0)
    ours, _ = training_step.our_step("tiny", 0.0)
    shapes = sorted(tuple(each.shape) for each in theirs.parameters() if each.requires_grad)
    split = []
    for name, each in ours.named_parameters():
        split += [tuple(part.shape) for part in each.chunk(3)] if ".qkv." in name else [tuple(each.shape)]
    assert shapes == sorted(split)


def test_batches_by_length_hold_every_row_once_and_as_many_as_fit():
    sizes = np.random.default_rng(1).integers(5, 129, 500)
    batches = packing.cut_by_length(sizes, SLOTS)
    assert sorted(itertools.chain(*(rows for rows, _ in batches))) == list(range(500))
    for rows, longest in batches:
        assert longest == sizes[rows].max() and len(rows) * longest <= SLOTS
    for (rows, longest), _ in itertools.pairwise(batches):
        assert (len(rows) + 1) * longest > SLOTS
    assert packing.filled_by_length(sizes, SLOTS) == pytest.approx(
        sizes.sum() / sum(len(rows) * longest for rows, longest in batches)
    )
    assert 0.9 < packing.filled_by_length(sizes, SLOTS) < 1


def test_each_round_has_batches_of_all_lengths_and_all_batches_are_used():
    sizes = np.arange(5, 129).repeat(4)
    number = len(packing.cut_by_length(sizes, SLOTS))
    found = list(itertools.islice(packing.by_length(sizes, SLOTS), packing.BATCHES * number))
    assert all(found.count(batch) == packing.BATCHES for batch in packing.cut_by_length(sizes, SLOTS))
    widths = [width for _, width in found[: packing.BATCHES]]
    assert widths == sorted(widths, reverse=True) and widths[0] > 105 and widths[-1] < 45


def test_the_ratio_of_like_to_like_leaves_sacremoses_out():
    found = {
        text.OURS: [text.Cost(2.0, 2.0, 1.0)],
        text.CHAIN: [text.Cost(16.0, 8.0, 1.0)],
        text.CHAIN_WITHOUT_MOSES: [text.Cost(8.0, 8.0, 1.0)],
    }
    rows = [text.row(way, costs, found, 10.0) for way, costs in found.items()]
    assert [row["alike"]["ratio"] for row in rows] == [4.0, 0.5, 1.0] and [
        row["cpu"]["ratio"] for row in rows
    ] == [8.0, 1.0, 2.0]
    report = {
        "megabytes": 10.0,
        "vocabulary": {"entries": 9, "megabytes": 1, "cpu_seconds": 1.0},
        "memory": {},
        "rows": rows,
    }
    table = text.markdown({"processor": "", "cores": 2, "found": report})
    assert f"| {text.OURS} | 5.0 | 8.0 | 5.0 | 4.0 | 4.0 to 4.0 | 4.0 | 4.0 to 4.0 |" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1


@pytest.fixture
def reports(tmp_path):
    """A copy of the committed reports, and a function that changes one of them."""
    shutil.copytree(ROOT / "examples" / "benchmark", tmp_path / "reports")

    def change(name, how):
        path = tmp_path / "reports" / f"{name}.json"
        report = json.loads(path.read_text())
        how(report)
        path.write_text(json.dumps(report))

    return tmp_path / "reports", change


def test_the_summary_has_a_row_for_what_was_measured_and_none_for_what_was_not(reports):
    folder, change = reports

    def without(names, *keys):
        return lambda report: [
            report[key].__setitem__(slice(None), [r for r in report[key] if r["variant"] not in names])
            for key in keys
        ]

    others = [f"{name}, bf16" for name in summary.BASELINES if name != summary.NAIVE]
    change("benchmark", without([ROFORMER, *others, f"{summary.BF16}, {BASELINE_TRAITS}"], *summary.SIZES))
    before = summary.markdown(folder)
    assert (
        "RoFormer" not in before and before.count("| pre-training step, bfloat16, learned positions |") == 1
    )

    def add(name, ratio):
        def to(report):
            for size in summary.SIZES:
                report[size].append({"variant": name, "ratio": ratio})

        return to

    change("benchmark", add(ROFORMER, 1.5))
    change("benchmark", add("transformers, head on masked positions, bf16", 2.0))
    after = summary.markdown(folder)
    ours = [_ratio(folder, "benchmark", size, summary.OURS) / 1.5 for size in summary.SIZES]
    assert (
        f"| pre-training step, float32, rotary positions | {ROFORMER} | {ours[0]:.2f}, {ours[1]:.2f} |"
        in after
    )
    ours = [_ratio(folder, "benchmark", size, summary.BF16) / 2 for size in summary.SIZES]
    masked_only = "transformers, head on masked positions, bfloat16"
    assert (
        f"| pre-training step, bfloat16, learned positions | {masked_only} | {ours[0]:.2f}, {ours[1]:.2f} |"
        in after
    )
    # like for like: with the positions of the others
    change("benchmark", add(f"{summary.BF16}, {BASELINE_TRAITS}", 5.0))
    assert (
        f"| pre-training step, bfloat16, learned positions | {masked_only} | 2.50, 2.50 |"
        in summary.markdown(folder)
    )


def _ratio(folder, name, size, variant):
    return next(
        row["ratio"]
        for row in json.loads((folder / f"{name}.json").read_text())[size]
        if row["variant"] == variant
    )


def test_the_summary_has_batches_by_length_and_positions_of_roberta_once_they_were_measured(reports):
    folder, change = reports

    def by_length(report):
        for found in report["found"]:
            found["rows"] = [row for row in found["rows"] if row["variant"] != packing.BY_LENGTH]
            packed = next(row["ratio"] for row in found["rows"] if row["variant"] == packing.PACKED)
            found["rows"].append({"variant": packing.BY_LENGTH, "ratio": packed / 1.25})

    def alike(report):
        report["products"] = {}
        for size in summary.SIZES:
            report[size] = [row for row in report[size] if row["variant"] != trainer.OURS + trainer.ALIKE]
            report[size].append({"variant": trainer.OURS + trainer.ALIKE, "ratio": 0.9})

    change("packing", by_length)
    change("trainer", alike)
    table = summary.markdown(folder)
    assert (
        "| text with `--pack`, paragraphs, rows of 512 | batches by length, as many places | 1.25, 1.25 |"
        in table
    )
    assert (
        "positions and LayerNorm of `roberta` | its `masked_lm`, one network, float32 | 0.90, 0.90 |" in table
    )
    assert "embedding twice as wide" not in table


def test_the_summary_names_the_positions_of_the_nets_that_predict(reports):
    folder, change = reports

    def both(report):
        learned = {
            size: report["sizes"].get(size + prediction.LEARNED, report["sizes"][size])
            for size in summary.SIZES
        }
        report["nets"] = {}
        report["sizes"] = {
            **learned,
            **{size + prediction.LEARNED: copy.deepcopy(found) for size, found in learned.items()},
        }
        for size in summary.SIZES:
            for rows in (
                report["sizes"][size][key] for key in ("rows", "answers") if key in report["sizes"][size]
            ):
                rows[:] = [
                    row | {"ratio": 3.0} if row["variant"] == "fairseq-electra predict" else row
                    for row in rows
                ]

    change("prediction", both)
    change("questions", both)
    table = summary.markdown(folder)
    assert (
        "| `fairseq-electra predict`, rotary positions | transformers' pipeline, its best batch | 3.00,"
        " 3.00 |" in table
    )
    assert (
        "| questions to answers, rotary positions | transformers, sorted by length, its best batch | 3.00,"
        " 3.00 |" in table
    )
    assert (
        "| `fairseq-electra predict`, learned positions |" in table
        and "| questions to answers, learned positions |" in table
    )
    report = json.loads((folder / "questions.json").read_text()) | {
        "nets": {"tiny": "rotary positions, --norm post"}
    }
    assert "| tiny, learned positions: answers: fairseq-electra predict |" in questions.markdown(report)
    assert questions.markdown(report).endswith("\n\ntiny: rotary positions, --norm post")
