"""A comparison from plan to table, on a small text."""

import gzip
import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fairseq_electra.comparison import cell as cell_module
from fairseq_electra.comparison.bootstrap import WEIGHTED, Examples
from fairseq_electra.comparison.cell import Maker, updates_in
from fairseq_electra.comparison.choice import quality
from fairseq_electra.comparison.compute import cost_of, updates_for
from fairseq_electra.comparison.files import write_json
from fairseq_electra.comparison.plan import Cell, read_plan
from fairseq_electra.errors import DivergedError, InputError
from fairseq_electra.probes.pairs import FIELDS
from tests.helpers.commands import electra, electra_here, electra_process
from tests.helpers.sentence_tasks import SINGLE, prepare_all


def save_updates(updates, path):
    """Save what a comparison reads of a checkpoint."""
    torch.save({"cfg": {}, "model": {}, "optimizer_history": [{"num_updates": updates}]}, path)


def pair_lines(*words):
    return "".join(json.dumps(dict.fromkeys(FIELDS, word)) + "\n" for word in words)


def test_every_objective_uses_the_same_flops(small):
    objectives = '{electra: "", all: --objective all_tokens_mlm, mlm: --objective mlm}'
    plan = read_plan(small(objectives=objectives, budgets="[1e7]"))
    costs = {name: cost_of(plan, name) for name in plan.objectives}
    flops = {
        name: updates_for(1e7, cost, costs["electra"]) * cost.rows * cost.flops
        for name, cost in costs.items()
    }
    assert max(flops.values()) < 1.001 * min(flops.values())
    reference = updates_for(1e7, costs["electra"], costs["electra"])
    assert reference * costs["electra"].rows * costs["electra"].tokens == pytest.approx(1e7, rel=1e-3)
    assert updates_for(1e7, costs["mlm"], costs["electra"]) > reference


def test_an_update_has_the_rows_of_an_average_batch_of_an_epoch(small, make_task):
    number = len(make_task(tokens_per_sample=64).load_dataset("train"))
    for batch_size in (number, number - 1, number // 2 + 3, 7):
        batches = [range(number)[first : first + batch_size] for first in range(0, number, batch_size)]
        plan = read_plan(small(batch_size=batch_size, tokens_per_sample=64))
        assert cost_of(plan, "electra").rows == pytest.approx(np.mean([len(batch) for batch in batches]))


def result_of(has_discriminator, **valid):
    return {"cell": "x", "has_discriminator": has_discriminator, "valid": valid}


def test_quality_chooses_by_what_the_generator_does_not_move():
    better = result_of(True, fixed_auc=0.8, fixed_generator_auc=0.7, masked_lm_loss=6.0)
    worse = result_of(True, fixed_auc=0.9, fixed_generator_auc=0.6, masked_lm_loss=5.0)
    assert quality(better) > quality(worse)
    # without a generator, by what it is trained on: replacements by frequency
    of_unigram = [
        {**each, "valid": {k: v for k, v in each["valid"].items() if k != "masked_lm_loss"}}
        for each in (better, worse)
    ]
    assert quality(of_unigram[0]) < quality(of_unigram[1])
    electric = [{**each, "valid": {**each["valid"], "noise_loss": 1.0}} for each in of_unigram]
    assert quality(electric[0]) > quality(electric[1])
    # where the main encoder predicts tokens, by its loss
    of_tokens = [
        {**each, "valid": {**each["valid"], "main_lm_loss": 1.0, "fixed_generator_lm_loss": loss}}
        for each, loss in ((better, 1.2), (worse, 1.1))
    ]
    assert quality(of_tokens[0]) < quality(of_tokens[1])
    assert quality(result_of(True, fixed_auc=0.8)) > quality(result_of(True, fixed_auc=0.7))
    assert quality(result_of(False, masked_lm_loss=5.0)) > quality(result_of(False, masked_lm_loss=6.0))


def test_a_run_that_diverged_or_has_no_number_is_the_worst():
    assert quality(result_of(False, masked_lm_loss=float("nan"))) == -math.inf
    assert quality(result_of(True) | {"trouble": "gradients are Nan/Inf"}) == -math.inf


def test_rates_of_different_figures_are_not_compared(small, tmp_path):
    maker = Maker(read_plan(small()), tmp_path, on_cpu=True)
    for cell, figure in zip(
        maker.choosing("electra"), ("main_lm_loss", "fixed_generator_lm_loss"), strict=True
    ):
        result = result_of(True, main_lm_loss=1.0) | {"cell": cell.name, "lr": cell.lr}
        result["valid"][figure] = 1.0
        write_json(maker.file(cell), result | {"settings": maker.settings(cell)})
    with pytest.raises(InputError, match=r"seed0 has main_lm_loss, .* has fixed_generator_lm_loss"):
        maker.chosen_rate("electra")


def test_a_rate_that_diverges_is_a_result_and_others_are_chosen(small, tmp_path, monkeypatch):
    maker = Maker(read_plan(small()), tmp_path, on_cpu=True)
    slow, fast = maker.choosing("electra")

    def pretrain(cell, lr, folder):
        if lr == fast.lr:
            raise DivergedError("fairseq-train failed: FloatingPointError: gradients are Nan/Inf")
        (folder / "train.log").write_text("")
        return folder / "checkpoint_last.pt"

    monkeypatch.setattr(maker, "pretrain", pretrain)
    monkeypatch.setattr(cell_module, "read_log", lambda path: [{"subset": "valid", "fixed_auc": 0.7}])
    assert maker.make(slow)["valid"] and "gradients are Nan/Inf" in maker.make(fast)["trouble"]
    assert maker.chosen_rate("electra") == slow.lr
    (cell,) = (cell for cell in maker.plan.cells() if (cell.objective, cell.budget) == ("electra", 6e3))
    monkeypatch.setattr(maker, "chosen_rate", lambda objective: fast.lr)
    assert "gradients are Nan/Inf" in maker.make(cell)["trouble"] == maker.read(cell)["trouble"]


def test_a_run_that_ends_before_its_budget_is_used_is_no_cell(small, tmp_path, monkeypatch):
    maker = Maker(read_plan(small(rates="[1e-3]")), tmp_path, on_cpu=True)
    cell = next(maker.plan.cells())

    def train(cell, arguments, log):
        folder, given = log.parent, dict(itertools.pairwise(arguments))
        done = int(given["--max-update"]) if folder.name == "constant" else maker.updates(cell) - 1
        folder.mkdir(exist_ok=True)
        save_updates(done, folder / "checkpoint_last.pt")

    monkeypatch.setattr(maker, "train", train)
    updates = maker.updates(cell)
    with pytest.raises(InputError, match=f"ended after {updates - 1} updates, and its budget is {updates};"):
        maker.make(cell)
    assert not maker.is_done(cell)


def test_a_budget_that_is_too_small_is_refused_before_anything_is_made(small, tmp_path):
    maker = Maker(read_plan(small(budgets="[600, 12e6]")), tmp_path, on_cpu=True)
    with pytest.raises(InputError, match=r"electra-600-seed1 has .* too few for a warm-up of 2"):
        maker.check(maker.plan.cells())


def test_the_minimal_pairs_are_the_same_however_their_file_is_compressed(small, tmp_path):
    lines = pair_lines("one", "two").encode()
    (tmp_path / "pairs.jsonl").write_bytes(lines)
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(lines))
    digests = {
        Maker(read_plan(small(blimp=name)), tmp_path, on_cpu=True).minimal_pairs
        for name in ("pairs.jsonl", "pairs.jsonl.gz")
    }
    assert len(digests) == 1 and None not in digests


def test_the_flops_of_a_start_are_taken_from_the_budget_and_its_content_counts(small, tmp_path, checkpoint):
    start = tmp_path / "generator.pt"
    shutil.copy(checkpoint, start)
    objectives = '{electra: "", frozen: --objective frozen_generator --generator-from generator.pt}'
    plain = Maker(read_plan(small(objectives=objectives, flops_before="{frozen: 0}")), tmp_path, on_cpu=True)
    cell = Cell("frozen", 12e3, 1)
    used = 0.25 * plain.cost("frozen").of_run(plain.updates(cell))
    maker = Maker(
        read_plan(small(objectives=objectives, flops_before=f"{{frozen: {used}}}")), tmp_path, on_cpu=True
    )
    assert maker.updates(cell) == pytest.approx(0.75 * plain.updates(cell), abs=1)
    assert maker.cost("frozen").of_run(maker.updates(cell)) == pytest.approx(4 * used, rel=0.05)
    settings = maker.settings(cell)
    assert settings["flops before"] != plain.settings(cell)["flops before"]
    assert str(tmp_path) not in settings["options"] and "generator.pt" in settings["options"]
    with open(start, "ab") as stream:
        stream.write(b"x")
    assert maker.settings(cell)["start"] != settings["start"]
    with pytest.raises(InputError, match="leaves nothing of a budget of 12000 tokens"):
        Maker(
            read_plan(small(objectives=objectives, flops_before="{frozen: 1e18}")), tmp_path, on_cpu=True
        ).updates(cell)


def test_a_cell_of_another_name_or_rate_is_refused(small, tmp_path):
    maker = Maker(read_plan(small()), tmp_path, on_cpu=True)
    cell, choosing = Cell("electra", 6e3, 1), maker.choosing("electra")
    result = {"cell": cell.name, "lr": 3e-3, "settings": maker.settings(cell)}
    write_json(maker.file(cell), result)
    assert maker.read(cell) == result  # which rate is the best is not known yet
    for each, auc in zip(choosing, (0.7, 0.6), strict=True):
        chosen = {"cell": each.name, "lr": each.lr, "settings": maker.settings(each)}
        write_json(maker.file(each), chosen | result_of(True, fixed_auc=auc) | {"cell": each.name})
    with pytest.raises(InputError, match=r"trained with the learning rate 0\.003, and .* say 0\.001"):
        maker.read(cell)
    write_json(maker.file(cell), result | {"cell": "electra-6000-seed2"})
    with pytest.raises(InputError, match="holds the cell electra-6000-seed2"):
        maker.read(cell)
    maker.file(cell).write_text("[]")
    with pytest.raises(InputError, match="is damaged"):
        maker.read(cell)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"objectives": "{electra: --bogus 1}"}, "--bogus"),
        ({"tasks": "[empty]"}, "empty"),
        ({"finetuning_options": "--max-epoch 3"}, "--max-epoch behind --"),
        (
            {"tasks": f"[bin/{SINGLE}]", "finetuning_options": "--bogus 1"},
            "fairseq-train refuses what stands behind --",
        ),
        ({"blimp": "pairs.jsonl"}, "pairs.jsonl"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_file_is_written(
    small, tmp_path, changes, sentence, vocabulary, corpus_lines
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    if SINGLE in changes.get("tasks", ""):
        prepare_all(tmp_path, vocabulary, corpus_lines)
    done = electra(
        *["compare", small(**changes), "--output", tmp_path / "out", "--cell", "electra-6000-seed1", "--cpu"],
        check=False,
    )
    assert done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_text_without_a_held_out_part_is_refused(small, tmp_path, data_bin):
    shutil.copytree(data_bin, tmp_path / "train-bin", ignore=shutil.ignore_patterns("valid*"))
    maker = Maker(read_plan(small(data="train-bin")), tmp_path, on_cpu=True)
    with pytest.raises(InputError, match="has no held-out text"):
        maker.check(maker.plan.cells())


def test_quality_needs_its_figure():
    with pytest.raises(InputError, match="cell x has no fixed_generator_auc"):
        quality(result_of(True, disc_loss=0.1, masked_lm_loss=5.0))


def test_a_cell_and_a_run_judged_by_another_generator_are_refused(small, tmp_path, data_bin):
    copy = tmp_path / "text"
    shutil.copytree(data_bin, copy)
    maker = Maker(read_plan(small(data=copy)), tmp_path / "out", on_cpu=True)
    cell = Cell("electra", 6e3, 0, 1e-3)
    write_json(maker.file(cell), {"settings": maker.settings(cell)})
    maker.keep_settings(cell, tmp_path / "run" / "settings.json")
    (copy / "valid.fixed_generator.npz").write_bytes(b"others")
    for refused in (
        lambda: maker.read(cell),
        lambda: maker.keep_settings(cell, tmp_path / "run" / "settings.json"),
    ):
        with pytest.raises(InputError, match=r"was made with held-out text .*, and the plan has"):
            refused()


def test_a_cell_of_other_minimal_pairs_is_refused(small, tmp_path):
    (tmp_path / "p.jsonl").write_text(pair_lines("one"))
    maker = Maker(read_plan(small(blimp="p.jsonl")), tmp_path / "out", on_cpu=True)
    cell = Cell("electra", 6e3, 1)
    write_json(maker.file(cell), {"settings": maker.settings(cell)})
    (tmp_path / "p.jsonl").write_text(pair_lines("two"))
    other = Maker(read_plan(small(blimp="p.jsonl")), tmp_path / "out", on_cpu=True)
    with pytest.raises(InputError, match="was made with blimp "):
        other.read(cell)


def test_a_budget_does_not_start_from_the_constant_part_of_a_larger_one(small, tmp_path, monkeypatch):
    maker, updates = Maker(read_plan(small()), tmp_path / "out", on_cpu=True), 10**6
    (tmp_path / "run" / "constant").mkdir(parents=True)

    def train(self, cell, arguments, log):
        save_updates(updates, tmp_path / "run" / "constant" / "checkpoint_last.pt")

    monkeypatch.setattr(Maker, "train", train)
    with pytest.raises(InputError, match=r"is at 1,000,000 updates, and electra-6000-seed1 needs it at \d+"):
        maker.pretrain(Cell("electra", 6e3, 1), 1e-3, tmp_path / "run")
    assert not list((tmp_path / "run" / "6000").iterdir())


def test_a_run_keeps_the_starts_of_the_budgets_that_it_passes(small, tmp_path, monkeypatch):
    plan, folder = read_plan(small(budgets="[6e3, 12e3]")), tmp_path / "run"
    maker = Maker(plan, tmp_path / "out", on_cpu=True)
    limits = []

    def train(self, cell, arguments, log):
        if "--max-update" in arguments:
            limits.append(int(arguments[arguments.index("--max-update") + 1]))
            log.parent.mkdir(parents=True, exist_ok=True)
            save_updates(limits[-1], folder / "constant" / "checkpoint_last.pt")

    monkeypatch.setattr(Maker, "train", train)
    monkeypatch.setattr(Maker, "whole", lambda self, cell, checkpoint: checkpoint)
    large, small_one = Cell("electra", 12e3, 1), Cell("electra", 6e3, 1)
    maker.pretrain(large, 1e-3, folder)
    starts = [maker.parts(cell)[0] for cell in (small_one, large)]
    assert limits == starts == [updates_in(folder / name / "start.pt") for name in ("6000", "12000")]
    maker.pretrain(small_one, 1e-3, folder)
    assert limits == starts  # nothing was made again
    (folder / "6000" / "start.pt").unlink()
    (folder / "12000" / "start.pt").unlink()
    maker.pretrain(large, 1e-3, folder)  # which needs the other start as little as before
    assert not (folder / "6000" / "start.pt").exists()


def test_a_smaller_budget_that_is_none_stops_no_larger_one(small, tmp_path, monkeypatch):
    plan, limits = read_plan(small(budgets="[3e3, 12e3]", warmup_updates=10)), []
    maker = Maker(plan, tmp_path / "out", on_cpu=True)
    large = Cell("electra", 12e3, 1)
    with pytest.raises(InputError, match="too few for a warm-up of 10"):
        maker.parts(Cell("electra", 3e3, 1))

    def train(self, cell, arguments, log):
        if "--max-update" in arguments:
            limits.append(int(arguments[arguments.index("--max-update") + 1]))
            log.parent.mkdir(parents=True, exist_ok=True)
            save_updates(limits[-1], tmp_path / "run" / "constant" / "checkpoint_last.pt")

    monkeypatch.setattr(Maker, "train", train)
    monkeypatch.setattr(Maker, "whole", lambda self, cell, checkpoint: checkpoint)
    maker.pretrain(large, 1e-3, tmp_path / "run")
    assert limits == [maker.parts(large)[0]]  # fairseq-train would refuse fewer updates than the warm-up


def test_a_cell_without_points_of_minimal_pairs_is_refused(small, tmp_path):
    maker = Maker(read_plan(small()), tmp_path / "out", on_cpu=True)
    cell = Cell("electra", 6e3, 1)
    result = {"cell": cell.name, "settings": maker.settings(cell), "blimp": {"generator": {"mean": 50.0}}}
    write_json(maker.file(cell), result)
    with pytest.raises(InputError, match="does not say which minimal pairs were scored right"):
        maker.read(cell)


def test_a_rate_is_chosen_before_it_is_used(small, tmp_path):
    maker = Maker(read_plan(small()), tmp_path / "out", on_cpu=True)
    with pytest.raises(InputError, match=r"chosen by electra-6000-lr0\.001-seed0, electra"):
        maker.chosen_rate("electra")


def test_a_budget_too_small_for_the_warm_up_is_refused(small, tmp_path):
    maker = Maker(read_plan(small(warmup_updates=400)), tmp_path / "out", on_cpu=True)
    with pytest.raises(InputError, match="too few for a warm-up of 400"):
        maker.make(Cell("electra", 6e3, 0, 1e-3))


def test_budgets_share_a_run_only_with_a_schedule_that_has_a_constant_part(small, tmp_path, monkeypatch):
    objectives = '{electra: "", linear: --lr-scheduler polynomial_decay}'
    maker = Maker(read_plan(small(objectives=objectives)), tmp_path / "out", on_cpu=True)
    lines = []
    monkeypatch.setattr(Maker, "train", lambda self, cell, arguments, log: lines.append(arguments))
    monkeypatch.setattr(Maker, "whole", lambda self, cell, checkpoint: checkpoint)
    cell = Cell("linear", 6e3, 1)
    checkpoint = maker.pretrain(cell, 1e-3, tmp_path / "run")
    ((*_, limit, updates, save_dir, folder),) = lines
    assert (limit, save_dir) == ("--max-update", "--save-dir") and int(updates) == maker.updates(cell)
    assert checkpoint.parent == Path(folder) == tmp_path / "run" / "6000"
    assert "--start-decay" not in lines[0] and "--decay-updates" not in lines[0]
    with pytest.raises(FileNotFoundError):  # of the run that would have made the constant part
        maker.pretrain(Cell("electra", 6e3, 1), 1e-3, tmp_path / "run")
    assert lines[1][-1] == str(tmp_path / "run" / "constant")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 16}, "options"),
        ({"blimp": "p.jsonl"}, "blimp"),
        ({"decay": 0.1}, "decay"),
        ({"rates": "[1e-3]"}, "rates"),
    ],
)
def test_a_cell_of_another_plan_is_refused(small, tmp_path, changes, words):
    (tmp_path / "p.jsonl").write_text(pair_lines("one"))
    maker = Maker(read_plan(small()), tmp_path / "out", on_cpu=True)
    cell = Cell("electra", 6e3, 1)
    write_json(maker.file(cell), {"cell": cell.name, "settings": maker.settings(cell), "lr": 1e-3})
    assert maker.read(cell)["lr"] == 1e-3
    other = Maker(read_plan(small(**changes)), tmp_path / "out", on_cpu=True)
    with pytest.raises(InputError, match=f"was made with {words} .*; give another --output"):
        other.read(cell)


def test_a_run_begun_with_other_settings_is_refused(small, tmp_path):
    path, cell = tmp_path / "run" / "settings.json", Cell("electra", 6e3, 1)
    for _ in range(2):
        Maker(read_plan(small()), tmp_path, on_cpu=True).keep_settings(cell, path)
    with pytest.raises(InputError, match="was made with decay"):
        Maker(read_plan(small(decay=0.5)), tmp_path, on_cpu=True).keep_settings(cell, path)


@pytest.mark.long
def test_compare_makes_all_cells_once_and_goes_on_with_what_is_missing(
    small, tmp_path, vocabulary, corpus_lines
):
    task = prepare_all(tmp_path, vocabulary, corpus_lines) / SINGLE
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        json.dumps(dict(zip(FIELDS, ("one", "order", "the ship sails", "ship the sails"), strict=True)))
    )
    plan = small(tasks=f"[{task}]", finetuning_seeds_of=f"{{{SINGLE}: 2}}", blimp=pairs.name)
    line = ["compare", plan, "--output", tmp_path / "out", "--processes", "2", "--cpu"]
    done = electra_process(*line, timeout=900)
    assert "4 of 4: " in done.stdout and "| electra | " in done.stdout and "| mlm | " in done.stdout
    cells = sorted((tmp_path / "out" / "cells").glob("*.json"))
    assert len(cells) == 8
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(report["lines"]) == 4 and set(report["rates"]["mlm"]) == {"0.001", "0.003"}
    reference, target = report["cells"][0], Examples.of(task).target
    for cell in report["cells"]:
        assert cell["valid"]["num_updates"] == cell["updates"] and len(cell["finetuning"][SINGLE]["mcc"]) == 2
        assert all(set(each["points"]) == {"one"} for each in cell["blimp"].values()) and cell["blimp"]
        for score, words in zip(cell["finetuning"][SINGLE]["mcc"], cell["predictions"][SINGLE], strict=True):
            predicted = np.array([int(word) for word in words.split()])
            assert WEIGHTED["mcc"](predicted, target, np.ones((1, len(target)))) == pytest.approx(score / 100)
        # numbers of updates are whole
        rounding = max(each["flops"] / each["updates"] for each in (cell, reference))
        assert cell["flops"] == pytest.approx(reference["flops"] * cell["budget"] / 6e3, abs=2 * rounding)
    before = {cell: cell.stat().st_mtime_ns for cell in cells}
    cells[-1].unlink()
    again = electra_process(*line, timeout=900)
    assert "1 of 1: " in again.stdout
    assert all(cell.stat().st_mtime_ns == time for cell, time in before.items() if cell != cells[-1])
    one = electra("compare", plan, "--output", tmp_path / "out", "--report")
    assert one.stdout.strip() == (tmp_path / "out" / "results.md").read_text().strip()


def test_the_report_has_the_rates_before_a_cell_is_done_and_names_what_diverged(small, tmp_path):
    path, out = small(), tmp_path / "out"
    maker = Maker(read_plan(path), out, on_cpu=True)
    status, _, said = electra_here("compare", path, "--output", out, "--report", "--cpu")
    assert status == 1 and "has no cell of this plan yet" in said
    for each, auc in zip(maker.choosing("electra"), (0.7, 0.6), strict=True):
        found = {"objective": "electra", "lr": each.lr, "settings": maker.settings(each)}
        write_json(maker.file(each), result_of(True, fixed_auc=auc) | found | {"cell": each.name})
    status, text, _ = electra_here("compare", path, "--output", out, "--report", "--cpu")
    assert status == 0 and "| electra | fixed_auc | **0.700** | 0.600 |" in text and "Mean ±" not in text
    cell = Cell("electra", 6e3, 1)
    write_json(
        maker.file(cell),
        {"cell": cell.name, "lr": 1e-3, "settings": maker.settings(cell), "trouble": "gradients are Nan/Inf"},
    )
    status, text, _ = electra_here("compare", path, "--output", out, "--report", "--cpu")
    assert status == 0 and "electra-6000-seed1 is in no table: gradients are Nan/Inf" in text


def test_a_cell_of_another_budget_of_the_same_name_is_refused(small, tmp_path):
    maker = Maker(read_plan(small()), tmp_path, on_cpu=True)
    cell = Cell("electra", 12345678, 1)
    assert cell.name == Cell("electra", 12345699, 1).name
    result = {"cell": cell.name, "lr": 3e-3, "settings": maker.settings(cell), "budget": 12345699.0}
    write_json(maker.file(cell), result)
    with pytest.raises(
        InputError, match=r"made with a budget of 12345699\.0 tokens, and the plan has 12345678"
    ):
        maker.read(cell)
