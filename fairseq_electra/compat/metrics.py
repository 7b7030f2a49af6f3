"""Changes to fairseq's bookkeeping of metrics, which would let the host wait for the device in every update."""

from collections import UserDict
from functools import partial, wraps

from fairseq_electra.pretraining.meters import SumsOnDevice


def know_our_meter() -> None:
    """logging/meters.py::MetersDict.load_state_dict, ``globals()[meter_cls]()``: knows fairseq's own meters only.

    So a checkpoint with another one could not be resumed.
    """
    from fairseq.logging import meters

    meters.SumsOnDevice = SumsOnDevice


class StatsWhenAsked(UserDict):
    """What ``MetersDict.get_smoothed_values`` gives, each value computed at the moment when it is looked up."""

    def __init__(self, meters) -> None:
        super().__init__({name: partial(meters.get_smoothed_value, name) for name in meters if not name.startswith("_")})

    def __getitem__(self, name: str):
        value = self.data[name]
        return value() if isinstance(value, partial) else value


def read_stats_when_asked() -> None:
    """trainer.py::Trainer._reduce_and_log_stats, ``logging_output = agg.get_smoothed_values()``: reads every update's own figures.

    That waits for the device, and fairseq-train looks at none of them.
    """
    from fairseq.logging.meters import MetersDict
    from fairseq.trainer import Trainer

    plain = Trainer._reduce_and_log_stats
    if getattr(plain, "reads_when_asked", False):
        return

    @wraps(plain)  # with the marks of other changes
    def _reduce_and_log_stats(self, *args, **kwargs):
        read = MetersDict.get_smoothed_values
        MetersDict.get_smoothed_values = lambda meters: StatsWhenAsked(meters)
        try:
            return plain(self, *args, **kwargs)
        finally:
            MetersDict.get_smoothed_values = read

    _reduce_and_log_stats.reads_when_asked = True  # type: ignore[attr-defined]
    Trainer._reduce_and_log_stats = _reduce_and_log_stats
