"""What a plan may say, and the cells that follow from it."""

import pytest
from fairseq import options
from omegaconf import OmegaConf

from fairseq_electra.comparison.compute import pretraining_options
from fairseq_electra.comparison.plan import Cell, read_plan, set_by_plan
from fairseq_electra.errors import InputError
from tests.helpers.paths import ROOT, USER_DIR
from tests.helpers.plans import plan_file


def test_cells_go_by_budget_then_seed_then_objective(tmp_path):
    plan = read_plan(plan_file(tmp_path))
    assert plan.reference == "electra" and plan.objectives["mlm"] == ("--objective", "mlm")
    assert [cell.name for cell in plan.cells()] == [
        f"{objective}-{budget}-seed{seed}"
        for budget in ("4e+06", "1.2e+07")
        for seed in (1, 2)
        for objective in ("electra", "mlm")
    ]
    assert plan.choosing_cells() == [
        Cell(objective, 4e6, 0, lr) for objective in ("electra", "mlm") for lr in (5e-4, 1e-3)
    ]
    names = [cell.name for cell in (*plan.cells(), *plan.choosing_cells())]
    assert len(set(names)) == len(names) and all(plan.cell(name).name == name for name in names)


def test_an_objective_may_have_some_of_the_budgets(tmp_path):
    plan = read_plan(plan_file(tmp_path, only="{mlm: [12e6]}"))
    assert [(cell.budget, cell.seed) for cell in plan.cells() if cell.objective == "mlm"] == [
        (12e6, 1),
        (12e6, 2),
    ]
    assert len([cell for cell in plan.cells() if cell.objective == "electra"]) == 4
    assert {cell.budget for cell in plan.choosing_cells()} == {4e6}


def test_an_objective_may_have_seeds_of_its_own_and_rates_another_budget(tmp_path):
    plan = read_plan(plan_file(tmp_path, seeds="[1]", seeds_of="{electra: [1, 2, 3]}", rates_at="1e6"))
    assert [(cell.seed, cell.objective) for cell in plan.cells() if cell.budget == 4e6] == [
        (1, "electra"),
        (1, "mlm"),
        (2, "electra"),
        (3, "electra"),
    ]
    assert {cell.budget for cell in plan.choosing_cells()} == {1e6}


def test_an_objective_may_have_further_options_for_its_fine_tunings(tmp_path):
    plan = read_plan(
        plan_file(
            tmp_path,
            finetuning_options="--pooling mean",
            finetuning_options_of="{mlm: --weight-decay 0.1}",
        )
    )
    assert plan.finetuning_line("electra") == ("--pooling", "mean")
    assert plan.finetuning_line("mlm") == ("--pooling", "mean", "--weight-decay", "0.1")


def test_one_rate_is_no_choice(tmp_path):
    assert read_plan(plan_file(tmp_path, rates="1e-3")).choosing_cells() == []


def test_an_objective_may_choose_from_rates_of_its_own(tmp_path):
    plan = read_plan(plan_file(tmp_path, rates_of="{mlm: [2e-3, 1e-3, 4e-3]}", seeds="[1]"))
    assert plan.rates_for("electra") == [5e-4, 1e-3] and plan.rates_for("mlm") == [1e-3, 2e-3, 4e-3]
    assert [cell.lr for cell in plan.choosing_cells()] == [5e-4, 1e-3, 1e-3, 2e-3, 4e-3]
    one = read_plan(plan_file(tmp_path, rates_of="{mlm: [1e-3]}"))
    assert {cell.objective for cell in one.choosing_cells()} == {"electra"}


@pytest.mark.parametrize("pair", ["mlm: mlm", "electra: mlm", "mlm: other", "other: mlm"])
def test_an_objective_is_compared_with_another_one_of_the_plan(tmp_path, pair):
    objectives = '{electra: "", mlm: --objective mlm, gdes: --tie-embeddings gdes}'
    plan = read_plan(plan_file(tmp_path, objectives=objectives, compared_with="{gdes: mlm}"))
    assert plan.compared_with == {"gdes": "mlm"}
    with pytest.raises(InputError, match=f"compared_with: {pair}: both must be of objectives, and the first"):
        read_plan(plan_file(tmp_path, objectives=objectives, compared_with=f"{{{pair}}}"))


def test_rates_of_fine_tuning_are_chosen_by_one_run_of_each_objective(tmp_path):
    (tmp_path / "T").mkdir()
    (tmp_path / "held-out" / "T").mkdir(parents=True)
    entries = {"tasks": "[T]", "finetuning_rates": "[3e-4, 1e-3]", "finetuning_rates_on": "[held-out/T]"}
    plan = read_plan(plan_file(tmp_path, **entries))
    assert plan.tuning_cells() == [Cell("electra", 4e6, 0), Cell("mlm", 4e6, 0)]
    assert plan.cell("mlm-4e+06-seed0") in plan.tuning_cells()
    assert plan.tuning_cells()[0] not in plan.cells()
    one = read_plan(plan_file(tmp_path, tasks="[T]", finetuning_rates="3e-4"))
    assert one.tuning_cells() == [] and one.finetuning_rates == (3e-4,)
    assert read_plan(plan_file(tmp_path, finetuning_rates="[3e-4, 1e-3]")).tuning_cells() == []  # no tasks
    with pytest.raises(
        InputError, match=r"finetuning_rates: 0\.00031622777: give a rate of at most six digits"
    ):
        read_plan(plan_file(tmp_path, finetuning_rates="[3.1622777e-4, 1e-3]"))
    for wrong in ({"finetuning_rates": "3e-4"}, {"finetuning_rates_on": None}, {"tasks": None}):
        with pytest.raises(InputError, match=r"finetuning_rates_on has a folder for each of tasks, .* got"):
            read_plan(plan_file(tmp_path, **(entries | wrong)))


def test_a_task_and_a_budget_may_have_numbers_of_their_own(tmp_path):
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
    (tmp_path / "pairs").touch()
    plan = read_plan(
        plan_file(
            tmp_path,
            tasks="[A, B]",
            finetuning_seeds_of="{B: 1}",
            blimp="pairs",
            blimp_pairs_at="{12e6: 1000}",
        )
    )
    assert [list(plan.finetuning_seeds_on(task)) for task in plan.tasks] == [[1, 2, 3], [1]]
    assert [plan.pairs_at(budget) for budget in plan.budgets] == [100, 1000]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"objective": "mlm"}, "unknown entry 'objective'"),
        ({"arch": None}, "the entry arch is missing"),
        ({"data": "absent"}, "there is no folder"),
        ({"budgets": "many"}, "budgets is a number above 0, got 'many'"),
        ({"budgets": "[-1]"}, "budgets is a number above 0"),
        ({"budgets": "[]"}, "must be a list of different values"),
        ({"seeds": "[1, 1]"}, "must be a list of different values"),
        ({"seeds": "[0, 1]"}, "seed 0 chooses the learning rates"),
        ({"seeds_of": "{mlm: [0]}"}, "seed 0 chooses the learning rates"),
        ({"seeds_of": "{gdes: [1]}"}, "seeds_of: gdes must be one of objectives"),
        ({"seeds_of": "[1]"}, "seeds_of has lines OBJECTIVE"),
        ({"rates_at": "0"}, "rates_at is a number above 0"),
        ({"seeds": "[1.5]"}, "seeds is a whole number, got 1.5"),
        ({"batch_size": "yes"}, "batch_size is a number above 0, got True"),
        ({"decay": "1.5"}, "decay is a share of the run"),
        ({"objectives": "{}"}, "objectives has lines NAME: OPTIONS"),
        ({"objectives": '{"a b": ""}'}, "the name of an objective has letters"),
        ({"objectives": "{a: --x 'y}"}, "No closing quotation"),
        ({"objectives": "{a: --batch-size 32}"}, "a: --batch-size: the plan decides --batch-size for all"),
        ({"objectives": "{a: --update-f=4}"}, "a: --update-f=4: the plan decides --update-freq"),
        ({"options": "--lr 5e-3"}, "options: --lr: the plan decides --lr"),
        ({"objectives": "{a: --patience 2}"}, "a: --patience: the plan decides --patience for all"),
        ({"objectives": "{a: --finetune-from-model x.pt}"}, "the plan decides --finetune-from-model"),
        ({"objectives": "{a: --train-subset valid}"}, "the plan decides --train-subset"),
        ({"options": "--generator-from absent.pt"}, "--generator-from: there is no file"),
        ({"objectives": "{a: false}"}, "objectives: a is a text, got False"),
        ({"objectives": "{-a: ''}"}, "does not begin with -, got '-a'"),
        ({"budgets": "[1234567, 1234568]"}, "two cells would have the name "),
        ({"options": "--disable-validation"}, "options: --disable-validation: the plan decides"),
        ({"objectives": "{a: --required-batch-size-multiple 8}"}, "decides --required-batch-size-multiple"),
        ({"objectives": "{a: --warmup-updates 9}"}, "the plan decides --warmup-updates"),
        ({"options": "--log-format simple"}, "options: --log-format: the plan decides"),
        ({"options": "--stop-time-hours 1"}, "options: --stop-time-hours: the plan decides"),
        ({"objectives": "{a: '--languages en,ko'}"}, "a: --languages: a plan compares on one text"),
        ({"objectives": "{a: --generator-from absent.pt}"}, "--generator-from: there is no file"),
        (
            {"objectives": "{a: --generator-from plan.yaml}"},
            "many FLOPs it used, as flops_before: {a:",
        ),
        ({"flops_before": "{gdes: 1e9}"}, "flops_before: gdes must be one of objectives"),
        ({"flops_before": "{mlm: -1}"}, "flops_before: mlm is a number above 0, got -1"),
        ({"flops_before": "1e9"}, "flops_before has lines OBJECTIVE: NUMBER"),
        ({"blimp": "absent"}, "there is no file"),
        ({"only": "{gdes: [4e6]}"}, "only: gdes must be one of objectives"),
        ({"only": "{mlm: [5e6]}"}, "its values must be in budgets"),
        ({"only": "[4e6]"}, "only has lines OBJECTIVE"),
        ({"finetuning_seeds_of": "{CoLA: 1}"}, "finetuning_seeds_of: CoLA is none of the tasks"),
        ({"finetuning_seeds_of": "1"}, "finetuning_seeds_of has lines NAME: NUMBER"),
        ({"blimp_pairs_at": "{5e6: 10}"}, "blimp_pairs_at: 5e+06 is none of the budgets"),
        ({"blimp_pairs_at": "{4e6: 0}"}, "blimp_pairs_at: 4000000.0 must be 1 or more, got 0"),
        (
            {"finetuning_options_of": "{gdes: --pooling mean}"},
            "finetuning_options_of: gdes must be one of objectives",
        ),
        ({"finetuning_options_of": "--pooling mean"}, "finetuning_options_of has lines NAME: OPTIONS"),
        ({"arch": "[}"}, "cannot read the plan"),
        ({"objectives": "&a {b: *a}"}, "entries are in each other without end"),
        ({"seeds": "[4294967296]"}, "seeds are whole numbers below 2^32, got 4294967296"),
        ({"decay": f"1{'0' * 400}"}, "decay is a number above 0, got 1000"),
    ],
)
def test_read_plan_refuses_what_makes_no_sense(tmp_path, changes, sentence):
    with pytest.raises(InputError) as error:
        read_plan(plan_file(tmp_path, **changes))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_read_plan_refuses_two_tasks_of_one_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "CoLA").mkdir(parents=True)
    with pytest.raises(InputError, match="two folders have the same name"):
        read_plan(plan_file(tmp_path, tasks="[a/CoLA, b/CoLA]"))


def test_options_that_a_plan_leaves_to_its_entries_are_taken():
    taken = [
        word for word in ("--lr-scheduler", "--batch-size-valid", "--mask-prob", "--as") if set_by_plan(word)
    ]
    assert not taken


def test_a_cell_that_the_plan_lacks_is_refused_with_those_it_has(tmp_path):
    with pytest.raises(InputError, match="no cell electra-1-seed1; it has electra-4e"):
        read_plan(plan_file(tmp_path)).cell("electra-1-seed1")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "comparison").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_plans_of_the_example_have_options_that_fairseq_train_knows(tmp_path, path):
    copy = tmp_path / path.name
    copy.write_text(path.read_text())
    given = OmegaConf.load(copy)
    tasks = [
        *given.get("tasks", []),
        *given.get("finetuning_rates_on", []),
    ]  # none where nothing is fine-tuned
    for folder in (given.data, *tasks):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "blimp.jsonl.xz").touch()
    plan = read_plan(copy)
    for objective in plan.objectives:
        line = [*pretraining_options(plan, objective), "--lr", "1e-3", "--max-update", "9"]
        line += ["--user-dir", str(USER_DIR)]
        assert options.parse_args_and_arch(options.get_training_parser(), line).model_size
