"""The diagnostic set beside MNLI is part of the task: it must fit, and a change to it makes another run."""

import json
import shutil

import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.results import LOGITS_FILE, merged_scores
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import write_task_folder
from fairseq_electra.finetuning.sentences.glue import NLI
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.finetuning.trainable import diagnostic_set, trainable


def examples(labelled):
    return [
        Example(("a text", f"another {i}"), NLI[i % 3] if labelled else None, f"line {i}") for i in range(3)
    ]


@pytest.fixture
def folder(tmp_path, vocabulary):
    """MNLI, and AX beside it."""
    for name, splits in (
        ("MNLI", {"train": examples(True), "valid": examples(True)}),
        ("AX", {"test": examples(False)}),
    ):
        write_task_folder(
            tmp_path / name, vocabulary, splits, TaskInfo(name, PREDICTION, 2, NLI, ("accuracy",), 32)
        )
    return tmp_path / "MNLI"


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def swap_two_pieces(path):
    first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([second, first, *rest]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ax: swap_two_pieces(ax / "input0" / "dict.txt"), "with other vocabulary than"),
        (
            lambda ax: change(ax / "task.json", labels=["no", "yes"], max_positions=512),
            "with other --max-positions and labels than",
        ),
        (lambda ax: change(ax / "task.json", inputs=1), "with other columns of text than"),
        (lambda ax: change(ax / "task.json", examples={"valid": 3}), "with other splits than"),
    ],
)
def test_trainable_refuses_a_diagnostic_set_that_does_not_fit(folder, spoil, said):
    spoil(folder.with_name("AX"))
    with pytest.raises(
        InputError,
        match=f"/AX, which a net of MNLI judges as well, was prepared {said} .*/MNLI needs; prepare both",
    ):
        trainable(folder)


def test_trainable_digest_depends_on_the_diagnostic_set(folder, monkeypatch):
    ax = folder.with_name("AX")
    assert diagnostic_set(folder, trainable(folder).info) == ax
    before = trainable(folder).sha256
    change(ax / "task.json", shortened={"test": 1})
    changed = trainable(folder).sha256
    monkeypatch.chdir(folder)
    assert trainable(folder.relative_to(folder)).sha256 == changed
    monkeypatch.undo()
    shutil.rmtree(ax)
    assert len({before, changed, trainable(folder).sha256}) == 3


def test_diagnostic_set_is_none_for_other_tasks(folder):
    change(folder / "task.json", name="mine")
    assert diagnostic_set(folder, trainable(folder).info) is None


def test_merged_scores_refuses_runs_with_and_without_the_diagnostic_set(tmp_path):
    runs = [{"net": "net", "task": "MNLI", "lr": 0.1, "seed": seed} for seed in (1, 2)]
    for seed, splits in ((1, ("valid", "test")), (2, ("valid", "test", "AX"))):
        (tmp_path / "net" / "MNLI" / f"lr0.1-seed{seed}").mkdir(parents=True)
        np.savez(
            tmp_path / "net" / "MNLI" / f"lr0.1-seed{seed}" / LOGITS_FILE,
            **dict.fromkeys(splits, np.zeros((1, 3))),
        )
    for order in (runs, runs[::-1]):
        with pytest.raises(
            InputError, match=r"has scores of valid, test, .*; remove the one that lacks some, and run"
        ):
            merged_scores(order, tmp_path, lambda scores: scores[0])
