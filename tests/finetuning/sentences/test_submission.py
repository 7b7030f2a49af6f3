import re

import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.sentences.glue import ENTAILMENT, GLUE, NLI
from fairseq_electra.finetuning.sentences.submission import read_results, write_submission
from tests.helpers.commands import electra

OURS = "ours"
# what GLUE's server (gluebenchmark.com/submit) wants the files to be called
FILES = {
    **{
        "CoLA": {"test": "CoLA.tsv"},
        "SST-2": {"test": "SST-2.tsv"},
        "MRPC": {"test": "MRPC.tsv"},
        "STS-B": {"test": "STS-B.tsv"},
    },
    **{
        "QQP": {"test": "QQP.tsv"},
        "QNLI": {"test": "QNLI.tsv"},
        "RTE": {"test": "RTE.tsv"},
        "WNLI": {"test": "WNLI.tsv"},
    },
    "MNLI": {"test": "MNLI-m.tsv", "test1": "MNLI-mm.tsv", "AX": "AX.tsv"},
}


class Study:
    """Results made by hand, with the scores that their runs would have left."""

    def __init__(self, folder):
        self.folder = folder
        self.results = {"nets": [{"name": OURS}, {"name": "theirs"}], "summary": [], "runs": []}

    def add(
        self,
        task,
        logits,
        metric=50.0,
        lr=1e-4,
        seed=1,
        net=OURS,
        chosen=True,
        labels=None,
        name=None,
        trouble="",
    ):
        """Add a run; `logits` by split.

        Of the chosen ones the table of results has a line. `labels` and metric are GLUE's, or own ones.
        """
        place = self.folder / net / task / f"lr{lr:g}-seed{seed}"
        place.mkdir(parents=True)
        if trouble != "diverged":
            np.savez(
                place / "logits.npz",
                **{split: np.array(scores, dtype=np.float32) for split, scores in logits.items()},
            )
        name = name or (GLUE[task].metrics[0] if task in GLUE else "accuracy")
        if labels is None:
            labels = GLUE[task].labels if task in GLUE else ()
        found = {} if trouble == "diverged" else {"valid": {name: metric}}
        self.results["runs"].append(
            {"net": net, "task": task, "lr": lr, "seed": seed, "trouble": trouble, "metrics": found}
        )
        if chosen:
            lines = [line for line in self.results["summary"] if (line["net"], line["task"]) == (net, task)]
            if not lines:
                metrics = {"valid": {name: {}}}
                lines = [
                    {
                        "net": net,
                        "task": task,
                        "labels": list(labels),
                        "lr": lr,
                        "seeds": [],
                        "metrics": metrics,
                    }
                ]
                lines[0]["degenerate_seeds"] = {}
                self.results["summary"] += lines
            lines[0]["seeds"].append(seed)
            lines[0]["degenerate_seeds"] |= {str(seed): trouble} if trouble else {}

    def write(self, net=OURS, single=False, name="out"):
        return write_submission(self.results, self.folder, net, self.folder.parent / name, single)


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "runs")


def lines_of(tmp_path, name, folder="out"):
    return (tmp_path / folder / name).read_bytes().decode().split("\n")


def test_write_submission_names_the_files_as_glue_does(tmp_path, study):
    for task, splits in FILES.items():
        width = max(1, len(GLUE[task].labels))
        study.add(task, {split: np.zeros((3, width)) for split in ("valid", "valid1", *splits)})
    written = study.write()
    names = [name for splits in FILES.values() for name in splits.values()]
    assert len(names) == 11 and sorted(written) == sorted(names) == sorted(
        path.name for path in (tmp_path / "out").iterdir()
    )
    for name in names:
        head, *rows, end = lines_of(tmp_path, name)
        assert head == "index\tprediction" and end == ""
        assert [row.split("\t")[0] for row in rows] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("CoLA", ("0", "1")),
        ("QQP", ("0", "1")),
        ("WNLI", ("0", "1")),
        ("RTE", ENTAILMENT),
        ("QNLI", ENTAILMENT),
        ("MNLI", NLI),
    ],
)
def test_write_submission_writes_the_tasks_labels_in_order(tmp_path, study, task, labels):
    order = np.random.default_rng(1).integers(len(labels), size=30)
    study.add(task, {"test": np.eye(len(labels))[order] - 3})
    (name,) = study.write()
    assert lines_of(tmp_path, name) == [
        "index\tprediction",
        *(f"{i}\t{labels[each]}" for i, each in enumerate(order)),
        "",
    ]


@pytest.mark.parametrize(
    ("task", "labels"), [("RTE", ENTAILMENT[::-1]), ("MNLI", ("entailment", "neutral", "contradiction"))]
)
def test_write_submission_follows_the_order_of_labels_in_the_folder(tmp_path, study, task, labels):
    study.add(
        task,
        {"test": np.eye(len(labels)), **({"AX": np.eye(3)[::-1]} if task == "MNLI" else {})},
        labels=labels,
    )
    name, *more = study.write()
    assert lines_of(tmp_path, name) == [
        "index\tprediction",
        *(f"{i}\t{label}" for i, label in enumerate(labels)),
        "",
    ]
    assert [lines_of(tmp_path, each)[1:4] for each in more] in (
        [],
        [["0\tcontradiction", "1\tneutral", "2\tentailment"]],
    )


@pytest.mark.parametrize(
    ("task", "labels", "said"),
    [
        (
            "MNLI",
            ("0", "1", "2"),
            (
                "MNLI was trained on 0, 1, 2, and GLUE's server wants contradiction, entailment, neutral;"
                " prepare"
            ),
        ),
        (
            "RTE",
            (*ENTAILMENT, "unknown"),
            "RTE was trained on entailment, not_entailment, unknown, and GLUE's",
        ),
        (
            "RTE",
            (),
            "RTE was trained on numbers, and GLUE's server wants entailment, not_entailment; prepare",
        ),
        ("STS-B", ("0.0", "5.0"), "STS-B was trained on 0.0, 5.0, and GLUE's server wants numbers; prepare"),
    ],
)
def test_write_submission_refuses_labels_unknown_to_glue(tmp_path, study, task, labels, said):
    study.add(task, {"test": np.eye(max(1, len(labels)))}, labels=labels)
    with pytest.raises(InputError) as caught:
        study.write()
    assert str(caught.value).startswith(said) and nothing_written(tmp_path)


def test_write_submission_refuses_results_of_earlier_versions_without_labels(tmp_path, study):
    study.add("RTE", {"test": [[0, 1]]})
    del study.results["summary"][0]["labels"]
    with pytest.raises(
        InputError,
        match="do not say in which order the labels of RTE are; repeat the line of fairseq-electra finetune",
    ):
        study.write()
    assert nothing_written(tmp_path)


def test_write_submission_single_uses_a_metric_of_the_users_folder(tmp_path, study):
    study.add("CoLA", {"test": [[1, 0]]}, metric=60.0, seed=1, name="accuracy")
    study.add("CoLA", {"test": [[0, 1]]}, metric=70.0, seed=2, name="accuracy")
    study.write(single=True)
    assert lines_of(tmp_path, "CoLA.tsv")[1] == "0\t1"


def test_the_splits_of_mnli_and_the_diagnostic_set_have_predictions_of_their_own(tmp_path, study):
    study.add(
        "MNLI",
        {"valid": [[0, 0, 9]], "test": [[9, 0, 0]], "test1": [[0, 9, 0], [9, 0, 0]], "AX": [[0, 0, 9]]},
    )
    assert study.write() == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]
    assert lines_of(tmp_path, "MNLI-m.tsv")[1:] == ["0\tcontradiction", ""]
    assert lines_of(tmp_path, "MNLI-mm.tsv")[1:] == ["0\tentailment", "1\tcontradiction", ""]
    assert lines_of(tmp_path, "AX.tsv")[1:] == ["0\tneutral", ""]


def test_scores_of_sts_b_lie_between_0_and_5_with_three_decimals(tmp_path, study):
    study.add("STS-B", {"test": [[2.34567], [-0.3], [5.01], [0.0], [5.0], [-0.0], [1e-9], [-1e-9]]})
    study.write()
    values = ["2.346", "0.000", "5.000", "0.000", "5.000", "0.000", "0.000", "0.000"]
    assert lines_of(tmp_path, "STS-B.tsv") == [
        "index\tprediction",
        *(f"{i}\t{value}" for i, value in enumerate(values)),
        "",
    ]


def three_seeds(study):
    """Add three seeds: by mean scores, seed 2 decides the first example, seeds 1 and 3 the second.

    On both examples seeds 1 and 3 agree and seed 2, which is best on valid, differs.
    """
    study.add("RTE", {"test": [[0, 1], [1, 0]]}, metric=60.0, seed=1)
    study.add("RTE", {"test": [[4, 0], [0, 1]]}, metric=70.0, seed=2)
    study.add("RTE", {"test": [[0, 1], [1, 0]]}, metric=65.0, seed=3)


def test_write_submission_uses_the_mean_of_all_seeds_scores(tmp_path, study):
    three_seeds(study)
    study.write()
    assert lines_of(tmp_path, "RTE.tsv")[1:] == ["0\tentailment", "1\tentailment", ""]


def test_write_submission_single_takes_the_best_seed_on_valid(tmp_path, study):
    three_seeds(study)
    study.write(single=True)
    assert lines_of(tmp_path, "RTE.tsv")[1:] == ["0\tentailment", "1\tnot_entailment", ""]
    for run, value in zip(study.results["runs"], (71.0, 70.0, 65.0), strict=True):
        run["metrics"]["valid"]["accuracy"] = value
    study.write(single=True, name="again")
    assert lines_of(tmp_path, "RTE.tsv", "again")[1:] == ["0\tnot_entailment", "1\tentailment", ""]


def test_write_submission_single_uses_the_tasks_first_metric(tmp_path, study):
    study.add("MRPC", {"test": [[1, 0]]}, metric=60.0, seed=1)
    study.add("MRPC", {"test": [[0, 1]]}, metric=70.0, seed=2)
    for run, value in zip(study.results["runs"], (90.0, 80.0), strict=True):
        run["metrics"]["valid"] |= {"f1": value}
        run["metrics"]["valid1"] = {"accuracy": value}
    study.write(single=True)
    assert lines_of(tmp_path, "MRPC.tsv")[1] == "0\t1"


def test_write_submission_leaves_out_seeds_that_went_wrong(tmp_path, study):
    nan = float("nan")
    study.add("RTE", {}, seed=1, trouble="diverged")
    study.add("RTE", {"test": [[nan, nan]]}, metric=99.0, seed=2, trouble="not finite")
    study.add("RTE", {"test": [[0, 1]]}, metric=50.0, seed=3, trouble="constant")
    for single in (False, True):
        study.write(single=single, name=f"single{single}")
        assert lines_of(tmp_path, "RTE.tsv", f"single{single}")[1] == "0\tnot_entailment"
    study.add("CoLA", {}, seed=1, trouble="diverged")
    with pytest.raises(InputError) as caught:
        study.write()
    assert str(caught.value).startswith(
        "ours: all its runs on CoLA went wrong, diverged, so there is nothing to submit for it; give"
    )
    assert not (tmp_path / "out").exists()


def test_write_submission_averages_numbers_before_clipping_them(tmp_path, study):
    for seed, value in ((1, 7.0), (2, 2.0), (3, 1.5)):
        study.add("STS-B", {"test": [[value]]}, seed=seed, metric=value)
    study.write()
    assert lines_of(tmp_path, "STS-B.tsv")[1] == "0\t3.500"
    study.write(single=True, name="single")
    assert lines_of(tmp_path, "STS-B.tsv", "single")[1] == "0\t5.000"


def test_write_submission_leaves_out_other_rates_seeds_and_models(tmp_path, study):
    study.add("CoLA", {"test": [[1, 0]]}, metric=10.0)
    study.add("CoLA", {"test": [[0, 9]]}, metric=90.0, lr=3e-4, chosen=False)
    study.add("CoLA", {"test": [[0, 9]]}, metric=90.0, seed=2, chosen=False)
    study.add("CoLA", {"test": [[0, 9]]}, metric=90.0, net="theirs")
    study.add("SST-2", {"test": [[0, 9]]}, metric=90.0, net="theirs")
    for single in (False, True):
        assert study.write(single=single, name=f"ours{single}") == ["CoLA.tsv"]
        assert lines_of(tmp_path, "CoLA.tsv", f"ours{single}")[1] == "0\t0"
    assert study.write("theirs", name="theirs") == ["CoLA.tsv", "SST-2.tsv"]
    assert lines_of(tmp_path, "CoLA.tsv", "theirs")[1] == "0\t1"


def test_tasks_that_are_not_glues_are_left_out(tmp_path, study):
    study.add("SWAG", {"test": [[0, 1, 2, 3]]})
    study.add("CoLA", {"test": [[0, 1]]})
    assert study.write() == ["CoLA.tsv"] == [path.name for path in (tmp_path / "out").iterdir()]


def nothing_written(tmp_path):
    return [path.name for path in tmp_path.iterdir() if path.name != "runs"] == []


def test_an_unknown_net_is_refused_with_the_known_ones(tmp_path, study):
    study.add("CoLA", {"test": [[0, 1]]})
    with pytest.raises(InputError) as caught:
        study.write("our")
    assert str(caught.value) == "no net 'our' in the results, they have ours, theirs" and nothing_written(
        tmp_path
    )


@pytest.mark.parametrize("task", ["CoLA", "SWAG"])
def test_without_a_test_set_of_glue_there_is_nothing_to_submit(tmp_path, study, task):
    study.add(task, {"valid": [[0, 1]], **({"test": [[0, 1, 2, 3]]} if task == "SWAG" else {})})
    with pytest.raises(InputError) as caught:
        study.write()
    assert (
        str(caught.value)
        == f"{tmp_path}/runs holds no scores of a test set of GLUE; prepare the tasks with their test files"
    )
    assert nothing_written(tmp_path)


@pytest.mark.parametrize("damage", ["gone", "cut short", "no archive"])
def test_scores_that_are_gone_or_damaged_are_named_and_nothing_is_left_behind(tmp_path, study, damage):
    study.add("CoLA", {"test": [[0, 1]]})
    study.add("RTE", {"test": [[0, 1]]})
    path = tmp_path / "runs" / OURS / "RTE" / "lr0.0001-seed1" / "logits.npz"
    {
        "gone": path.unlink,
        "cut short": lambda: path.write_bytes(path.read_bytes()[:-30]),
        "no archive": lambda: path.write_bytes(b"no archive"),
    }[damage]()
    with pytest.raises(InputError) as caught:
        study.write()
    assert re.search(
        rf"{re.escape(str(path))}.*; remove .*/RTE/lr0\.0001-seed1 and run fairseq-electra finetune again",
        str(caught.value),
    )
    assert nothing_written(tmp_path)


def test_write_submission_leaves_a_used_folder_as_it_is(tmp_path, study):
    study.add("CoLA", {"test": [[0, 1]]})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="out exists and is not empty; name a new folder"):
        study.write()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_results_that_are_not_there_or_damaged_are_named(tmp_path):
    path = tmp_path / "runs" / "results.json"
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert str(caught.value) == f"no {path}; make it with fairseq-electra finetune --output {tmp_path}/runs"
    path.parent.mkdir()
    for damaged in ('{"nets": [', "{}", "[]", '{"nets": [], "summary": []}'):
        path.write_text(damaged)
        with pytest.raises(
            InputError,
            match=rf"^{re.escape(str(path))} is damaged \(.*\); make it again with fairseq-electra finetune",
        ):
            read_results(path)


def test_submit_says_in_one_sentence_what_is_missing(tmp_path):
    done = electra("submit", tmp_path / "runs", "--net", "ours", "--output", tmp_path / "out", check=False)
    assert (
        done.returncode == 1
        and "Traceback" not in done.stderr
        and f"no {tmp_path}/runs/results.json; make it with" in done.stderr
    )
