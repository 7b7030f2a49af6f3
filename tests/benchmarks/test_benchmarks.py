import math

import pytest
import torch

from benchmark import __main__ as program
from benchmark import bookkeeping, gpu, packing, questions, scaling, text, training_step
from benchmark.baselines import DISC_WEIGHT

SAMPLE_ROWS = 2


VARIANTS = training_step.variants("tiny", compiled=True)


def marks_of(variant):
    if not variant.compiled:
        return []
    return [pytest.mark.by_hand if "no dropout" in variant.name else pytest.mark.long]


@pytest.mark.parametrize(
    "variant",
    [pytest.param(variant, marks=marks_of(variant)) for variant in VARIANTS],
    ids=lambda variant: variant.name,
)
def test_every_variant_computes_the_two_losses_of_an_untrained_model(variant):
    torch.manual_seed(1)
    network, step = variant.make()
    with variant.settings():
        loss = step(training_step.random_batch(SAMPLE_ROWS))
    loss.backward()
    untrained = math.log(training_step.VOCABULARY) + DISC_WEIGHT * math.log(2)
    assert loss.item() == pytest.approx(untrained, rel=0.25)
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


def test_the_report_becomes_a_table():
    report = {
        "loader": [{"loader": "a loader", "tokens_per_cpu_second": 1_000_000, "range": [900_000, 1_100_000]}],
        "tiny": [
            {
                "variant": "a net",
                "cpu_ms": 10.0,
                "tokens_per_cpu_second": 5000,
                "ratio": 2.0,
                "ratio_range": [1.9, 2.1],
            }
        ],
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "threads": 1,
            "torch": "2.6",
            "load_before": 0.1,
            "load_after": 1.0,
        },
        "batch": [8, 128],
    }
    table = program.markdown(report)
    assert "| a loader | 1,000,000 | 900,000 to 1,100,000 |" in table and "products alone" not in table
    assert "| a net | 10 | 5,000 | 2.00 | 1.9 to 2.1 |" in table
    report["tiny"][0]["of_products"] = 0.756
    assert "| a net | 10 | 5,000 | 2.00 | 1.9 to 2.1 | 76% |" in program.markdown(report)


@pytest.mark.by_hand
def test_both_ways_from_questions_to_answers_find_the_same():
    """For questions with one window each; transformers' example weighs several windows differently."""
    squad = questions.made_up(10)
    assert all(
        squad.contexts[each.context][each.answers[0][0] :].startswith(each.answers[0][1])
        for each in squad.questions
    )
    found = questions.compare("tiny", squad, rounds=1)
    assert found["same_answers"] > 0.8 and len(set(found["windows"].values())) == 1
    assert {row["variant"] for row in found["answers"]} >= {"fairseq-electra predict"}
    report = {
        "machine": {"processor": "", "threads": 1, "torch": "", "transformers": ""},
        "sizes": {"tiny": found},
    }
    assert "| tiny: answers: fairseq-electra predict |" in questions.markdown(report)


@pytest.mark.by_hand
def test_packed_rows_are_compared_with_padded_ones_on_the_same_text(corpus_lines):
    paragraphs = [line[:200] for line in corpus_lines if line][:1500]
    rows = packing.compare(paragraphs, "tiny", 128, 1024, "none", rounds=1)
    assert [row["variant"] for row in rows] == [packing.PADDED, packing.BY_LENGTH, packing.PACKED] and rows[
        0
    ]["ratio"] == 1
    assert (
        rows[0]["filled"] < 0.8
        and min(rows[1]["filled"], rows[2]["filled"]) > 0.95
        and min(rows[1]["ratio"], rows[2]["ratio"]) > 1
    )
    machine = {"processor": "a processor", "threads": 1, "torch": ""}
    found = [{"size": "tiny", "width": 128, "rows": rows}]
    assert "| tiny, rows of 128: --pack |" in packing.markdown({"machine": machine, "found": found})


@pytest.mark.long
def test_the_ways_from_text_to_ids_are_compared(tmp_path, corpus_lines):
    (tmp_path / "text").write_text("\n".join(corpus_lines) + "\n", encoding="utf-8")
    found = text.compare([tmp_path / "text"], 0.3, 0.3, [0.1], rounds=1)
    assert [row["way"] for row in found["rows"]] == [
        text.OURS,
        text.OURS_ON_ONE_CORE,
        text.CHAIN,
        text.CHAIN_WITHOUT_MOSES,
    ]
    assert (
        all(row["megabytes_per_cpu_second"] > 0 for row in found["rows"])
        and found["rows"][2]["cpu"]["ratio"] == 1
    )
    assert f"| {text.CHAIN} |" in text.markdown({"processor": "", "cores": 1, "found": found})
    with pytest.raises(RuntimeError, match="status 1"):
        text.electra("encode", "--vocab", tmp_path / "absent")


@pytest.mark.by_hand
def test_points_of_the_scaling_are_measured_and_drawn(tmp_path):
    points = [
        scaling.measure("tiny", width, rows, "none", threads=1, steps=1)
        for width, rows in ((128, 1), (128, 2), (512, 1))
    ]
    assert all(point["tokens_per_second"] > 0 and point["megabytes"] > 100 for point in points)
    report = {"machine": {"processor": "", "threads": 1, "torch": ""}, "points": points}
    assert "| tiny, 2 x 128 |" in scaling.markdown(report)
    scaling.plot(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
def test_the_program_for_gpus_runs_without_one():
    found = gpu.compare("tiny", 1, 16, "cpu", rounds=1, repeats=1)
    assert [row["variant"] for row in found["variants"]] == [
        *(gpu.THEIRS, f"{gpu.THEIRS}, torch.compile"),
        *(gpu.OURS, f"{gpu.OURS}, --compile"),
    ]
    assert len(found["top"]) == gpu.TOP and found["variants"][0]["ratio"] == 1
    assert "| tiny, 1 x 16: fairseq_electra |" in gpu.markdown({"device": "", "torch": "", "points": [found]})


@pytest.mark.by_hand
def test_an_update_of_empty_networks_is_taken_apart(data_bin):
    found = bookkeeping.compare(data_bin, rounds=1, updates=2)
    assert list(found) == list(bookkeeping.VARIANTS)
    for parts in found.values():
        summed = sum(value for part, value in parts.items() if part not in ("total", "least", "most"))
        assert min(parts["networks"], parts["optimizer"], parts["batch"]) > 0 and summed == pytest.approx(
            parts["total"], abs=0.01
        )
    assert found["--update-freq 8"]["networks"] > 4 * found["as it comes"]["networks"]
    assert "| optimizer | " in bookkeeping.markdown({"milliseconds": found})
