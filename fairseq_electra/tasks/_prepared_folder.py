"""What the tasks that read a folder of ``fairseq-electra prepare`` have in common."""

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

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.kind import TaskInfo, read_task_info
from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.finetuning.sameness import all_the_same, sentence
from fairseq_electra.pretraining.binarized import load_dictionary, unknown_in_folder

logger = logging.getLogger(__name__)


@dataclass
class PreparedFolderConfig(FairseqDataclass):
    """Options of these tasks."""

    data: str = field(default=MISSING, metadata={"help": "folder written by: fairseq-electra prepare"})
    classification_head_name: str = field(default="head", metadata={"help": "name of the head"})
    seed: int = II("common.seed")
    max_valid_steps: Optional[int] = II("dataset.max_valid_steps")
    train_subset: str = II("dataset.train_subset")


class PreparedFolderTask(FairseqTask, ABC):
    """A task of one kind; its subclass has the head and the rows.

    Args:
        cfg: its options.
        dictionary: fairseq's.
        info: of the folder.
    """

    kind = ""
    meter = ""  # of what validation gathers

    def __init__(self, cfg: PreparedFolderConfig, dictionary, info: TaskInfo):
        super().__init__(cfg)
        self.dictionary, self.info = dictionary, info
        self._scored: tuple[Tensor | None, dict[str, float]] = (None, {})

    @classmethod
    def setup_task(cls, cfg: PreparedFolderConfig, **kwargs: Any) -> "PreparedFolderTask":
        """Read what the folder is, and its dictionary.

        Raises:
            InputError: it was prepared for another task, or only a part of valid shall be scored.
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
            InputError: it is not ``electra_encoder``.
        """
        if getattr(cfg, "_name", None) != "electra_encoder":
            raise InputError(f"--task {self.kind} needs --arch electra_encoder")
        model = models.build_model(cfg, self, from_checkpoint)
        model.register_head(self.cfg.classification_head_name, self.build_head(model))
        return model

    def build_criterion(self, cfg, *args: Any, **kwargs: Any):
        """Build the criterion, which must be the task's; arguments and result as FairseqTask's."""
        if getattr(cfg, "_name", None) != self.kind:
            raise InputError(f"--task {self.kind} needs --criterion {self.kind}")
        return super().build_criterion(cfg, *args, **kwargs)

    def logged_metrics(self, model, splits: list[str]) -> tuple[str, ...]:
        """Name the metrics that the validation of a model logs on each of these splits."""
        return ("loss", *self.info.metrics)

    @abstractmethod
    def build_head(self, model) -> nn.Module:
        """Make the head: a module of its own for each task."""

    def check_split(self, split: str) -> None:
        """Refuse a split that is not there, or has no labels to train on and to score with."""
        if split not in self.info.examples:
            raise InputError(
                f"{self.cfg.data} has no {split}, it has {', '.join(self.info.examples)}; name one of these"
            )
        if split in self.info.unlabelled:
            raise InputError(
                f"{split} of {self.cfg.data} has no labels; apply the net to its file with fairseq-electra predict"
            )

    def warn_of_unknown_text(self, split: str) -> None:
        """Warn of a training text of which the vocabulary does not know much."""
        unknown = (
            unknown_in_folder(self.cfg.data, split, len(self.dictionary))
            if split == self.cfg.train_subset
            else ""
        )
        if unknown and get_global_rank() == 0:
            logger.warning(unknown)

    def filter_indices_by_size(self, indices, dataset, max_positions=None, ignore_invalid_inputs=False):
        """Refuse rows that the model or ``--max-tokens`` has no room for, which fairseq would leave out of train."""
        limit = max_positions if isinstance(max_positions, int) else min(max_positions or (1 << 30,))
        longest = int(dataset.sizes.max())
        if longest > limit:
            raise InputError(
                f"{self.cfg.data} has rows of {longest} tokens, and there is room for {limit} (the network's positions, or --max-tokens); "
                f"prepare it again with --max-positions {limit}"
            )
        return indices

    def max_positions(self) -> None:
        """No limit: rows were made to fit."""
        return

    def post_validate(self, model, stats: dict, agg) -> None:
        """Forget what was gathered, which fairseq would keep and write into every checkpoint."""
        super().post_validate(model, stats, agg)  # type: ignore[misc]  # compat/speeds.py
        metrics.reset_meter("valid", self.meter)

    def log_scores(self, rows: TaskRows, found: Tensor, expected: int, more: tuple[str, ...] = ()) -> None:
        """Log the task's metrics once all is gathered.

        Args:
            rows: of the split.
            found: what this batch adds, in any order. Shape: (n, columns).
            expected: how many there are in the end; fairseq asks for the metrics after every batch as well, and gets NaN.
            more: metrics of this split beside those of the task.
        """
        metrics.log_concat_tensor(self.meter, found)
        for name in (*self.info.metrics, *more):
            metrics.log_derived(name, partial(self._score, rows, expected, name))

    def _score(self, rows: TaskRows, expected: int, name: str, meters: dict) -> float:
        gathered = meters[self.meter].tensor
        if gathered is None or len(gathered) < expected:
            return math.nan
        if self._scored[0] is not gathered:  # once for all metrics
            self._scored = (gathered, self.score(rows, gathered.double().numpy()))
        score = self._scored[1][name]
        return score if name.endswith("threshold") else round(score, 2)  # a threshold is given to predict

    def say_when_all_is_the_same(
        self, said: np.ndarray, name: Callable[[list[float]], str], examples: str
    ) -> None:
        """Warn of a net that says the same of everything.

        Args:
            said: numbers of tags, (n,), or places, (n, 2).
            name: puts one of them into words.
            examples: what they are said of, in the plural.
        """
        same = all_the_same(said)
        if same is not None and get_global_rank() == 0:
            logger.warning(sentence(name(same), len(said), f"{examples} of this validation set"))

    @abstractmethod
    def score(self, rows: TaskRows, gathered: np.ndarray) -> dict[str, float]:
        """Score a split by what was gathered."""

    @property
    def source_dictionary(self):
        """The dictionary."""
        return self.dictionary

    @property
    def target_dictionary(self) -> None:
        """There is none."""
        return
