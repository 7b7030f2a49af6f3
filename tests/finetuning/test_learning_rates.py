"""How a study chooses a learning rate: on valid, with a seed that is not reported, and what it says of it.

No run trains here.
"""

from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning import recipes
from fairseq_electra.finetuning import study as finetuning
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.nets import Net
from fairseq_electra.finetuning.recipes import GRID, recipe_for
from fairseq_electra.finetuning.results import RESULT_FILE, RUN_FILE, SPREAD, choices, provenance
from fairseq_electra.finetuning.runs import DIVERGED
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.study import CHOICE_SEED, Run, Settings, study
from fairseq_electra.finetuning.trainable import Task
from tests.helpers.commands import electra

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
INFO = TaskInfo("RTE", PREDICTION, 2, ("no", "yes"), ("accuracy",), 128, {"train": 64, "valid": 8})


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """Names of runs in the order of their training. The third rate is the best, and seed 1 is lucky."""
    names: list[str] = []

    def train_all(arguments, folder, *_):
        for name in arguments:
            names.append(name)
            rate, seed = name.rpartition("/lr")[2].split("-seed")
            accuracy = 60.0 - abs(RATES.index(float(rate)) - 2) + (9.0 if seed == "1" else 0.0)
            finetuning._write_json(
                folder / name / RESULT_FILE, {"trouble": "", "metrics": {"valid": {"accuracy": accuracy}}}
            )
            yield name, "", []

    def summarize(results, info, *_):
        seeds, values = (
            [each["seed"] for each in results],
            [each["metrics"]["valid"]["accuracy"] for each in results],
        )
        metrics = {"valid": {"accuracy": {"values": values, "ensemble": 61.0}}}
        return {
            "net": results[0]["net"],
            "task": info.name,
            "lr": results[0]["lr"],
            "seeds": seeds,
            "metrics": metrics,
        }

    monkeypatch.setattr(finetuning, "train_all", train_all)
    monkeypatch.setattr(finetuning, "summarize", summarize)
    monkeypatch.setattr(finetuning, "trainable", lambda folder: Task(folder, INFO, "digest"))
    return names


def run_study(folder: Path, rates=RATES, size: str = "tiny", seeds=(1, 2, 3), **more) -> dict:
    return study(
        [Net("net", "", size)],
        [folder / "data"],
        folder / "runs",
        Settings(),
        rates=rates,
        seeds=seeds,
        **more,
    )


def test_study_refuses_to_report_the_seed_that_chooses_the_rate(tmp_path, trained):
    found = run_study(tmp_path)
    (line,) = found["summary"]
    assert trained == [
        *(f"net/RTE/lr{rate:g}-seed{CHOICE_SEED}" for rate in RATES),
        *(f"net/RTE/lr0.001-seed{seed}" for seed in (1, 2, 3)),
    ]
    assert line["choice"] == {"seed": 0, "rates": list(RATES), "edge": ""} and line["lr"] == 1e-3
    assert line["seeds"] == [1, 2, 3] and line["metrics"]["valid"]["accuracy"]["values"] == [69.0, 60.0, 60.0]
    assert run_study(tmp_path)["summary"] == [line] and len(trained) == 7
    with pytest.raises(InputError, match="seed 0 chooses the learning rates and cannot be reported as well"):
        run_study(tmp_path, seeds=range(3))


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        (RATES[:3], "highest of 0.0001, 0.0003, 0.001; a higher"),
        (RATES[2:], "lowest of 0.001, 0.003; a lower"),
    ],
)
def test_choices_say_that_the_rate_lies_at_an_edge_of_the_grid(tmp_path, trained, rates, said):
    found = run_study(tmp_path, rates[::-1])
    sentence = f"net, RTE: 0.001 is the {said} one may be better"
    assert choices(found) == [
        "learning rates were chosen on valid with seed 0, which is not among the seeds of the scores",
        sentence,
    ]
    page = provenance({**found, "nets": [], "versions": {}})
    assert f"- {sentence}\n" in page and f"- {SPREAD}" in page
    assert f"| net, RTE | 0.001 of {', '.join(f'{rate:g}' for rate in rates)} | accuracy 61.0 |" in page


def test_study_with_one_rate_chooses_nothing(tmp_path, trained):
    for rates, lr in (([3e-3], 3e-3), ([1e-4, 1e-4], 1e-4), ((), recipe_for("tiny", "").lr)):
        found = run_study(tmp_path, rates, seeds=[1, 2])
        assert (
            found["summary"][0]["lr"] == lr and "choice" not in found["summary"][0] and choices(found) == []
        )
    assert len(trained) == 6 and not any(name.endswith(f"seed{CHOICE_SEED}") for name in trained)


def test_study_keeps_earlier_runs_that_still_fit(tmp_path, trained):
    """Seed 1 chose then, and of two rates: its runs at the rate of now are reported, and no other."""
    for rate, seed in ((3e-4, 1), (1e-3, 1), (1e-3, 2)):
        run = Settings().run(Net("net", "", "tiny"), Task(tmp_path / "data", INFO, "digest"), rate, seed)
        (tmp_path / "runs" / run.name).mkdir(parents=True)
        finetuning._write_json(tmp_path / "runs" / run.name / RUN_FILE, run.record)
        finetuning._write_json(
            tmp_path / "runs" / run.name / RESULT_FILE,
            {"trouble": "", "metrics": {"valid": {"accuracy": 10.0 * seed}}},
        )
    found = run_study(tmp_path)
    assert trained == [*(f"net/RTE/lr{rate:g}-seed0" for rate in RATES), "net/RTE/lr0.001-seed3"]
    assert found["summary"][0]["metrics"]["valid"]["accuracy"]["values"] == [10.0, 20.0, 60.0]
    assert {(each["lr"], each["seed"]) for each in found["runs"]} == {
        *((rate, 0) for rate in RATES),
        *((1e-3, seed) for seed in (1, 2, 3)),
    }


def test_study_removes_checkpoints_left_by_a_killed_run_and_no_others(tmp_path, trained):
    """Check that the next start removes only checkpoints whose result says that they are not kept.

    A run may be killed between its result and the removal. Results of earlier versions do not say whether
    checkpoints are kept.
    """
    run_study(tmp_path, rates=(1e-3,), seeds=(1, 2, 3))
    places = [tmp_path / "runs" / name for name in trained]
    for place, kept in zip(
        places, ({"keep_checkpoints": False}, {"keep_checkpoints": True}, {}), strict=True
    ):
        finetuning._write_json(
            place / RESULT_FILE, {"trouble": "", "metrics": {"valid": {"accuracy": 1.0}}, **kept}
        )
        (place / "checkpoints").mkdir()
    found = run_study(tmp_path, rates=(1e-3,), seeds=(1, 2, 3))
    assert [(place / "checkpoints").is_dir() for place in places] == [False, True, True]
    assert len(trained) == 3 and not any("keep_checkpoints" in each for each in found["runs"])


def test_study_reports_a_diverged_run_and_ends_at_a_failed_one(tmp_path, trained, monkeypatch):
    ended = {"1": DIVERGED + "losses overflow", "2": "FloatingPointError, but of the device"}
    monkeypatch.setattr(
        finetuning, "train_all", lambda arguments, *_: ((name, ended[name[-1]], []) for name in arguments)
    )
    monkeypatch.setattr(
        finetuning, "summarize", lambda results, *_: {"trouble": [each["trouble"] for each in results]}
    )
    assert run_study(tmp_path, rates=(1e-3,), seeds=(1,))["summary"] == [{"trouble": ["diverged"]}]
    with pytest.raises(
        InputError, match=r"run net/RTE/lr0\.001-seed2 failed: FloatingPointError, but of the device"
    ):
        run_study(tmp_path, rates=(1e-3,), seeds=(1, 2))


@pytest.mark.parametrize("keep", [False, True])
def test_finish_keeps_checkpoints_only_if_asked(tmp_path, keep):
    (tmp_path / "checkpoints").mkdir()
    finetuning.finish(tmp_path, {"trouble": "diverged", "metrics": {}}, keep)
    assert (tmp_path / "checkpoints").is_dir() == keep and finetuning.result_of(tmp_path) == {
        "trouble": "diverged",
        "metrics": {},
    }


def test_study_says_in_one_line_that_checkpoints_to_keep_are_gone(tmp_path, trained):
    run_study(tmp_path, rates=(1e-3,), seeds=(1, 2))
    (tmp_path / "runs" / trained[0] / "checkpoints").mkdir()
    said = []
    run_study(tmp_path, rates=(1e-3,), seeds=(1, 2, 3), keep_checkpoints=True, say=said.append)
    assert [line for line in said if "--keep-checkpoints" in line] == [
        "--keep-checkpoints: none are left of runs done before, net/RTE/lr0.001-seed2; remove their folders"
        " to have them done again"
    ]


def test_choices_of_results_of_earlier_versions_are_empty():
    line = {
        "net": "net",
        "task": "RTE",
        "lr": 1e-3,
        "seeds": [1, 2],
        "metrics": {"valid": {"accuracy": {"ensemble": 61.0}}},
    }
    old = {"nets": [], "versions": {}, "summary": [line], "runs": []}
    assert choices(old) == [] and "| net, RTE | 0.001 | accuracy 61.0 |" in provenance(old)


@pytest.mark.parametrize(
    "word", ["--save-dir", "-a", "--valid-subset=test", "--max-epoch", "--batch-size=8", "--update-freq"]
)
def test_first_runs_and_study_refuse_options_that_a_study_sets(tmp_path, trained, word):
    name = word.partition("=")[0]
    advice = (
        "give --epochs or --batch-size before --"
        if name in finetuning.SCHEDULE
        else "sets it itself; take it out"
    )
    net, settings = [Net("net", "", "tiny")], Settings(extra=("--pooling", "mean", word, "1"))
    for plan in (
        finetuning.first_runs,
        lambda *args: study(args[0], args[1], tmp_path / "runs", args[2], seeds=[1]),
    ):
        with pytest.raises(InputError, match=rf"^{name} behind --: a study .*{advice}"):
            plan(net, [tmp_path], settings, (), 1)
    assert not trained and not (tmp_path / "runs").exists()


def test_schedule_names_every_option_of_the_schedule_in_a_recipe():
    """A new one there must be refused behind -- as well."""
    written = {word for word in recipes.arguments(INFO, recipe_for("tiny", ""), 1) if word.startswith("--")}
    free = {
        "--best-checkpoint-metric",
        "--bias-correction",
        "--clip-norm",
        "--init-token",
        "--layer-decay",
        "--lr-scheduler",
    }
    free |= {"--max-positions", "--no-epoch-checkpoints", "--num-classes", "--optimizer"}
    free |= {"--required-batch-size-multiple", "--weight-decay"}
    assert written - free <= {*finetuning.SCHEDULE, *finetuning.SET_BY_STUDY}


@pytest.mark.parametrize("size", GRID)
def test_grid_of_every_size_has_the_recipes_rate_inside(tmp_path, trained, size):
    planned: list[Run] = next(
        iter(finetuning.first_runs([Net("net", "", size)], [tmp_path], Settings(), None, seed=1).values())
    )
    rates = [run.recipe.lr for run in planned]
    assert min(rates) < recipe_for(size, "").lr < max(rates) and {run.seed for run in planned} == {
        CHOICE_SEED
    }
    if size in ("tiny", "small"):
        assert rates == list(RATES)


@pytest.mark.parametrize("rate", ["nan", "0", "-1", "inf"])
def test_a_learning_rate_that_is_none_is_refused(tmp_path, rate):
    done = electra(
        *["finetune", "--data", tmp_path, "--net", "x=scratch:tiny", "--output", tmp_path / "out"],
        *["--lr", "1e-3", rate, "--dry-run"],
        check=False,
    )
    assert done.returncode == 1 and "--lr must be above 0" in done.stderr and not (tmp_path / "out").exists()
