"""A run resumes only from checkpoints of its own task and its own training data.

trainer.py::Trainer.load_checkpoint identifies a run by the names of criterion and optimizer alone. If they
differ, fairseq advises --reset-optimizer, with which the new run would overwrite the checkpoints of the old
one. If they do not, a run on other data resumes as if it were the old one. Here both are refused with a
sentence.
"""

import functools
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from fairseq_electra.compat.replacing import replaced
from fairseq_electra.compat.task_state import extend_checkpoints
from fairseq_electra.electra.configuration import function_of, objective_of
from fairseq_electra.electra.sizes import EncoderSizes, option
from fairseq_electra.electra.state import check_trained, drawn_in
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.dictionary import dictionary_digest, read_vocabulary
from fairseq_electra.pretraining.fixed_corruption import BY_GENERATOR
from fairseq_electra.pretraining.languages import language_folders, vocabulary_folder
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE

logger = logging.getLogger(__name__)
KEY = "training_data"  # in a checkpoint's extra_state: a digest of each data folder
PART_SIZE = 1 << 16  # bytes
NUM_PARTS = 16  # parts of a long file that are read
COMPONENTS = ("task", "criterion", "optimizer")


def refuse_other_runs() -> None:
    """Change trainer.py::Trainer.state_dict and load_checkpoint."""
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    def write(trainer, state: dict) -> None:
        state["extra_state"][KEY] = data_of(trainer)

    extend_checkpoints(write)
    plain = Trainer.load_checkpoint

    @functools.wraps(plain)
    def load_checkpoint(self, filename, reset_optimizer=False, *args, **kwargs):
        read = checkpoint_utils.load_checkpoint_to_cpu

        def read_and_check(path, *args, **kwargs):
            state = read(path, *args, **kwargs)
            if reset_optimizer:  # only the weights are loaded, as for --finetune-from-model
                check_weights(self.cfg, state, path)
            else:
                check(self.cfg, data_of(self), state, path)
            check_frozen_generator(self.cfg, self.get_model(), state, path)
            return state

        with replaced(checkpoint_utils, "load_checkpoint_to_cpu", read_and_check):
            return plain(self, filename, reset_optimizer, *args, **kwargs)

    Trainer.load_checkpoint = load_checkpoint


def data_of(trainer) -> list[str]:
    """Return :func:`training_data` of a run, as it was at the first call."""
    if not hasattr(trainer, "_training_data"):
        trainer._training_data = training_data(trainer.cfg)
    return trainer._training_data


def validation_data_of(trainer) -> str:
    """Return the :func:`digest` of the text that the best checkpoint is chosen on.

    It is the first split of ``--valid-subset`` in the first data folder. A generator's corruption belongs to
    it where the metric is of that.
    """
    if not hasattr(trainer, "_validation_data"):
        cfg = trainer.cfg
        first = Path((getattr(cfg.task, "data", None) or "").split(":")[0])
        split = first / cfg.dataset.valid_subset.split(",")[0]  # of a language: in a folder of its own
        is_needed = str(cfg.checkpoint.best_checkpoint_metric).startswith(BY_GENERATOR)
        trainer._validation_data = digest(split.parent, split.name, () if is_needed else (".npz",))
    return trainer._validation_data


def check(cfg, data: list[str], state: dict, path: str) -> None:
    """Refuse a checkpoint that a run cannot resume from.

    Args:
        cfg: Configuration of this run.
        data: Its :func:`training_data`.
        state: The checkpoint.
        path: The path of the checkpoint.

    Raises:
        InputError: The checkpoint is of another task, criterion or optimizer; or it is in this run's own
            folder, and of other data or another model, or without a state of the optimizer.
    """
    is_own = _is_own(cfg, path)
    for component in COMPONENTS:
        before, now = _name(state.get("cfg"), component), _name(cfg, component)
        if before and now and before != now:
            remedy = f"give another --save-dir, and --finetune-from-model {path} to start from its weights"
            if not is_own:
                remedy = f"give --finetune-from-model {path}, which loads only its weights"
            elif component == "optimizer":
                remedy = f"give --optimizer {before} to resume, or another --save-dir to start from scratch"
            raise InputError(
                f"{path} is of a run with --{component} {before}, and this one has {now}: {remedy}"
            )
    before, now = _objective(state.get("cfg")), _objective(cfg)
    if before and now and before != now:
        raise InputError(
            f"{path} is of a run with --objective {before}, and this one has {now}: give another --save-dir"
        )
    if is_own and state.get("optimizer_history") and state.get("last_optimizer_state") is None:
        raise InputError(
            f"{path} has no state of the optimizer, as averages and what --no-save-optimizer-state leaves:"
            f" nothing resumes from it; give another --save-dir, and --finetune-from-model {path}"
        )
    for name, before, now in other_function(cfg, state) if is_own else ():
        raise InputError(
            f"{path} is of a run with {option(name)} {before}, and this one has {now}: give"
            f" {option(name)} {before} to resume, or another --save-dir"
        )
    if not is_own:
        warn_of_other_function(cfg, state, path)
    before = state["extra_state"].get(KEY)
    if is_own and before and data and not set(before) & set(data) and not cfg.checkpoint.reset_dataloader:
        if has_other_vocabulary(cfg.task.data, state.get("model") or {}, _languages(cfg)):
            raise InputError(
                f"{path} is of a run with another vocabulary than {cfg.task.data}: encode the data with the"
                f" vocabulary in {Path(path).parent} to resume, or give another --save-dir to start from"
                " scratch"
            )
        raise InputError(
            f"{path} is of a run on other data than {cfg.task.data}: give another --save-dir, with "
            f"--finetune-from-model {path} to start from its weights, or with --continue-once {path} to "
            "continue with "
            "its optimizer and schedule as well"
        )


def check_weights(cfg, state: dict, path: str) -> None:
    """Refuse weights that are not meant: a generator that an import has drawn at random, or a second start.

    Args:
        cfg, state, path: As of :func:`check`.
    """
    if str(_model(cfg).get("network")) == "generator":
        check_trained(drawn_in(state), "generator", path)
        return
    if _model(cfg).get("discriminator_from_generator") and not _is_own(cfg, path):
        raise InputError(
            f"--discriminator-from-generator starts the discriminator from the generator, and {path} has"
            " another one: leave out one of the two"
        )
    warn_of_other_function(cfg, state, path)


def other_function(cfg, state: dict) -> list[tuple[str, Any, Any]]:
    """Return the options by which a run computes something else from a checkpoint's weights.

    Args:
        cfg, state: As of :func:`check`.

    Returns:
        The name of each option, its value in the checkpoint, and that of this run.
    """
    saved, ours = (_function(each) for each in (state.get("cfg"), cfg))
    return [
        (name, saved[name], ours[name])
        for name in sorted(saved)
        if ours.get(name, saved[name]) != saved[name]
    ]


def warn_of_other_function(cfg, state: dict, path: str) -> None:
    """Warn of weights that a run with other options starts from; arguments as of :func:`check`.

    What changes a shape is refused elsewhere, and the base of rotary angles is changed to read longer rows.
    """
    shared = {*EncoderSizes.__dataclass_fields__, "generator_num_attention_heads"} - {"rotary_base"}
    for name, before, now in other_function(cfg, state):
        if name in shared:
            logger.warning(
                f"{path} was trained with {option(name)} {before}, and this run has {now}: it computes"
                " something else from the weights"
            )


def check_frozen_generator(cfg, model: Any, state: dict, path: str) -> None:
    """Refuse a checkpoint that would replace the generator of ``--generator-from`` by another one.

    Args:
        cfg, state, path: As of :func:`check`.
        model: The model of this run, which has that generator.

    Raises:
        InputError: The checkpoint has another generator.
    """
    source, tensors = _model(cfg).get("generator_from"), state.get("model") or {}
    if _is_own(cfg, path) and source == _model(state.get("cfg")).get("generator_from"):
        return  # the run keeps its generator, whatever has become of that file
    if not source or not Path(source).is_file():
        return
    ours = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("generator")}
    if any(
        name in tensors and not torch.equal(tensors[name].to(tensor.dtype), tensor.cpu())
        for name, tensor in ours.items()
        if tensor.is_floating_point() and tensors.get(name, tensor).shape == tensor.shape
    ):
        raise InputError(
            f"{path} has another generator than --generator-from {source}: give --generator-from {path} to"
            " keep its own"
        )


def has_other_vocabulary(data: str, state: dict, languages: str | None = None) -> bool:
    """Tell whether a data folder's vocabulary differs from a checkpoint's; False if either is unknown."""
    first = vocabulary_folder(data, languages)
    folder = next((place for place in (first, first / "input0") if (place / DICTIONARY_FILE).is_file()), None)
    version = state.get("dictionary_version")
    if folder is None or version is None:
        return False
    return bytes(version.tolist()) != dictionary_digest(read_vocabulary(folder))


def _is_own(cfg, path: str) -> bool:
    """Tell whether a checkpoint lies in the run's own folder."""
    return Path(path).resolve().parent == Path(cfg.checkpoint.save_dir).resolve()


def _name(cfg, component: str) -> str | None:
    """Return the name of a component; None if the configuration, perhaps of another fairseq, has none."""
    return getattr(getattr(cfg, component, None), "_name", None)


def _objective(cfg) -> str | None:
    """Return the objective of a pre-training; None for other runs."""
    model = _model(cfg)
    return objective_of(model) if "generator_layers" in model else None


def _model(cfg) -> Any:
    """Return the options of the model; empty if the configuration, perhaps of another fairseq, has none."""
    model = getattr(cfg, "model", None)
    return model if isinstance(model, Mapping | DictConfig) else {}


def _function(cfg) -> dict[str, Any]:
    """Return what decides what the model of a run computes; empty for models that are not ours."""
    if _model(cfg).get("model_size") is None:
        return {}
    from fairseq_electra.models._config import with_defaults
    from fairseq_electra.models.electra import ElectraConfig
    from fairseq_electra.models.electra_encoder import ElectraEncoderConfig

    if _objective(cfg) is not None:
        return function_of(with_defaults(cfg.model, ElectraConfig))
    options = with_defaults(cfg.model, ElectraEncoderConfig)
    return {**function_of(options), "pooling": str(options.pooling)}


def training_data(cfg) -> list[str]:
    """Return what identifies a run's training data: a digest of each data folder; empty if there is none."""
    return digests(getattr(cfg.task, "data", None), cfg.dataset.train_subset, _languages(cfg))


def _languages(cfg) -> str | None:
    """Return ``--languages`` of a run; None if its task has none."""
    return getattr(cfg.task, "languages", None)


def digests(data: str | None, splits: str, languages: str | None = None) -> list[str]:
    """Return the :func:`digest` of the first split in each data folder that has it.

    Args:
        data: The folders, separated by colons.
        splits: Names of splits, separated by commas.
        languages: Names of folders in the data folder, separated by commas; if given, these are digested.
    """
    folders = language_folders(data or "", languages)
    return list(filter(None, (digest(folder, splits.split(",")[0]) for folder in folders)))


def digest(folder: Path, split: str, without: Sequence[str] = ()) -> str:
    """Return a digest of the files of a split: of their names, sizes and content.

    Of a long file some parts are read.

    Args:
        folder: A folder of binarized text, or of a prepared task.
        split: Start of the files' names, up to the first dot.
        without: Endings of files that are left out.

    Returns:
        SHA-256 in hexadecimal; empty if there are no files.
    """
    patterns = (f"{split}.*", f"*/{split}.*")
    found = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    paths = sorted(path for path in found if path.suffix not in without)
    sha256 = hashlib.sha256()
    for path in paths:
        sha256.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        for part in _parts(path):
            sha256.update(part)
    return sha256.hexdigest() if paths else ""


def _parts(path: Path) -> list[bytes]:
    size = path.stat().st_size
    if size <= PART_SIZE * NUM_PARTS:
        return [path.read_bytes()]
    with open(path, "rb") as stream:
        return [_part(stream, (size - PART_SIZE) * number // (NUM_PARTS - 1)) for number in range(NUM_PARTS)]


def _part(stream, start: int) -> bytes:
    stream.seek(start)
    return stream.read(PART_SIZE)
