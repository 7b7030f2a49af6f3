"""The rows of an update whose loss is not finite are written to a file.

trainer.py::Trainer.train_step, ``raise FloatingPointError("gradients are Nan/Inf")``, does not say which data
the update was computed from. Here their row numbers, those of all processes, are written to
nonfinite_rows.json in the folder of the checkpoints.
"""

import functools
import json
import logging
from pathlib import Path

from fairseq_electra.files.text import atomic_write

logger = logging.getLogger(__name__)
# start of those errors of fairseq that every process raises in the same update; the second is that of several
# GPUs
RAISED_BY_ALL = ("gradients are Nan/Inf", "Fatal error: gradients are inconsistent between workers")


def write_rows_of_nonfinite_losses() -> None:
    """Change trainer.py::Trainer.train_step."""
    from fairseq.trainer import Trainer

    plain = Trainer.train_step

    @functools.wraps(plain)
    def train_step(self, samples, raise_oom=False):
        try:
            return plain(self, samples, raise_oom)
        except FloatingPointError as error:
            rows = [int(row) for sample in samples if sample and "id" in sample for row in sample["id"]]
            # an error in the sum of all gradients is raised by every process; other errors by one process
            # alone
            raised_by_all = self.data_parallel_world_size > 1 and str(error).startswith(RAISED_BY_ALL)
            rows = rows_of_all(self, rows) if raised_by_all else rows
            if not raised_by_all or self.is_data_parallel_master:
                _write_rows(self, rows)
            raise

    Trainer.train_step = train_step


def rows_of_all(trainer, rows: list[int]) -> list[int]:
    """Gather the row numbers of all processes, in the order of the processes; all of them must call this."""
    from fairseq.distributed import utils

    return [row for rows in utils.all_gather_list(rows, trainer.data_parallel_process_group) for row in rows]


def _write_rows(trainer, rows: list[int]) -> None:
    report = {"update": trainer.get_num_updates(), "epoch": _epoch(trainer), "rows": rows}
    path = Path(trainer.cfg.checkpoint.save_dir) / "nonfinite_rows.json"
    with atomic_write(path) as stream:
        stream.write(json.dumps(report) + "\n")
    logger.error(
        f"loss or gradient is not finite at update {report['update']}; the {len(rows)} rows are written to"
        f" {path}"
    )


def _epoch(trainer) -> int | None:
    dataset = trainer.task.datasets.get(trainer.cfg.dataset.train_subset)
    epoch = getattr(dataset, "_epoch", None)
    return None if epoch is None else int(epoch)
