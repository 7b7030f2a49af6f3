"""GLUE's ten tests (Wang et al. 2018, arXiv 1804.07461): their files, what these hold, and the metrics."""

from dataclasses import dataclass, field
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.table import Columns
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.read import Example, read_examples

ENTAILMENT = ("entailment", "not_entailment")
NLI = ("contradiction", "entailment", "neutral")
ZERO_ONE = ("0", "1")
PLAIN_FILES: dict[str, tuple[str, ...]] = {
    "train": ("train.tsv",),
    "valid": ("dev.tsv",),
    "test": ("test.tsv",),
}


@dataclass(frozen=True)
class GlueTask:
    """One of GLUE's tests.

    Args:
        texts: names of the columns with text.
        label: name of the column with the label.
        labels: in the order of the scores; empty for numbers (STS-B).
        metrics: GLUE's; the first is the one that the paper reports.
        files: for each split the names its file may have, tried in turn.
        header: of train and dev files without one.
        submission: for each test split the name GLUE wants the predictions under.
        unordered: what the pair says does not depend on its order.
    """

    texts: tuple[str, ...]
    label: str | None
    labels: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    files: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(PLAIN_FILES))
    header: tuple[str, ...] | None = None
    submission: dict[str, str] = field(default_factory=dict)
    unordered: bool = False


MNLI_FILES: dict[str, tuple[str, ...]] = {
    "train": ("train.tsv",),
    "valid": ("dev_matched.tsv",),
    "valid1": ("dev_mismatched.tsv",),
    "test": ("test_matched.tsv",),
    "test1": ("test_mismatched.tsv",),
}
AX_FILES: dict[str, tuple[str, ...]] = {"test": ("diagnostic.tsv", "AX.tsv", "test.tsv")}
GLUE = {
    "CoLA": GlueTask(
        ("sentence",), "label", ZERO_ONE, ("mcc",), header=("source", "label", "star", "sentence")
    ),
    "SST-2": GlueTask(("sentence",), "label", ZERO_ONE),
    "MRPC": GlueTask(("#1 String", "#2 String"), "Quality", ZERO_ONE, ("accuracy", "f1"), unordered=True),
    "STS-B": GlueTask(("sentence1", "sentence2"), "score", (), ("spearman", "pearson"), unordered=True),
    "QQP": GlueTask(("question1", "question2"), "is_duplicate", ZERO_ONE, ("accuracy", "f1")),
    "MNLI": GlueTask(
        ("sentence1", "sentence2"),
        "gold_label",
        NLI,
        files=MNLI_FILES,
        submission={"test": "MNLI-m.tsv", "test1": "MNLI-mm.tsv"},
    ),
    "QNLI": GlueTask(("question", "sentence"), "label", ENTAILMENT),
    "RTE": GlueTask(("sentence1", "sentence2"), "label", ENTAILMENT),
    "WNLI": GlueTask(("sentence1", "sentence2"), "label", ZERO_ONE),
    # judged by a model that was trained on MNLI
    "AX": GlueTask(("sentence1", "sentence2"), None, NLI, files=AX_FILES),
}
FOLDERS = {"AX": ("diagnostic", "AX"), "SST-2": ("SST-2", "SST"), "STS-B": ("STS-B", "STS")}


def read_glue(folder: str | Path, name: str) -> dict[str, list[Example]]:
    """Read the splits of a task that are there.

    Args:
        folder: with a subfolder for each task, as GLUE's download has it.
        name: of the task.

    Returns:
        examples by split: train, valid, test; of MNLI also valid1 and test1, the mismatched sets.

    Raises:
        InputError: there is no such folder, none of its files, or one cannot be read.
    """
    task = GLUE[name]
    candidates = [Path(folder) / each for each in FOLDERS.get(name, (name,))]
    task_folder = next((each for each in candidates if each.is_dir()), None)
    if task_folder is None:
        raise InputError(f"no {' or '.join(map(str, candidates))}; give the folder that holds GLUE's folders")
    examples = {}
    for split, names in task.files.items():
        path = next((task_folder / each for each in names if (task_folder / each).is_file()), None)
        if path is not None:
            labelled = not split.startswith("test")
            header = task.header if labelled else None
            columns = Columns(
                task.texts,
                task.label if labelled else None,
                header,
                skip_short_lines=labelled and name == "QQP",
            )
            examples[split] = read_examples(path, columns)
    if name == "MRPC" and "train" not in examples:
        examples |= _original_mrpc(task_folder)
    if not examples:
        wanted = ", ".join(" or ".join(names) for names in task.files.values())
        raise InputError(f"{task_folder} holds none of {wanted}; give GLUE's files under their own names")
    return examples


def glue_task(folder: str | Path, name: str, max_positions: int) -> tuple[dict[str, list[Example]], TaskInfo]:
    """Read a task: return its examples by split, and what the task is.

    Arguments and errors are as in :func:`read_glue`; ``max_positions`` is the tokens of the longest row.
    """
    task = GLUE[name]
    label = task.label or ""
    info = TaskInfo(
        name,
        PREDICTION,
        len(task.texts),
        task.labels,
        task.metrics,
        max_positions,
        columns=task.texts,
        label_column=label,
    )
    return read_glue(folder, name), info


def _original_mrpc(folder: Path) -> dict[str, list[Example]]:
    """Read Microsoft's files, out of which GLUE's ``dev_ids.tsv`` takes the dev set."""
    train, ids, test = (
        folder / "msr_paraphrase_train.txt",
        folder / "dev_ids.tsv",
        folder / "msr_paraphrase_test.txt",
    )
    if not (train.is_file() and ids.is_file()):
        return {}
    columns = Columns(("#1 ID", "#2 ID", "#1 String", "#2 String"), "Quality")
    held_out = {
        example.texts
        for example in read_examples(ids, Columns(("#1 ID", "#2 ID"), header=("#1 ID", "#2 ID")))
    }
    examples: dict[str, list[Example]] = {"train": [], "valid": []}
    for example in read_examples(train, columns):
        split = "valid" if example.texts[:2] in held_out else "train"
        examples[split].append(Example(example.texts[2:], example.label, example.place))
    if test.is_file():
        examples["test"] = [
            Example(example.texts[2:], None, example.place) for example in read_examples(test, columns)
        ]
    return examples
