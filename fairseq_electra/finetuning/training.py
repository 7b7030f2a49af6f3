"""What fairseq's trainer needs of a task without own options: head, rows, loss and validation scores."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fairseq_electra.finetuning.head import TaskHead
from fairseq_electra.finetuning.info import TaskInfo


class Training(ABC):
    """A task's folder and how models are trained on it; ``tasks/of_kinds.py`` makes a task of fairseq of it.

    Args:
        folder: of the task.
        info: what it is.
        vocabulary_size: ids are smaller than this.

    Attributes:
        examples: what is scored, in the plural.
    """

    examples = "examples"

    def __init__(self, folder: Path, info: TaskInfo, vocabulary_size: int):
        self.folder, self.info, self.vocabulary_size = folder, info, vocabulary_size

    @abstractmethod
    def head(self, hidden_size: int, dropout: float, pooling: str) -> TaskHead:
        """Make a new head: C, probability, and what a head for sentences reads."""

    @abstractmethod
    def rows(self, split: str) -> Any:
        """Return the split's rows, a :class:`fairseq_electra.finetuning.rows.TaskRows`.

        A batch has ``id`` (B,), ``split``, ``nsentences``, ``ntokens`` and ``net_input``.
        """

    @abstractmethod
    def loss(self, scores: Tensor, batch: dict) -> tuple[Tensor, int]:
        """Return a batch's loss in nats, summed over the units that it is averaged over, and their number.

        Args:
            scores: of the head.
            batch: of the rows.
        """

    @abstractmethod
    def results(self, scores: Tensor, batch: dict) -> Tensor:
        """Return what a validation gathers of a batch; arguments as of :meth:`loss`. Shape: (n, columns)."""

    @abstractmethod
    def number_of_results(self, rows: Any) -> int:
        """Return the number of lines of :meth:`results` once all rows are scored."""

    @abstractmethod
    def score(self, rows: Any, gathered: np.ndarray) -> dict[str, float]:
        """Score a split.

        Args:
            rows: of the split.
            gathered: all lines of :meth:`results`, in any order. Shape: (number of results, columns).

        Returns:
            the metrics of ``info.metrics``.
        """

    @abstractmethod
    def predictions(self, gathered: np.ndarray) -> np.ndarray:
        """Return the prediction for each example, as :meth:`sameness.PredictionRange.add` takes them."""

    @abstractmethod
    def in_words(self, prediction: list[float]) -> str:
        """Put the prediction for an example into words."""
