"""The vocabulary is copied into the folder of the checkpoints.

A checkpoint that checkpoint_utils.py::save_checkpoint writes cannot be used alone: the files that turn text
into its token ids are in the data folder. Here they are copied into --save-dir, with the labels of a
fine-tuning task.
"""

import filecmp
import functools
import shutil
from pathlib import Path

from fairseq_electra.compat.atomic_saves import written_atomically
from fairseq_electra.finetuning.info import TASK_FILE
from fairseq_electra.pretraining.languages import vocabulary_folder
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, TOKENIZER_FILE

# for each file its path in the data folder, and its path in the folder of the checkpoints
COPIED = {name: name for name in (DICTIONARY_FILE, TOKENIZER_FILE, TASK_FILE, f"label/{DICTIONARY_FILE}")}
COPIED |= {f"input0/{name}": name for name in (DICTIONARY_FILE, TOKENIZER_FILE)}


def copy_vocabulary_beside_checkpoints() -> None:
    """Change checkpoint_utils.py::save_checkpoint."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.save_checkpoint

    @functools.wraps(plain)
    def save_checkpoint(cfg, trainer, *args, **kwargs):
        task = trainer.cfg.task
        data = vocabulary_folder(str(getattr(task, "data", "")), getattr(task, "languages", None))
        if not cfg.no_save and trainer.is_data_parallel_master and Path(cfg.save_dir).is_dir():
            _copy_changed_files(data, Path(cfg.save_dir))
        return plain(cfg, trainer, *args, **kwargs)

    checkpoint_utils.save_checkpoint = save_checkpoint


def _copy_changed_files(data: Path, save_dir: Path) -> None:
    for path, name in COPIED.items():
        source, copy = data / path, save_dir / name
        if source.is_file() and not (copy.is_file() and filecmp.cmp(source, copy, shallow=False)):
            copy.parent.mkdir(exist_ok=True)
            with written_atomically(str(copy)) as partial:
                shutil.copyfile(source, partial)
