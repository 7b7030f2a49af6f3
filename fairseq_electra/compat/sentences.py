"""Changes to fairseq's tasks for sentences: the metrics of several processes, and labels that do not belong to their texts."""

import types
from pathlib import Path

from fairseq_electra.data.binarized import count_lines
from fairseq_electra.errors import InputError


def gather_predictions() -> None:
    """criterions/sentence_prediction.py::logging_outputs_can_be_summed, ``return True``: lists of predictions cannot be summed.

    With --report-mcc and its like, several processes die of it.
    """
    from fairseq.criterions.sentence_prediction import SentencePredictionCriterion

    if getattr(SentencePredictionCriterion, "gathers_predictions", False):
        return
    plain = SentencePredictionCriterion.__init__

    def __init__(self, cfg, task):  # noqa: N807
        plain(self, cfg, task)
        self.logging_outputs_can_be_summed = types.MethodType(lambda self: not self.keep_pred_and_targ or self.training, self)

    SentencePredictionCriterion.__init__ = __init__
    SentencePredictionCriterion.gathers_predictions = True


def compare_numbers_of_lines() -> None:
    """tasks/sentence_prediction.py::load_dataset and sentence_ranking.py: read labels and texts apart, and never compare how many."""
    from fairseq.tasks.sentence_prediction import SentencePredictionTask
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    for task in (SentencePredictionTask, SentenceRankingTask):
        if not getattr(task, "compares_numbers", False):
            _compare_before_loading(task)


def _compare_before_loading(task: type) -> None:
    plain = task.load_dataset  # type: ignore[attr-defined]

    def load_dataset(self, split, *args, **kwargs):
        settings = getattr(self, "cfg", None) or self.args
        check_numbers_of_lines(Path(settings.data), split)
        return plain(self, split, *args, **kwargs)

    task.load_dataset = load_dataset  # type: ignore[attr-defined]
    task.compares_numbers = True  # type: ignore[attr-defined]


def check_numbers_of_lines(folder: Path, split: str) -> None:
    """Refuse a split whose texts and labels are not equally many."""
    texts = sorted(folder.glob(f"input[0-9]*/{split}.idx"))
    numbers = {path: count_lines(path) for path in [*texts, *folder.glob(f"label/{split}.idx")]}
    for path in folder.glob(f"label/{split}.label"):
        with open(path, "rb") as stream:
            numbers[path] = sum(1 for _ in stream)
    if not texts:
        there = ", ".join(sorted(path.stem for path in folder.glob("input0/*.idx"))) or "nothing"
        raise InputError(f"no {folder}/input0/{split}.idx, the folder holds {there}; fairseq-electra prepare makes such folders")
    first = texts[0]
    for path, number in numbers.items():
        if number != numbers[first]:
            raise InputError(f"{path} has {number:,} lines and {first} has {numbers[first]:,}; make all of them from the same examples")
