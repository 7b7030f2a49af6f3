"""What a kind of fine-tuning task is: an object that the commands, study, exporter and hub look up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import Counterpart
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.request import Request

if TYPE_CHECKING:
    from torch import Tensor

    from fairseq_electra.finetuning.evaluation import Evaluation
    from fairseq_electra.finetuning.head import TaskHead
    from fairseq_electra.finetuning.predictor import Predictor
    from fairseq_electra.finetuning.training import Training
    from fairseq_electra.finetuning.tuned_model import TunedModel


class TaskKind(ABC):
    """A kind of task.

    Its package has one subclass for it, in ``kind.py``, which imports the rest of the package when needed.

    Attributes:
        name: of the task, for ``--task`` and ``--criterion``.
        of_fairseq: fairseq has the task and its criterion; else both are here.
        has_own_options: the task or its criterion has options of its own, so that it has modules in ``tasks``
            and ``criterions``; else :meth:`training` is all that fairseq needs.
        counterpart: what transformers has for it.
        head_option: of ``fairseq-train``, to name the head.
        epochs: of the recipe.
        further_metrics: metrics beside those of ``task.json`` that a split may have.
        reads_rows: an input is a row, or several rows with a score for each, so that
            ``ElectraHubInterface.predict`` can be used.
        gold_options: of ``predict``, for the form of a labelled file.
        gold_form: what a labelled file is, for messages.
    """

    name: str
    of_fairseq = False
    has_own_options = False
    counterpart: Counterpart
    head_option = "--classification-head-name"
    epochs = 3
    further_metrics: tuple[str, ...] = ()
    reads_rows = False
    gold_options: tuple[str, ...] = ("text", "label", "header", "quoted")
    gold_form = "named columns"

    # of a training

    def task_options(self, info: TaskInfo) -> list[str]:
        """Return the arguments of ``fairseq-train`` that follow the task's and the criterion's names."""
        return ["--best-checkpoint-metric", info.metrics[0], "--maximize-best-checkpoint-metric"]

    def row_options(self, info: TaskInfo) -> list[str]:
        """Return the arguments of ``fairseq-train`` on the rows; most tasks read ``task.json`` instead."""
        return []

    def logged_metrics(self, criterion: Any) -> tuple[str, ...] | None:
        """Name the metrics that fairseq's criterion logs in a validation; None: the task names them.

        ``criterion`` holds the criterion's options.
        """
        return None

    def training(self, folder: Path, info: TaskInfo, vocabulary_size: int) -> Training:
        """Return what fairseq's trainer needs of a task of this kind.

        Args:
            folder: of the task.
            info: what it is.
            vocabulary_size: ids are smaller than this.

        Raises:
            NotImplementedError: the task is fairseq's, or has options of its own.
        """
        raise NotImplementedError(f"{self.name} is trained by a task of its own")

    # of a model

    @abstractmethod
    def head_for(
        self, tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str = "first"
    ) -> TaskHead:
        """Make the head that takes some tensors.

        Args:
            tensors: of the head, by its own names.
            hidden_size: C.
            dropout: probability.
            pooling: of a head for sentences.
        """

    def number_of_labels(self, tensors: dict[str, Tensor]) -> int:
        """Return how many labels, classes or tags the head with these tensors scores; 0: it scores none."""
        return len(tensors["prediction.weight"])

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Turn scores of rows, (B, K), into log-probabilities.

        Predicted numbers and scores of single choices stay as they are.

        Raises:
            NotImplementedError: the kind does not score rows.
        """
        raise NotImplementedError(f"{self.name} does not score rows")

    @abstractmethod
    def evaluation(self, folder: Path, info: TaskInfo) -> Evaluation:
        """Return how networks are scored on a task's folder."""

    @abstractmethod
    def predictor(
        self, model: TunedModel, head: str, source: str, threshold: float, n_best: int
    ) -> Predictor:
        """Return what answers inputs.

        Args:
            model: with the head.
            head: its name.
            source: names the text in errors.
            threshold: above it a question has no answer; infinite: every one has.
            n_best: how many answers to a question are listed.

        Raises:
            InputError: one of the last two arguments is given, and the model does not answer questions.
        """

    def threshold(self, model: TunedModel, request: Request, checkpoint: str) -> float:
        """Return the threshold above which a question gets no answer; infinite: every one gets one.

        Args:
            model: of a checkpoint.
            request: what is asked of it.
            checkpoint: names it in errors.
        """
        return float("inf") if request.threshold is None else request.threshold

    def check_gold_options(self, request: Request) -> None:
        """Refuse options on the form of a labelled file that a model of this kind does not read."""
        unread = [
            f"--{name}"
            for name in ("text", "label", "header", "quoted", "scheme")
            if getattr(request, name) and name not in self.gold_options
        ]
        if request.is_gold and unread:
            raise InputError(
                f"--gold of a net for {self.name} is a file of {self.gold_form}; leave out"
                f" {' and '.join(unread)}"
            )


def refuse_answer_options(kind: TaskKind, threshold: float, n_best: int) -> None:
    """Refuse options that are for answers to questions; arguments as of :meth:`TaskKind.predictor`."""
    if threshold < float("inf") or n_best:
        raise InputError(
            "--threshold and --n-best are for answers to questions, and this net was trained for"
            f" {kind.name}; leave them out"
        )
