"""Changes to fairseq's tasks for sentences: the metrics of several processes, and labels that do not belong to their texts."""

import logging
import math
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fairseq_electra.errors import InputError, listed
from fairseq_electra.finetuning.info import TASK_FILE, read_task_info
from fairseq_electra.finetuning.kinds import kind_of
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.pretraining.binarized import count_lines, unknown_in_folder
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, read_entries

logger = logging.getLogger(__name__)


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


def correlate_single_examples() -> None:
    """criterions/sentence_prediction.py::pearson_and_spearman: scipy refuses a batch of one example, and the run ends.

    The correlation of one example, or with a constant, is 0, as in finetuning/sentences/metrics.py.
    """
    from fairseq.criterions import sentence_prediction

    plain = getattr(sentence_prediction, "pearson_and_spearman", None)
    if plain is None or getattr(plain, "takes_single_examples", False):  # fairseq 0.12.2 does not correlate
        return

    def pearson_and_spearman(preds, labels):
        if len(preds) < 2 or min(np.ptp(preds), np.ptp(labels)) == 0:
            return {"pearson": 0.0, "spearmanr": 0.0, "corr": 0.0}
        return plain(preds, labels)

    pearson_and_spearman.takes_single_examples = True  # type: ignore[attr-defined]
    sentence_prediction.pearson_and_spearman = pearson_and_spearman


def log_losses_in_nats() -> None:
    """criterions/sentence_prediction.py and sentence_ranking.py::reduce_metrics, ``/ math.log(2)``: losses in bits.

    All other tasks here log nats, the unit that the loss is computed in; a mean squared error has no bits at all.
    """
    from fairseq.criterions import sentence_prediction, sentence_ranking

    for module in (sentence_prediction, sentence_ranking):
        if not isinstance(module.metrics, _InNats):
            module.metrics = _InNats(module.metrics)


class _InNats:
    """fairseq's ``metrics``, given losses in bits."""

    def __init__(self, plain):
        self._plain = plain

    def __getattr__(self, name: str):
        return getattr(self._plain, name)

    def log_scalar(self, key: str, value, *args, **kwargs) -> None:
        self._plain.log_scalar(key, value * math.log(2) if key.endswith("loss") else value, *args, **kwargs)


def compare_numbers_of_lines() -> None:
    """tasks/sentence_prediction.py::load_dataset and sentence_ranking.py: read labels and texts apart, and never compare how many.

    Without labels a multiple choice has a loss of 0, and the other tasks end in a KeyError.
    """
    from fairseq.tasks.sentence_prediction import SentencePredictionTask
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    for task in (SentencePredictionTask, SentenceRankingTask):
        if not getattr(task, "compares_numbers", False):
            _compare_before_loading(task)


def _compare_before_loading(task: type) -> None:
    plain = task.load_dataset  # type: ignore[attr-defined]

    def load_dataset(self, split, *args, **kwargs):
        from fairseq.distributed.utils import get_global_rank

        settings = getattr(self, "cfg", None) or self.args
        check_numbers_of_lines(Path(settings.data), split)
        check_labels(Path(settings.data), split)
        unknown = unknown_in_folder(settings.data, split, len(self.source_dictionary)) if split == "train" else ""
        if unknown and get_global_rank() == 0:
            logger.warning(unknown)
        try:
            return plain(self, split, *args, **kwargs)
        except (ValueError, AssertionError, EOFError) as error:
            raise InputError(f"{settings.data}: {split} cannot be read ({error}); make the folder again") from error

    task.load_dataset = load_dataset  # type: ignore[attr-defined]
    task.compares_numbers = True  # type: ignore[attr-defined]


def name_ranking_heads() -> None:
    """tasks/sentence_ranking.py::build_model, ``getattr(args, "ranking_head_name", ...)``: is given the model's options, which lack it.

    So the head would have another name than --ranking-head-name, under which the criterion looks for it.
    """
    from fairseq import models
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    if getattr(SentenceRankingTask.build_model, "names_heads", False):
        return

    def build_model(self, args, from_checkpoint=False):
        model = models.build_model(args, self, from_checkpoint)
        model.register_classification_head(self.args.ranking_head_name, num_classes=1)
        return model

    build_model.names_heads = True  # type: ignore[attr-defined]
    SentenceRankingTask.build_model = build_model


def explain_absent_data() -> None:
    """tasks/sentence_prediction.py::load_dictionary and sentence_ranking.py: an absent folder ends in Python's words on dict.txt."""
    from fairseq.tasks.sentence_prediction import SentencePredictionTask
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    for task in (SentencePredictionTask, SentenceRankingTask):
        plain = task.setup_task
        if not getattr(plain, "explains", False):
            task.setup_task = classmethod(_look_before_setup(plain.__func__))


def _look_before_setup(plain: Callable) -> Callable:
    def setup_task(cls, args, **kwargs):
        wanted = [Path(args.data) / "input0" / DICTIONARY_FILE]
        if getattr(args, "_name", None) == PREDICTION and not args.regression_target:
            wanted.append(Path(args.data) / "label" / DICTIONARY_FILE)
        for path in wanted:
            if not path.is_file():
                raise InputError(f"no {path}; fairseq-electra prepare makes such folders, and --regression-target is for numbers")
        if (Path(args.data) / TASK_FILE).is_file():
            kind = kind_of(read_task_info(args.data), args.data)
            if not kind.of_fairseq:
                raise InputError(f"{args.data} was prepared for --task {kind.name}, not {PREDICTION}")
        check_number_of_classes(Path(args.data), args.num_classes, bool(wanted[1:]))
        return plain(cls, args, **kwargs)

    setup_task.explains = True  # type: ignore[attr-defined]
    return setup_task


def check_number_of_classes(folder: Path, given: int, of_classes: bool) -> None:
    """Refuse --num-classes that is not the number of the folder's labels, or of the choices of a multiple choice."""
    if of_classes:
        names = [name for name in read_entries(folder / "label" / DICTIONARY_FILE) if not name.startswith("madeupword")]
        if len(names) != given:
            path, than = folder / "label" / DICTIONARY_FILE, "more" if len(names) > given else "fewer"
            raise InputError(f"{path} names {len(names)} labels, {listed(names)}: {than} than --num-classes {given}; give {len(names)}")
    labels = sorted(folder.glob("label/*.label")) if not of_classes else []
    choices = len(list(folder.glob("input[0-9]*"))) - 1
    for path in labels if choices > 1 else ():
        for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
            if not (line.strip().isdecimal() and int(line) < min(given, choices)):
                raise InputError(f"{path}, line {number}: {line.strip()!r} is no choice from 0 to {min(given, choices) - 1}")
    if choices > 1 and choices != given:
        raise InputError(f"{folder} has {choices} choices (input1 to input{choices}), not {given}; give --num-classes {choices}")


def check_labels(folder: Path, split: str) -> None:
    """Refuse a split that has no labels to train on and to score with."""
    if not any((folder / "label" / f"{split}{ending}").is_file() for ending in (".idx", ".label")):
        raise InputError(f"{split} of {folder} has no labels; apply the net to its file with fairseq-electra predict")


def check_numbers_of_lines(folder: Path, split: str) -> None:
    """Refuse a split whose texts and labels are not equally many."""
    texts = [each / f"{split}.idx" for each in sorted(folder.glob("input[0-9]*"))]
    absent = [path for path in texts if not path.is_file()]
    if absent:
        there = ", ".join(sorted(path.stem for path in absent[0].parent.glob("*.idx"))) or "nothing"
        raise InputError(f"no {absent[0]}, the folder holds {there}; fairseq-electra prepare makes such folders")
    numbers = {path: count_lines(path) for path in [*texts, *folder.glob(f"label/{split}.idx")]}
    for path in folder.glob(f"label/{split}.label"):
        with open(path, "rb") as stream:
            numbers[path] = sum(1 for _ in stream)
    first = texts[0]
    for path, number in numbers.items():
        if number != numbers[first]:
            raise InputError(f"{path} has {number:,} lines and {first} has {numbers[first]:,}; make all of them from the same examples")
