"""A change to fairseq's tasks for sentences: validation says so where a net has one answer to everything."""

import functools
import logging
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_electra.finetuning.sameness import OF_LABELLED, Range, sentence

logger = logging.getLogger(__name__)


class _Watch:
    """A hook that takes in what a head says while it is not trained.

    Args:
        choices: calls of the head that make up the scores of an example: 1, or the choices of a multiple choice.
    """

    def __init__(self, choices: int):
        self.choices, self.scores, self.range = choices, list[Tensor](), Range()
        self.is_filler = False  # the batch in hand

    def __call__(self, head: nn.Module, inputs: tuple, scores: Tensor) -> None:
        if head.training or self.is_filler:
            return
        self.scores.append(scores.detach())
        if len(self.scores) == self.choices:
            self.range.add_scores(torch.cat(self.scores, 1))
            self.scores = []

    def begin(self) -> None:
        """Forget what was said before."""
        self.scores, self.range = [], Range()


def say_when_all_is_the_same() -> None:
    """tasks/sentence_prediction.py and sentence_ranking.py: an accuracy is logged, be it that of one class for everything or not."""
    from fairseq.tasks.sentence_prediction import SentencePredictionTask
    from fairseq.tasks.sentence_ranking import SentenceRankingTask

    for task in (SentencePredictionTask, SentenceRankingTask):
        if "post_validate" not in vars(task):
            _watch(task)
    _tell_fillers()


def _tell_fillers() -> None:
    """trainer.py::Trainer.valid_step, ``self._prepare_sample(sample)``: puts a process's first batch in place of an empty one.

    Empty ones fill up a process's share of the batches; the examples of the first would be counted once more.
    """
    from fairseq.trainer import Trainer

    plain = Trainer.valid_step

    @functools.wraps(plain)
    def valid_step(self, sample, raise_oom=False):
        watch = getattr(_head_of(self.task, self.get_model()), "watch", None)
        if watch is not None:
            watch.is_filler = not sample
        return plain(self, sample, raise_oom)

    Trainer.valid_step = valid_step


def _watch(task: Any) -> None:
    def begin_valid_epoch(self, epoch, model):
        super(task, self).begin_valid_epoch(epoch, model)
        head = _head_of(self, model)
        if head is not None and not hasattr(head, "watch"):
            head.watch = _Watch(int(self.args.num_classes) if hasattr(getattr(self, "args", None), "ranking_head_name") else 1)
            head.register_forward_hook(head.watch)
        if head is not None:
            head.watch.begin()

    def post_validate(self, model, stats, agg):
        super(task, self).post_validate(model, stats, agg)
        head = _head_of(self, model)
        if head is None:
            return
        said = _of_all_processes(head.watch.range)
        head.watch.begin()
        same = said.same(OF_LABELLED)
        if same is not None and _is_first_process():
            logger.warning(sentence(_name(self, head.watch, same[0]), said.number, "examples of this validation set"))

    task.begin_valid_epoch, task.post_validate = begin_valid_epoch, post_validate


def _head_of(task, model) -> Any:  # a module with its watch, or None
    settings = getattr(task, "cfg", None) or getattr(task, "args", None)
    name = getattr(settings, "ranking_head_name", None) or getattr(settings, "classification_head_name", None)
    heads = getattr(model, "classification_heads", {})
    return heads[name] if name in heads else None  # noqa: SIM401  (of PyTorch, which has no get)


def _name(task, watch: _Watch, value: float) -> str:
    if watch.choices > 1:
        return f"choice {value:.0f}"
    if getattr(task.cfg, "regression_target", False):
        return f"{value:.3f}"
    labels = task.label_dictionary
    return repr(labels[labels.nspecial + int(value)])


def _of_all_processes(said: Range) -> Range:
    from fairseq.distributed import utils

    if utils.get_global_world_size() == 1:
        return said
    return Range().merge(utils.all_gather_list(said.merge([])))


def _is_first_process() -> bool:
    from fairseq.distributed import utils

    return utils.get_global_rank() == 0
