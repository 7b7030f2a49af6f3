"""What stands behind the scores of a study."""

import subprocess

import numpy as np
import pytest

from fairseq_electra.finetuning import results
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.results import LOGITS_FILE, commit_of, made_by, summarize, table
from fairseq_electra.finetuning.study import deciding_score


def git(folder, *words):
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *named, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_commit_of_names_only_the_packages_own_checkout(tmp_path):
    """Not that of a repository in which it was installed into a virtual environment."""
    own, installed = tmp_path / "fairseq_electra", tmp_path / ".venv" / "site-packages" / "fairseq_electra"
    for folder in (own, installed):
        folder.mkdir(parents=True)
        assert commit_of(folder) == ""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    assert (
        commit_of(own) == git(tmp_path, "rev-parse", "--short", "HEAD") != "" and commit_of(installed) == ""
    )


class Accuracy:
    """The share of examples whose class is 0, as the evaluation of a task."""

    merge = staticmethod(lambda scores: np.mean(scores, axis=0))
    metrics = staticmethod(
        lambda split, scores, valid: {"accuracy": 100 * float((scores.argmax(1) == 0).mean())}
    )


INFO = TaskInfo("RTE", "sentence_prediction", 1, ("a", "b"), ("accuracy",), 64)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Runs that have ended: two that are right, and one whose scores are no numbers."""
    monkeypatch.setattr(results, "evaluation_of", lambda data, info: Accuracy)
    runs = []
    for seed, scores, trouble in (
        (1, [[1, 0], [1, 0]], ""),
        (2, [[1, 0], [1, 0]], ""),
        (3, [[np.nan] * 2] * 2, "not finite"),
    ):
        folder = tmp_path / "net" / "RTE" / f"lr0.1-seed{seed}"
        folder.mkdir(parents=True)
        np.savez(folder / LOGITS_FILE, valid=np.array(scores, dtype=float))
        run = {"net": "net", "task": "RTE", "lr": 0.1, "seed": seed, "trouble": trouble}
        runs.append(run | {"metrics": {"valid": {"accuracy": 40.0 if trouble else 100.0}}})
    return runs


def test_runs_whose_scores_are_no_numbers_are_left_out_and_named(finished, tmp_path):
    line = summarize(finished, INFO, tmp_path, tmp_path)
    accuracy = line["metrics"]["valid"]["accuracy"]
    assert accuracy["values"] == [100, 100] and accuracy["ensemble"] == 100
    assert line["degenerate_seeds"] == {"3": "not finite"}
    assert deciding_score(finished[2], INFO) == -np.inf and deciding_score(finished[0], INFO) == 100


def test_one_seed_has_no_spread(finished, tmp_path):
    line = summarize(finished[:1], INFO, tmp_path, tmp_path)
    assert line["metrics"]["valid"]["accuracy"]["standard_deviation"] is None
    shown = table({"nets": [{"name": "net"}], "summary": [line], "runs": finished[:1]})
    assert "100.0 (one seed)" in shown


def test_all_versions_that_runs_were_made_by_are_told():
    old, new = {"commit": "old"}, {"commit": "new"}
    runs = [{"versions": old}, {"versions": new}, {"versions": old}]
    assert made_by({"runs": runs, "versions": new}) == [old, new]
    assert made_by({"runs": [{}], "versions": new}) == [new]
