"""The step alone, the trainer, and their comparison."""

import argparse
import contextlib
import json
import re
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark import report, trainer, updates, watched
from benchmark.bookkeeping import REST
from benchmark.step_alone import StepAlone
from fairseq_electra.electra.encoder import EncoderLayer

NET = "--num-hidden-layers 2 --positions learned --norm deepnorm --dropout 0.1"


def arguments(tmp_path, **changes):
    plain = {
        "device": "cpu",
        "threads": 1,
        "rounds": 1,
        "updates": 4,
        "steps": 2,
        "options": NET,
        "minutes": 5.0,
    }
    return argparse.Namespace(**{**plain, "output": str(tmp_path / "updates.json"), **changes})


@pytest.mark.long
def test_step_and_trainer_are_measured_with_the_same_network(tmp_path, monkeypatch):
    monkeypatch.setattr(updates, "machine_lock", contextlib.nullcontext)
    assert updates.measure_all(arguments(tmp_path, points=[("tiny", 2, 16)])) == []
    found = json.loads((tmp_path / "updates.json").read_text())
    (point,) = found["points"]
    assert point["net"] == {"positions": "learned", "norm": "deepnorm", "dropout": 0.1}
    step, trained = point["step"], point["trainer"]
    assert step.keys() | {"mfu_logged"} == trained.keys()
    for each in (step, trained):
        assert sum(each["parts"].values()) == pytest.approx(each["host_ms"], rel=0.05)
        assert each["tokens_per_second"] == pytest.approx(2 * 16 * each["updates_per_second"], rel=0.05)
        assert 0 < each["of_bound"] < 1.5
    assert step["parts"].keys() == {"networks", "gradients", "optimizer", REST} < trained["parts"].keys()
    assert trained["mfu_logged"] == pytest.approx(trained["mfu"], rel=0.05)
    assert point["ratio"] == pytest.approx(
        trained["updates_per_second"] / step["updates_per_second"], abs=0.01
    )
    assert point["host"]["ratio"] == pytest.approx(step["host_ms"] / trained["host_ms"], abs=0.01)
    table = updates.markdown(found)
    assert (
        "| tiny, 2 x 16: the step alone |" in table
        and f"options: {NET}" in table
        and "learned positions, --norm deepnorm" in table
    )


def test_the_step_alone_has_the_operations_that_are_counted(tmp_path):
    trainer.write_random_ids(tmp_path, 500)
    line = [
        str(tmp_path),
        *updates.LINE.split(),
        *["--arch", "electra_small", "--tokens-per-sample", "16", "--batch-size", "3", "--cpu"],
    ]
    step = StepAlone([*line, *"--num-hidden-layers 1 --norm pre".split()], "cpu")
    layers = [module for module in step.model.modules() if isinstance(module, EncoderLayer)]
    assert len(layers) == 2 and all(layer.pre_norm for layer in layers) and step.batch == (3, 16, 2)
    with FlopCounterMode(display=False) as counter:
        step.networks()
    assert step.flops == pytest.approx(counter.get_total_flops(), rel=1e-6)
    before = {name: weight.clone() for name, weight in step.model.named_parameters()}
    measured = step.measure(1)
    assert measured["wall"] > 0 and measured["processor"] > 0 and step.launch_seconds(1) > 0
    assert all(
        not torch.equal(weight, before[name])
        for name, weight in step.model.named_parameters()
        if weight.dim() > 1
    )


@pytest.mark.parametrize("text", ["tiny", "huge:1:16", "tiny:0:16", "tiny:1:x", "tiny:1:16:2"])
def test_a_point_that_cannot_be_read_is_refused(text):
    with pytest.raises(
        argparse.ArgumentTypeError, match=re.escape(f"{text!r} is not of the form SIZE:ROWS:WIDTH")
    ):
        updates.point(text)
    assert updates.point("base:32:512") == ("base", 32, 512)


def test_points_that_fail_or_have_no_time_left_are_named_and_the_report_has_the_others(tmp_path, monkeypatch):
    figures = {
        "updates_per_second": 1.0,
        "host_ms": 1.0,
        "mfu": 0.5,
        "mfu_logged": 0.5,
        "of_bound": 0.5,
        "parts": {REST: 1.0},
    }

    def compare(size, rows, width, args, further, end):
        if size == "tiny":
            raise RuntimeError("out of memory")
        net = {"positions": "learned", "norm": "post", "dropout": 0.0}
        point = {
            "size": size,
            "rows": rows,
            "width": width,
            "seconds": 61,
            "net": net,
            "ratio": 1.0,
            "ratio_range": [1.0, 1.0],
        }
        point["host"] = {"ratio": 1.0, "ratio_range": [1.0, 1.0]}
        return {**point, "step": figures, "trainer": figures}

    monkeypatch.setattr(updates, "compare", compare)
    monkeypatch.setattr(updates, "machine_lock", contextlib.nullcontext)
    points = [("tiny", 1, 16), ("small", 1, 16), ("base", 1, 16)]
    failed = updates.measure_all(arguments(tmp_path, points=points, minutes=1.0))
    assert failed == ["tiny:1:16: out of memory", "base:1:16: no time was left"]
    assert [each["size"] for each in json.loads((tmp_path / "updates.json").read_text())["points"]] == [
        "small"
    ]


def test_on_a_gpu_further_updates_are_synchronized_and_then_profiled(monkeypatch):
    waits, calls = [], []
    profile = SimpleNamespace(start=lambda: calls.append("start"), stop=lambda: calls.append("stop"))
    monkeypatch.setattr(watched, "clock", waits.append)
    monkeypatch.setattr(watched, "profiler", lambda device: profile)
    monkeypatch.setattr(watched, "kernel_seconds", lambda profile, device: {"a": 0.003, "b": 0.001})
    watch = watched.Watch("cuda", 2, 5)
    for update in range(1, 5):
        watch.after(update, 1e12)
    assert not waits and not watch.found
    for update in range(5, 6 + watched.updates_after("cuda")):
        watch.after(update, 1e12)
        assert calls == ["start"] * (update >= 5 + watched.SYNCED) + ["stop"] * (
            update >= 5 + watched.updates_after("cuda")
        )
    assert (
        watch.found["kernels"] == pytest.approx(0.004 / watched.PROFILED) and 0 < watch.found["launch"] < 0.1
    )
    assert watch.found.keys() == {"processor", "parts", "peak", "launch", "kernels"} and len(
        waits
    ) == 1 + watched.updates_after("cuda")


def test_a_program_that_fails_or_takes_too_long_raises_an_error(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"no_such_module ended with status 1, and last printed\n.*No module named"
    ):
        report.run_logged(["no_such_module"], tmp_path / "log", 1)
    with pytest.raises(TimeoutError, match="timeit was stopped"):
        report.run_logged(
            ["timeit", "-n", "1", "-r", "1", "import time; time.sleep(20)"], tmp_path / "log", 1, seconds=0.5
        )
