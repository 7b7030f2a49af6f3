"""Fairseq tasks without options of their own: the package of each kind of task defines the training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.tasks import register_task
from torch import nn

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.tasks._prepared_folder import PreparedFolderConfig, PreparedFolderTask


class KindTask(PreparedFolderTask):
    """A task of fairseq's trainer, defined by its kind's :class:`Training`; arguments as its base class.

    Attributes:
        training: what the kind of task defines for the folder.
    """

    meter = "_results"

    def __init__(self, cfg: PreparedFolderConfig, dictionary: Any, info: TaskInfo):
        super().__init__(cfg, dictionary, info)
        self.training = KINDS[self.kind].training(Path(cfg.data), info, len(dictionary))

    def build_head(self, model: Any) -> nn.Module:
        """Make the head."""
        return self.training.head(model.sizes.hidden_size, model.head_dropout, model.pooling)

    def rows(self, split: str) -> TaskRows:
        """Open a split and return its rows."""
        return self.training.rows(split)

    def valid_step(self, sample: dict, model: Any, criterion: Any):
        """Find the loss, and what :meth:`Training.score` needs of the batch, under ``results``."""
        model.eval()
        with torch.no_grad():
            scores, _ = model(
                **sample["net_input"], classification_head_name=self.cfg.classification_head_name
            )
            loss, sample_size, log = criterion.loss_of(scores, sample)
        return (
            loss,
            sample_size,
            log | {"results": self.training.results(scores, sample).cpu(), "split": sample["split"]},
        )

    def reduce_metrics(self, logging_outputs: list[dict], criterion: Any) -> None:
        """Log the scores of all examples, whichever process scored them."""
        super().reduce_metrics(logging_outputs, criterion)
        results = [log["results"] for log in logging_outputs if "results" in log]
        if results:
            split = logging_outputs[0]["split"]
            self.log_scores(
                split, torch.cat(results), self.training.number_of_results(self.datasets[split].rows)
            )

    def score(self, rows: TaskRows, gathered: np.ndarray) -> dict[str, float]:
        """Score what was gathered."""
        training = self.training
        self.warn_if_all_predictions_are_equal(
            training.predictions(gathered), training.in_words, training.examples
        )
        return training.score(rows, gathered)


for _kind in KINDS.values():
    if not (_kind.of_fairseq or _kind.has_own_options):
        _name = f"{type(_kind).__name__}Task"  # fairseq wants a class for each
        register_task(_kind.name, dataclass=PreparedFolderConfig)(
            type(_name, (KindTask,), {"kind": _kind.name, "__module__": __name__})
        )
