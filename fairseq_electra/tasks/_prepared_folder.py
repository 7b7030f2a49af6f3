"""Common parts of the tasks that read a folder of ``fairseq-electra prepare``."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np
from fairseq import models
from fairseq.dataclass import FairseqDataclass
from fairseq.distributed.utils import get_global_rank
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask
from omegaconf import II, MISSING
from torch import Tensor, nn

from fairseq_electra.electra.sizes import option
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo, read_task_info
from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.finetuning.sameness import constant_warning, shared_prediction
from fairseq_electra.models.electra_encoder import ElectraEncoderConfig
from fairseq_electra.pretraining.binarized import load_dictionary, unknown_in_folder
from fairseq_electra.tasks._rows import RowsDataset

logger = logging.getLogger(__name__)


@dataclass
class PreparedFolderConfig(FairseqDataclass):
    """Options of all tasks that read a prepared folder."""

    data: str = field(default=MISSING, metadata={"help": "folder written by: fairseq-electra prepare"})
    classification_head_name: str = field(default="head", metadata={"help": "name of the head"})
    seed: int = II("common.seed")
    max_valid_steps: Optional[int] = II("dataset.max_valid_steps")
    train_subset: str = II("dataset.train_subset")


class PreparedFolderTask(FairseqTask, ABC):
    """A fine-tuning task; its subclasses add the head and the rows.

    Args:
        cfg: options of the task.
        dictionary: fairseq's dictionary.
        info: contents of the folder's ``task.json``.
    """

    kind = ""
    unread_options: tuple[str, ...] = ()  # of the model: the head has no use for them
    meter = ""  # name of the meter that gathers the results of validation

    def __init__(self, cfg: PreparedFolderConfig, dictionary, info: TaskInfo):
        super().__init__(cfg)
        self.dictionary, self.info = dictionary, info
        self._scores: dict[str, dict[str, float]] = {}  # of each split, since its last batch

    @classmethod
    def setup_task(cls, cfg: PreparedFolderConfig, **kwargs: Any) -> "PreparedFolderTask":
        """Read the folder's description and its dictionary.

        Raises:
            InputError: the folder was prepared for another task, or ``--max-valid-steps`` is given.
        """
        if cfg.max_valid_steps:
            raise InputError(
                f"--max-valid-steps {cfg.max_valid_steps}: scores are those of the whole set; leave it out"
            )
        info = read_task_info(cfg.data)
        if info.kind != cls.kind:
            raise InputError(f"{cfg.data} was prepared for --task {info.kind}, not {cls.kind}")
        return cls(cfg, load_dictionary(Path(cfg.data) / "input0"), info)

    def build_model(self, cfg, from_checkpoint: bool = False):
        """Build the model and its head.

        Raises:
            InputError: the model is not ``electra_encoder``.
        """
        if getattr(cfg, "_name", None) != "electra_encoder":
            raise InputError(f"--task {self.kind} needs --arch electra_encoder")
        model = models.build_model(cfg, self, from_checkpoint)
        model.register_head(self.cfg.classification_head_name, self.build_head(model))
        usual = ElectraEncoderConfig.__dataclass_fields__
        for name in self.unread_options:
            if str(cfg.get(name, usual[name].default)) != str(usual[name].default):
                self.warn_of_unread(name, cfg[name], f"the head of --task {self.kind} has none")
        return model

    def warn_of_unread(self, name: str, value: Any, why: str) -> None:
        """Warn of an option that was given and changes nothing."""
        if get_global_rank() == 0:
            logger.warning(f"{option(name)} {value} changes nothing: {why}")

    def build_criterion(self, cfg, *args: Any, **kwargs: Any):
        """Build the task's own criterion, and refuse others; arguments and result as FairseqTask's."""
        if getattr(cfg, "_name", None) != self.kind:
            raise InputError(f"--task {self.kind} needs --criterion {self.kind}")
        return super().build_criterion(cfg, *args, **kwargs)

    def logged_metrics(self, model, splits: list[str]) -> tuple[str, ...]:
        """Return the names of the metrics that validation logs on each of these splits."""
        return ("loss", *self.info.metrics)

    @abstractmethod
    def build_head(self, model) -> nn.Module:
        """Build the head of this task."""

    @abstractmethod
    def rows(self, split: str) -> TaskRows:
        """Open a split and return its rows."""

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any) -> RowsDataset:
        """Make the dataset of a split; arguments as FairseqTask's."""
        self.check_split(split)
        self.warn_of_unknown_text(split)
        shuffle = split == self.cfg.train_subset
        self.datasets[split] = RowsDataset(self.rows(split), self.cfg.seed, shuffle)
        return self.datasets[split]

    def check_split(self, split: str) -> None:
        """Refuse a split that does not exist or has no labels."""
        if split not in self.info.examples:
            raise InputError(
                f"{self.cfg.data} has no {split}, it has {', '.join(self.info.examples)}; name one of these"
            )
        if split in self.info.unlabelled:
            raise InputError(
                f"{split} of {self.cfg.data} has no labels; apply the model to its file with fairseq-electra"
                " predict"
            )

    def warn_of_unknown_text(self, split: str) -> None:
        """Warn of a training text with many tokens that are not in the vocabulary."""
        unknown = (
            unknown_in_folder(self.cfg.data, split, len(self.dictionary))
            if split == self.cfg.train_subset
            else ""
        )
        if unknown and get_global_rank() == 0:
            logger.warning(unknown)

    def filter_indices_by_size(self, indices, dataset, max_positions=None, ignore_invalid_inputs=False):
        """Refuse rows that are too long for the model or ``--max-tokens``, which fairseq would leave out."""
        limit = max_positions if isinstance(max_positions, int) else min(max_positions or (1 << 30,))
        longest = int(dataset.sizes.max())
        if longest > limit:
            raise InputError(
                f"{self.cfg.data} has rows of {longest} tokens, and the limit is {limit} (the model's "
                "positions, or --max-tokens); "
                f"prepare it again with --max-positions {limit}"
            )
        return indices

    def max_positions(self) -> None:
        """Return None, for no limit: ``prepare`` has cut the rows."""
        return

    def post_validate(self, model, stats: dict, agg) -> None:
        """Drop the gathered results, which fairseq would write into every checkpoint."""
        super().post_validate(model, stats, agg)  # type: ignore[misc]  # compat/speeds.py
        metrics.reset_meter("valid", self.meter)

    def log_scores(self, split: str, results: Tensor, expected: int, more: tuple[str, ...] = ()) -> None:
        """Log the task's metrics once the results of all batches are gathered.

        Args:
            split: name of the split.
            results: results of this batch, in any order. Shape: (n, columns).
            expected: number of results in the end; until then the metrics are NaN, as fairseq reads them
                after every batch.
            more: metrics of this split beside those of the task.
        """
        metrics.log_concat_tensor(self.meter, results)
        self._scores.pop(split, None)
        for name in (*self.info.metrics, *more):
            metrics.log_derived(name, partial(self._score, split, expected, name))

    def _score(self, split: str, expected: int, name: str, meters: dict) -> float:
        gathered = meters[self.meter].tensor
        if gathered is None or len(gathered) < expected:
            return math.nan
        if split not in self._scores:  # computed once for all metrics
            self._scores[split] = self.score(self.datasets[split].rows, gathered.double().numpy())
        score = self._scores[split][name]
        return score if name.endswith("threshold") else round(score, 2)  # a threshold is given to predict

    def warn_if_all_predictions_are_equal(
        self, predictions: np.ndarray, name: Callable[[list[float]], str], examples: str
    ) -> None:
        """Warn of a model that predicts the same for all examples.

        Args:
            predictions: numbers of tags, (n,), or character ranges, (n, 2).
            name: describes a prediction in words.
            examples: name of the examples, in the plural.
        """
        same = shared_prediction(predictions)
        if same is not None and get_global_rank() == 0:
            logger.warning(
                constant_warning(name(same), len(predictions), f"{examples} of this validation set")
            )

    @abstractmethod
    def score(self, rows: TaskRows, gathered: np.ndarray) -> dict[str, float]:
        """Compute the metrics of a split from the gathered results."""

    @property
    def source_dictionary(self):
        """The dictionary of the text."""
        return self.dictionary

    @property
    def target_dictionary(self) -> None:
        """None: labels have no dictionary."""
        return
