"""A change to fairseq's way of going on: the checkpoints of a folder are those of this run, not of another task or another text."""

import functools
import hashlib
import os
from pathlib import Path

from fairseq_electra.compat.task_state import extend_checkpoints
from fairseq_electra.errors import InputError

KEY = "training_data"  # in a checkpoint's extra_state: the digest of each folder of data
PART = 1 << 16  # bytes
PARTS = 16  # of a long file that are read
COMPONENTS = ("task", "criterion", "optimizer")


def refuse_other_runs() -> None:
    """trainer.py::Trainer.load_checkpoint: knows a run by the names of criterion and optimizer alone.

    If these differ it advises --reset-optimizer, with which the new run would write over the old one's checkpoints. If they do not, a
    run on other data goes on as if it were the old one.
    """
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    def put(trainer, state: dict) -> None:
        state["extra_state"][KEY] = data_of(trainer)

    extend_checkpoints("notes_training_data", put, lambda *_: None)
    plain = Trainer.load_checkpoint

    @functools.wraps(plain)
    def load_checkpoint(self, filename, reset_optimizer=False, *args, **kwargs):
        if reset_optimizer:  # nothing but weights is taken, as for --finetune-from-model
            return plain(self, filename, reset_optimizer, *args, **kwargs)
        read = checkpoint_utils.load_checkpoint_to_cpu

        def checked(path, *args, **kwargs):
            state = read(path, *args, **kwargs)
            check(self.cfg, data_of(self), state, path)
            return state

        checkpoint_utils.load_checkpoint_to_cpu = checked
        try:
            return plain(self, filename, reset_optimizer, *args, **kwargs)
        finally:
            checkpoint_utils.load_checkpoint_to_cpu = read

    Trainer.load_checkpoint = load_checkpoint


def data_of(trainer) -> list[str]:
    """Return :func:`training_data` of a run, as it was when this was first asked."""
    if not hasattr(trainer, "_training_data"):
        trainer._training_data = training_data(trainer.cfg)
    return trainer._training_data


def check(cfg, data: list[str], state: dict, path: str) -> None:
    """Refuse a checkpoint that a run cannot go on from.

    Args:
        cfg: of this run.
        data: its :func:`training_data`.
        state: of the checkpoint.
        path: where it lies.

    Raises:
        InputError: another task, criterion or optimizer has saved it. Or it lies in this run's own folder, and is of other data.
    """
    is_own = Path(path).resolve().parent == Path(cfg.checkpoint.save_dir).resolve()
    for component in COMPONENTS:
        before, now = _name(state.get("cfg"), component), _name(cfg, component)
        if before and now and before != now:
            remedy = f"give another --save-dir, and --finetune-from-model {path} to start from its weights"
            if not is_own:
                remedy = f"give --finetune-from-model {path}, which takes its weights alone"
            elif component == "optimizer":
                remedy = f"give --optimizer {before} to go on, or another --save-dir to begin anew"
            raise InputError(f"{path} is of a run with --{component} {before}, and this one has {now}: {remedy}")
    before = state["extra_state"].get(KEY)
    if is_own and before and data and not set(before) & set(data) and not cfg.checkpoint.reset_dataloader:
        raise InputError(
            f"{path} is of a run on other data than {cfg.task.data}: give another --save-dir, with --finetune-from-model {path} to start "
            f"from its weights, or with --continue-once {path} to go on with its optimizer and schedule as well"
        )


def _name(cfg, component: str) -> str | None:
    """Return the name of a component; None if the configuration, perhaps of another fairseq, does not tell."""
    return getattr(getattr(cfg, component, None), "_name", None)


def training_data(cfg) -> list[str]:
    """Return what tells a run's training data from others, wherever they lie: a digest for each folder of them; empty if unknown."""
    return digests(getattr(cfg.task, "data", None), cfg.dataset.train_subset)


def digests(data: str | None, splits: str) -> list[str]:
    """Return the :func:`digest` of the first of these splits in each folder of data that has it; folders stand between colons."""
    folders = [Path(folder) for folder in (data or "").split(os.pathsep) if folder]
    return [found for folder in folders if (found := digest(folder, splits.split(",")[0]))]


def digest(folder: Path, split: str) -> str:
    """Return a digest of the files of a split: of short ones all, of long ones their length and some parts.

    Args:
        folder: of binarized text, or of a prepared task.
        split: what their names begin with, before the first point.

    Returns:
        SHA-256 in hexadecimal; empty if there are none.
    """
    found = sorted(path for pattern in (f"{split}.*", f"*/{split}.*") for path in folder.glob(pattern) if path.is_file())
    whole = hashlib.sha256()
    for path in found:
        whole.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        for part in _parts(path):
            whole.update(part)
    return whole.hexdigest() if found else ""


def _parts(path: Path) -> list[bytes]:
    size = path.stat().st_size
    if size <= PART * PARTS:
        return [path.read_bytes()]
    with open(path, "rb") as stream:
        return [_part(stream, (size - PART) * number // (PARTS - 1)) for number in range(PARTS)]


def _part(stream, start: int) -> bytes:
    stream.seek(start)
    return stream.read(PART)
