"""The paper's fine-tuning as files for fairseq-hydra-train, each of them the recipe of its task."""

import pytest
import torch

from fairseq_electra.cli.config import to_yaml
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.recipes import arguments, head_arguments, recipe_for
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.glue import GLUE
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.tags import TAG_METRICS
from tests.helpers.paths import ROOT

EXAMPLES = ROOT / "examples"
# examples in GLUE's train.tsv (Wang et al. 2018, table 1; MRPC and STS-B both ways round)
PRESETS = {
    "CoLA": 8551,
    "SST-2": 67349,
    "MRPC": 2 * 3668,
    "STS-B": 2 * 5749,
    "QQP": 363846,
    "MNLI": 392702,
    "QNLI": 104743,
    "RTE": 2490,
    "WNLI": 635,
}

ANSWER_METRICS = ("f1", "exact_match")
UNANSWERABLE_METRICS = ("answerable_f1", "unanswerable_accuracy", "best_answer_f1", "threshold")

# of the tasks that are ours: folder, kind, metrics, examples of train
OURS = {
    "squad1.1": ("squad", ANSWERING, ANSWER_METRICS, 87599),  # Rajpurkar et al. 2016
    "squad2.0": ("squad", ANSWERING, (*ANSWER_METRICS, *UNANSWERABLE_METRICS), 130319),  # 2018
    "conll2003": ("ner", TAGGING, TAG_METRICS, 14041),  # Tjong Kim Sang and De Meulder 2003
    "wnut17": ("ner", TAGGING, TAG_METRICS, 3394),
    "ncbi_disease": ("ner", TAGGING, TAG_METRICS, 5424),
}


def our_command_line(name: str) -> list[str]:
    folder, kind, metrics, examples = OURS[name]
    info = TaskInfo(name, kind, 1, (), metrics, 512, {"train": examples, "valid": 1})
    folders = [
        *[f"{folder}-bin/{name}", "--finetune-from-model", "checkpoints/checkpoint_last.pt"],
        *["--save-dir", f"checkpoints/{name}"],
    ]
    return [
        *folders,
        *arguments(info, recipe_for("small", name, kind), seed=1),
        "--user-dir",
        "fairseq_electra",
    ]


def command_line(name: str) -> list[str]:
    task = GLUE[name]
    examples = {
        "train": PRESETS[name],
        **dict.fromkeys((split for split in task.files if split.startswith("valid")), 1),
    }
    info = TaskInfo(name, PREDICTION, len(task.texts), task.labels, task.metrics, 128, examples)
    folders = [
        *[f"glue-bin/{name}", "--finetune-from-model", "checkpoints/checkpoint_last.pt"],
        *["--save-dir", f"checkpoints/{name}"],
    ]
    return [*folders, *arguments(info, recipe_for("small", name), seed=1), "--user-dir", "fairseq_electra"]


@pytest.mark.parametrize("name", PRESETS)
def test_each_file_is_the_recipe_of_its_task(name):
    assert (EXAMPLES / "glue" / f"{name}.yaml").read_text() == to_yaml(command_line(name))


@pytest.mark.parametrize("name", OURS)
def test_each_file_of_questions_and_words_is_the_recipe_of_its_task(name):
    assert (EXAMPLES / OURS[name][0] / f"{name}.yaml").read_text() == to_yaml(our_command_line(name))


def test_recipe_for_returns_the_papers_values():
    """Clark et al. 2020, table 7."""
    assert [
        (recipe_for(size, "MNLI").lr, recipe_for(size, "MNLI").layer_decay)
        for size in ("small", "base", "large")
    ] == [
        (3e-4, 0.8),
        (1e-4, 0.8),
        (5e-5, 0.9),
    ]
    assert {name: recipe_for("base", name).epochs for name in GLUE if name != "AX"} == {
        **dict.fromkeys(("CoLA", "SST-2", "MRPC", "QQP", "MNLI", "QNLI", "WNLI"), 3),
        **dict.fromkeys(("RTE", "STS-B"), 10),
    }
    line = command_line("RTE")
    given = {
        option: line[line.index(option) + 1]
        for option in ("--total-num-update", "--warmup-updates", "--weight-decay", "--batch-size")
    }
    assert given == {
        "--total-num-update": "780",
        "--warmup-updates": "78",
        "--weight-decay": "0.0",
        "--batch-size": "32",
    }


def test_arguments_ask_only_for_metrics_that_fairseqs_criterion_has():
    def options(labels, metrics):
        return arguments(
            TaskInfo("x", PREDICTION, 1, labels, metrics, 128, {"train": 9}), recipe_for("tiny", "x"), 1
        )

    assert "--report-mcc" in options(("0", "1"), ("mcc",))
    assert "--report-mcc" not in options(("no", "yes"), ("mcc",))
    assert "--report-acc-and-f1" not in options(("0", "1", "2"), ("accuracy", "macro_f1"))


def test_head_arguments_make_a_valid_name():
    for kind, option in ((PREDICTION, "--classification-head-name"), (RANKING, "--ranking-head-name")):
        assert head_arguments(TaskInfo("SST-2 v1.1", kind, 1, (), (), 128)) == [option, "SST_2_v1_1_head"]
    for name in ("SST_2_v1_1_head", "train_head"):
        torch.nn.ModuleDict()[name] = torch.nn.Linear(1, 1)
