"""What a study needs of a task: scores of a model, their metrics, and the merged scores of models."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sameness import shared_prediction
from fairseq_electra.finetuning.tuned_model import TunedModel

VALID = "valid"  # the split on which choices are made


class Evaluation(ABC):
    """A task's folder and how models are scored on it.

    Args:
        folder: folder of the task.
        info: what the task is.
    """

    def __init__(self, folder: Path, info: TaskInfo):
        self.folder, self.info = folder, info

    @abstractmethod
    def scores(self, tuned: TunedModel, split: str) -> np.ndarray:
        """Return a model's scores of all that a split holds."""

    @abstractmethod
    def metrics(
        self, split: str, scores: np.ndarray, valid: np.ndarray | None = None
    ) -> dict[str, float] | None:
        """Return the metrics named in ``info.metrics``; None: the split has no labels.

        Args:
            split: name of the split.
            scores: scores of the split.
            valid: scores of :data:`VALID`, on which is chosen what depends on data; needed for other splits
                with unanswerable questions.
        """

    @abstractmethod
    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return the prediction for each example, as :meth:`sameness.PredictionRange.add` takes them.

        Args:
            scores: scores of :data:`VALID`.
        """

    def is_constant(self, scores: np.ndarray) -> bool:
        """Tell whether all predictions are the same; argument as of :meth:`predictions`."""
        return shared_prediction(self.predictions(scores)) is not None

    def merge(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Merge the scores of several models: their mean."""
        return np.mean(scores, axis=0)
