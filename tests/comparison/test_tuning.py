"""Rates of fine-tuning, from the runs that choose them to the cells that use them."""

import json
import shutil

import pytest

from fairseq_electra.comparison.cell import Maker
from fairseq_electra.comparison.files import write_json
from fairseq_electra.comparison.plan import read_plan
from fairseq_electra.errors import InputError
from tests.helpers.commands import electra, electra_process
from tests.helpers.sentence_tasks import NUMBERS, prepare_all


@pytest.mark.long
def test_rates_of_fine_tuning_are_chosen_on_held_out_training_examples(
    small, tmp_path, vocabulary, corpus_lines
):
    task = prepare_all(tmp_path, vocabulary, corpus_lines) / NUMBERS
    held_out, files = tmp_path / "held-out" / NUMBERS, f"{NUMBERS}-{{}}.tsv".format
    line = ["prepare", "--vocab", vocabulary, "--destdir", held_out, "--text", "a", "b", "--label", "words"]
    line += ["--regression", "--max-positions", "40", "--train", tmp_path / files("train")]
    electra(*line, "--valid", tmp_path / files("test"))
    plan_of = {
        "objectives": '{electra: ""}',
        "budgets": "[6e3]",
        "tasks": f"[{task}]",
        "finetuning_seeds": 1,
        "finetuning_rates": "[1e-3, 1e-2]",
        "finetuning_rates_on": f"[{held_out}]",
    }
    path, out = small(**plan_of), tmp_path / "out"
    maker = Maker(read_plan(path), out, on_cpu=True)
    with pytest.raises(InputError, match="rates of fine-tuning of electra are chosen by electra-6000-seed0"):
        maker.chosen_finetuning_rates("electra")
    (tuning,) = maker.plan.tuning_cells()
    assert maker.up_to(tuning) == [tuning]  # where the runs that chose are gone, it makes its own
    same = read_plan(small(**plan_of | {"finetuning_rates_on": f"[{task}]"}))
    with pytest.raises(InputError, match="has the examples that scores are reported on; prepare the task"):
        Maker(same, out, on_cpu=True).tuner.check("electra", out)
    copied = shutil.copytree(task, tmp_path / "copied")
    without = {name: value for name, value in plan_of.items() if not name.startswith("finetuning_rates")}
    two = read_plan(small(**without | {"tasks": f"[{task}, {copied}]"}))
    with pytest.raises(InputError, match=f"two folders were prepared as the task {NUMBERS}"):
        Maker(two, out, on_cpu=True).tuner.check("electra", out)
    path = small(**plan_of)
    done = electra_process("compare", path, "--output", out, "--cpu", timeout=900)
    scores = maker.read(tuning)["choice"][NUMBERS]
    assert set(scores) == {"0.001", "0.01"} and len(set(scores.values())) == 2
    best = float(max(scores, key=scores.get))
    (cell,) = maker.plan.cells()
    found = maker.read(cell)
    assert found["finetuning_lr"] == {NUMBERS: best} and len(found["finetuning"][NUMBERS]["pearson"]) == 1
    runs = sorted((out / "runs").glob(f"*-seed1/6000/finetuning/electra/{NUMBERS}/lr*/result.json"))
    assert [run.parent.name for run in runs] == [f"lr{best:g}-seed1"]
    (kept,) = (out / "runs").glob("*-seed0")  # the best of those that chose
    assert kept.name == f"electra-lr{maker.chosen_rate('electra'):g}-seed0" and maker.has_run(tuning)
    assert f"| electra | {NUMBERS} | " in done.stdout and f"**{scores[f'{best:g}']:.1f}**" in done.stdout
    report = json.loads((out / "results.json").read_text())
    assert report["finetuning_rates"] == {"electra": {NUMBERS: scores}}
    (worse,) = (float(rate) for rate in scores if float(rate) != best)
    write_json(maker.file(cell), found | {"finetuning_lr": {NUMBERS: worse}})
    with pytest.raises(InputError, match=f"learning rate {worse:g}, and electra-6000-seed0 chose {best:g}"):
        maker.read(cell)
    write_json(maker.file(tuning), maker.read(tuning) | {"choice": {NUMBERS: dict.fromkeys(scores)}})
    with pytest.raises(InputError, match="diverged at every rate of the plan; give smaller ones"):
        maker.chosen_finetuning_rates("electra")
