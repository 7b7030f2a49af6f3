"""What a study needs of a task: scores of a model, their metrics, and the merged scores of models."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sameness import all_the_same
from fairseq_electra.finetuning.tuned_model import TunedModel

VALID = "valid"  # the split on which choices are made


class Evaluation(ABC):
    """A task's folder and how nets are scored on it.

    Args:
        folder: of the task.
        info: what it is.
    """

    def __init__(self, folder: Path, info: TaskInfo):
        self.folder, self.info = folder, info

    @abstractmethod
    def scores(self, net: TunedModel, split: str) -> np.ndarray:
        """Return all that a net says of a split."""

    @abstractmethod
    def metrics(
        self, split: str, scores: np.ndarray, valid: np.ndarray | None = None
    ) -> dict[str, float] | None:
        """Return what scores are worth, by the names of ``info.metrics``; None: the split has no labels.

        Args:
            split: its name.
            scores: of the split.
            valid: scores of :data:`VALID`, on which is chosen what depends on data; needed for other splits
                with unanswerable questions.
        """

    @abstractmethod
    def said(self, scores: np.ndarray) -> np.ndarray:
        """Return what a net says of each example, as :meth:`sameness.Range.add` takes it.

        Args:
            scores: of :data:`VALID`.
        """

    def is_constant(self, scores: np.ndarray) -> bool:
        """Tell whether a net says the same of everything; argument as of :meth:`said`."""
        return all_the_same(self.said(scores)) is not None

    def merge(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Return what several nets say together: the mean."""
        return np.mean(scores, axis=0)
