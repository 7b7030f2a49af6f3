"""What the tasks that read a folder of ``fairseq-electra prepare`` have in common."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq import models
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask
from omegaconf import II, MISSING

from fairseq_electra.data.binarized import load_dictionary
from fairseq_electra.data.task_info import TaskInfo, read_task_info
from fairseq_electra.errors import InputError


@dataclass
class PreparedFolderConfig(FairseqDataclass):
    """Options of these tasks."""

    data: str = field(default=MISSING, metadata={"help": "folder written by: fairseq-electra prepare"})
    classification_head_name: str = field(default="head", metadata={"help": "name of the head"})
    seed: int = II("common.seed")
    train_subset: str = II("dataset.train_subset")


class PreparedFolderTask(FairseqTask):
    """A task of one kind; its subclass has the head and the rows.

    Args:
        cfg: its options.
        dictionary: fairseq's.
        info: of the folder.
    """

    kind = ""

    def __init__(self, cfg: PreparedFolderConfig, dictionary, info: TaskInfo):
        super().__init__(cfg)
        self.dictionary, self.info = dictionary, info

    @classmethod
    def setup_task(cls, cfg: PreparedFolderConfig, **kwargs: Any) -> "PreparedFolderTask":
        """Read what the folder is, and its dictionary."""
        info = read_task_info(cfg.data)
        if info.kind != cls.kind:
            raise InputError(f"{cfg.data} was prepared for --task {info.kind}, not {cls.kind}")
        return cls(cfg, load_dictionary(Path(cfg.data) / "input0"), info)

    def build_model(self, cfg, from_checkpoint: bool = False):
        """Build the model and its head."""
        if getattr(cfg, "_name", None) != "electra_encoder":
            raise InputError(f"--task {self.kind} needs --arch electra_encoder")
        model = models.build_model(cfg, self, from_checkpoint)
        model.register_head(self.cfg.classification_head_name, self.build_head(model))
        return model

    def build_head(self, model):
        """Make the head: a module of its own for each task."""
        raise NotImplementedError

    def check_split(self, split: str) -> None:
        """Refuse a split that is not there."""
        if split not in self.info.examples:
            raise InputError(f"{self.cfg.data} has no {split}, it has {', '.join(self.info.examples)}; name one of these")

    def get_batch_iterator(self, *args: Any, **kwargs: Any):
        """Leave out no row; arguments and result as FairseqTask's."""
        kwargs["required_batch_size_multiple"] = 1
        return super().get_batch_iterator(*args, **kwargs)

    def max_positions(self) -> None:
        """No limit: rows were made to fit."""
        return

    @property
    def source_dictionary(self):
        """The dictionary."""
        return self.dictionary

    @property
    def target_dictionary(self) -> None:
        """There is none."""
        return
