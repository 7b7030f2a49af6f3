"""Metrics are kept without waiting for the device in every update, and are saved as plain numbers."""

import functools
from collections import UserDict

from torch import Tensor

from fairseq_electra.compat.replacing import replaced
from fairseq_electra.compat.task_state import extend_checkpoints
from fairseq_electra.pretraining.meters import SumsOnDevice


def register_meter() -> None:
    """Let checkpoints with the meter of this package be resumed.

    logging/meters.py::MetersDict.load_state_dict, ``globals()[meter_cls]()``, finds only meters that are
    defined in that module. Here ours is added to the module.
    """
    from fairseq.logging import meters

    meters.SumsOnDevice = SumsOnDevice


class LazyStats(UserDict):
    """The result of ``MetersDict.get_smoothed_values``, each value computed when it is looked up."""

    def __init__(self, meters) -> None:
        names = (name for name in meters if not name.startswith("_"))
        super().__init__({name: functools.partial(meters.get_smoothed_value, name) for name in names})

    def __getitem__(self, name: str):
        value = self.data[name]
        return value() if isinstance(value, functools.partial) else value


def compute_stats_lazily() -> None:
    """Compute the figures of an update only when they are looked up.

    trainer.py::Trainer._reduce_and_log_stats, ``logging_output = agg.get_smoothed_values()``, computes all
    figures of every update. That waits for the device, and fairseq-train uses none of them.
    """
    from fairseq.logging.meters import MetersDict
    from fairseq.trainer import Trainer

    plain = Trainer._reduce_and_log_stats

    @functools.wraps(plain)
    def _reduce_and_log_stats(self, *args, **kwargs):
        with replaced(MetersDict, "get_smoothed_values", lambda meters: LazyStats(meters)):
            return plain(self, *args, **kwargs)

    Trainer._reduce_and_log_stats = _reduce_and_log_stats


def save_metrics_as_numbers() -> None:
    """Save metrics as plain numbers.

    trainer.py::Trainer.state_dict, ``"metrics": metrics.state_dict()``, puts a tensor into the checkpoint
    where a metric was logged as one.
    """

    def write(trainer, state: dict) -> None:
        for meters in state["extra_state"]["metrics"].values():
            for _, _, _, meter in meters:
                tensors = {k: v for k, v in meter.items() if isinstance(v, Tensor) and v.dim() == 0}
                meter.update({name: value.item() for name, value in tensors.items()})

    extend_checkpoints(write)
