"""What a comparison says that it will cost."""

import re

import pytest

from fairseq_electra.comparison import dry_run
from fairseq_electra.comparison.cell import Maker
from fairseq_electra.comparison.files import write_json
from fairseq_electra.comparison.plan import Cell, read_plan
from tests.helpers.plans import plan_file

UPDATES = {4e6: 100, 12e6: 300}


@pytest.fixture
def maker(tmp_path, monkeypatch):
    objectives = '{electra: "", linear: --lr-scheduler polynomial_decay}'
    plan = read_plan(plan_file(tmp_path, objectives=objectives, decay=0.2))
    monkeypatch.setattr(Maker, "updates", lambda self, cell: UPDATES[cell.budget])
    return Maker(plan, tmp_path / "out", on_cpu=True)


def left(maker, objective, *cells):
    for cell in cells:
        write_json(maker.file(cell), {"seconds": 120})
    own = [cell for cell in maker.plan.cells() if cell.objective == objective]
    return dry_run.updates_left(maker.plan, maker, own)


def test_budgets_share_the_constant_part_of_the_largest(maker):
    assert left(maker, "electra") == 2 * (240 + 20 + 60)  # two seeds
    assert left(maker, "linear") == 2 * (100 + 300)


def test_what_is_done_is_not_counted_again(maker):
    # of seed 1 the smaller budget: its constant part of 80 updates is there
    assert left(maker, "electra", Cell("electra", 4e6, 1)) == (240 - 80 + 60) + (240 + 20 + 60)
    # of seed 2 the larger: what is left is the decay of the smaller
    assert left(maker, "electra", Cell("electra", 12e6, 2)) == (240 - 80 + 60) + 20
    assert left(maker, "linear", Cell("linear", 12e6, 1)) == 100 + 400


def test_the_table_has_what_is_missing_and_measures_with_the_threads_of_a_cell(maker, monkeypatch):
    threads = []

    def seconds(plan, maker, objective, number):
        threads.append(number)
        return 36.0

    monkeypatch.setattr(dry_run, "seconds_of_update", seconds)
    monkeypatch.setattr(Maker, "cost", lambda self, objective: type("Cost", (), {"flops": 1e9}))
    results = {12e6: {"seconds": 120}, 4e6: {"seconds": 1, "trouble": "it diverged"}}
    monkeypatch.setattr(Maker, "read", lambda self, cell: results[cell.budget])
    for budget in results:
        write_json(maker.file(Cell("electra", budget, 2)), {})
    text = dry_run.cost_table(maker.plan, maker, 2, 1)
    assert threads == [1, 1]
    # choosing: 2 rates of 100 updates each; 36 seconds are a hundredth of an hour
    assert "| electra | 1e+09 | 100, 300 | 36.000 | 5.2 |" in text
    assert "| linear | 1e+09 | 100, 300 | 36.000 | 10.0 |" in text
    said = (
        "Missing are 4 of 4 runs .* and 6 of 8 cells; pre-training takes 15.2 hours .* 7.6 with 2 at a time"
    )
    assert re.search(said, text) and "took 2 minutes on average" in text


def test_runs_that_choose_rates_of_fine_tuning_are_counted_where_no_other_has_trained_them(
    maker, tmp_path, monkeypatch
):
    (tmp_path / "T").mkdir()
    (tmp_path / "held-out" / "T").mkdir(parents=True)
    entries = {"tasks": "[T]", "finetuning_rates": "[3e-4, 1e-3]", "finetuning_rates_on": "[held-out/T]"}
    plan = read_plan(plan_file(tmp_path, objectives='{electra: ""}', seeds="[1]", **entries))
    maker = Maker(plan, tmp_path / "out", on_cpu=True)
    monkeypatch.setattr(dry_run, "seconds_of_update", lambda *given: 36.0)
    monkeypatch.setattr(Maker, "cost", lambda self, objective: type("Cost", (), {"flops": 1e9}))
    cells = (240 + 20 + 60) / 100

    def said():
        text = dry_run.cost_table(plan, maker, 1, 1)
        return re.search(r"\| ([\d.]+) \|\n", text + "\n")[1], text

    hours, text = said()  # it goes on from one of those that choose, which are to be made
    assert float(hours) == cells + 2.0 and "2 of 2 runs" in text and "1 of 1 that choose rates of" in text
    assert "then 8 fine-tunings" in text  # three of each cell, and two that choose
    for cell in maker.choosing("electra"):  # made on another machine
        write_json(maker.file(cell), {})
    assert float(said()[0]) == cells + 1.0
    maker.run_folder(plan.tuning_cell("electra"), 1e-3).mkdir(parents=True)
    assert float(said()[0]) == cells
