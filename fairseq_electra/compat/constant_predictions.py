"""fairseq's tasks for sentences warn of a model that predicts the same for every example.

- tasks/sentence_prediction.py and sentence_ranking.py log an accuracy, also where it is that of one class for
  all examples. Here a validation of such a model logs a warning.
- trainer.py::Trainer.valid_step, ``self._prepare_sample(sample)``, puts a process's first batch in the place
  of a dummy batch, which only fills up its share. Here such a batch is not counted.
"""

import functools
import logging
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_electra.finetuning.sameness import MIN_EXAMPLES, PredictionRange, constant_warning

logger = logging.getLogger(__name__)


class _ScoreHook:
    """A hook of a classification head that collects the range of its scores in evaluation mode.

    Args:
        choices: Number of calls of the head for the scores of an example: 1, or the choices of a multiple
            choice.
    """

    def __init__(self, choices: int):
        self.choices, self.scores, self.range = choices, list[Tensor](), PredictionRange()
        self.is_dummy = False  # whether the current batch is a dummy

    def __call__(self, head: nn.Module, inputs: tuple, scores: Tensor) -> None:
        if head.training or self.is_dummy:
            return
        self.scores.append(scores.detach())
        if len(self.scores) == self.choices:
            self.range.add_scores(torch.cat(self.scores, 1))
            self.scores = []

    def reset(self) -> None:
        """Forget all scores."""
        self.scores, self.range = [], PredictionRange()


def warn_of_constant_predictions() -> None:
    """Change both tasks, and trainer.py::Trainer.valid_step."""
    from fairseq.tasks.sentence_prediction import SentencePredictionTask
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    for task in (SentencePredictionTask, SentenceRankingTask):
        _collect_scores(task)
    _mark_dummy_batches()


def _mark_dummy_batches() -> None:
    """Change trainer.py::Trainer.valid_step, so that the hook knows of dummy batches."""
    from fairseq.trainer import Trainer

    plain = Trainer.valid_step

    @functools.wraps(plain)
    def valid_step(self, sample, raise_oom=False):
        hook = getattr(_head_of(self.task, self.get_model()), "score_hook", None)
        if hook is not None:
            hook.is_dummy = not sample
        return plain(self, sample, raise_oom)

    Trainer.valid_step = valid_step


def _collect_scores(task: Any) -> None:
    def begin_valid_epoch(self, epoch, model):
        super(task, self).begin_valid_epoch(epoch, model)
        head = _head_of(self, model)
        if head is not None and not hasattr(head, "score_hook"):
            is_ranking = hasattr(getattr(self, "args", None), "ranking_head_name")
            head.score_hook = _ScoreHook(int(self.args.num_classes) if is_ranking else 1)
            head.register_forward_hook(head.score_hook)
        if head is not None:
            head.score_hook.reset()

    def post_validate(self, model, stats, agg):
        super(task, self).post_validate(model, stats, agg)
        head = _head_of(self, model)
        if head is None:
            return
        score_range = _of_all_processes(head.score_hook.range)
        head.score_hook.reset()
        same = score_range.same(MIN_EXAMPLES)
        if same is not None and _is_first_process():
            prediction = _name(self, head.score_hook, same[0])
            logger.warning(
                constant_warning(prediction, score_range.number, "examples of this validation set")
            )

    task.begin_valid_epoch, task.post_validate = begin_valid_epoch, post_validate


def _head_of(task, model) -> Any:  # a module, or None
    settings = getattr(task, "cfg", None) or getattr(task, "args", None)
    name = getattr(settings, "ranking_head_name", None) or getattr(settings, "classification_head_name", None)
    heads = getattr(model, "classification_heads", {})
    return heads[name] if name in heads else None  # noqa: SIM401  (of PyTorch, which has no get)


def _name(task, hook: _ScoreHook, value: float) -> str:
    if hook.choices > 1:
        return f"choice {value:.0f}"
    if getattr(task.cfg, "regression_target", False):
        return f"{value:.3f}"
    labels = task.label_dictionary
    return repr(labels[labels.nspecial + int(value)])


def _of_all_processes(own: PredictionRange) -> PredictionRange:
    from fairseq.distributed import utils

    if utils.get_global_world_size() == 1:
        return own
    return PredictionRange().merge(utils.all_gather_list(own.merge([])))


def _is_first_process() -> bool:
    from fairseq.distributed import utils

    return utils.get_global_rank() == 0
