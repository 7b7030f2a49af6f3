"""A network with its vocabulary, out of a fairseq checkpoint or on its way into one."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from tokenizers import Tokenizer

from fairseq_electra.checkpoints import checkpoint_in
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TASK_FILE, TaskInfo, read_task_info
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.models._config import with_defaults
from fairseq_electra.models.electra import ElectraConfig, ElectraModel
from fairseq_electra.models.electra_encoder import HEADS, ElectraEncoder, ElectraEncoderConfig
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, TOKENIZER_FILE, load_wordpiece, symbols_of

INITIALISED = "initialised"  # in a checkpoint's extra_state


@dataclass
class Pretrained:
    """A network in evaluation mode, and what it reads with.

    Args:
        model: for pre-training, or an encoder with heads.
        tokenizer: with the ids of the dictionary.
        dictionary: fairseq's.
        cfg: the run's configuration, if there was a run.
        updates: of the run.
        task: what an encoder was fine-tuned for, where known.
        labels: of each head, in the order of its scores, where known.
        initialised: tensors that were not found, in the folder of transformers that the net comes from, and are random.
        cut_to: of a folder of transformers, tokens that its tokenizer cuts text to.
        settings: of a folder of transformers, options of the fine-tuning that :data:`names.SETTINGS` keeps there.
        threshold: above it a question has no answer, as the validation of these weights has chosen it, if there was one.
    """

    model: ElectraModel | ElectraEncoder
    tokenizer: Tokenizer
    dictionary: Any
    cfg: DictConfig | None = None
    updates: int = 0
    task: TaskInfo | None = None
    labels: dict[str, list[str]] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)
    cut_to: int | None = None
    settings: dict[str, int] = field(default_factory=dict)
    threshold: float | None = None

    @property
    def longest(self) -> int:
        """Tokens of the longest row of the training, where known; never more than there are learned positions for."""
        known = [self.cut_to, self.task.max_positions if self.task is not None else None]
        if self.cfg is not None:
            of_pretraining = isinstance(self.model, ElectraModel)
            known.append(self.options.get("tokens_per_sample" if of_pretraining else "max_positions"))
        sizes = self.model.sizes
        limits = [int(length) for length in known if length]
        if not limits or sizes.positions == "learned":
            limits.append(sizes.max_position_embeddings)
        return min(limits)

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the task that the net was trained on, as far as they are known."""
        return self.settings if self.cfg is None else self.cfg.task

    @property
    def kind(self) -> str:
        """What the heads are for, by the name of the task: one of :data:`fairseq_electra.finetuning.kinds.KINDS`."""
        if self.cfg is not None:
            name = self.cfg.task.get("_name")
            return name if name in KINDS else PREDICTION
        return self.task.kind if self.task is not None else PREDICTION


def load_checkpoint(path: str | Path, vocabulary: str | Path | None = None) -> Pretrained:
    """Load what fairseq-train saved; the data it was trained on is not needed.

    Args:
        path: of the checkpoint, or of a folder of them (:func:`fairseq_electra.checkpoints.checkpoint_in`).
        vocabulary: folder with ``dict.txt`` and ``tokenizer.json``; by default the checkpoint's, or that of its data.

    Raises:
        InputError: it is no checkpoint of ours, or the vocabulary is missing or another one.
    """
    from fairseq import checkpoint_utils

    path = checkpoint_in(path)
    state = checkpoint_utils.load_checkpoint_to_cpu(str(path))
    cfg = state.get("cfg")
    name = cfg.model.get("_name") if cfg is not None and "model" in cfg else None
    # an arch names the model in old checkpoints, the model itself in new ones
    if name is None or not (name == "electra_encoder" or name.startswith("electra")):
        raise InputError(f"{path} is a checkpoint of {name}, not of ELECTRA; give one that --arch electra_* or electra_encoder has saved")
    if isinstance(cfg.task, argparse.Namespace):  # of a task without a dataclass, sentence_ranking: all options of the run
        with open_dict(cfg):
            plain = {key: value for key, value in vars(cfg.task).items() if isinstance(value, str | int | float | None)}
            cfg.task = {**plain, "_name": cfg.task.task}
    data = Path(str(cfg.task.get("data", "")).split(":")[0])
    places = [Path(vocabulary)] if vocabulary else [path.parent, data, data / "input0"]
    folder = next((place for place in places if (place / TOKENIZER_FILE).is_file()), None)
    if folder is None:
        raise InputError(f"no {TOKENIZER_FILE} in {' or '.join(map(str, places))}; name the vocabulary's folder: --vocab DIR")
    tokenizer, dictionary = load_wordpiece(folder), load_dictionary(folder)
    if symbols_of(tokenizer) != dictionary.symbols:
        raise InputError(f"{folder}: {TOKENIZER_FILE} and dict.txt have not the same ids; make both with fairseq-electra vocab")
    model_class, config_class = (ElectraEncoder, ElectraEncoderConfig) if name == "electra_encoder" else (ElectraModel, ElectraConfig)
    model = model_class(with_defaults(cfg.model, config_class), dictionary)
    labels = {}
    of_heads = {key.removeprefix(HEADS): tensor for key, tensor in state["model"].items() if key.startswith(HEADS)}
    for head in dict.fromkeys(key.split(".")[0] for key in of_heads):
        tensors = {key.removeprefix(f"{head}."): tensor for key, tensor in of_heads.items() if key.startswith(f"{head}.")}
        kind = KINDS.get(str(cfg.task.get("_name")), KINDS[PREDICTION])
        model.register_head(head, kind.head_for(tensors, model.sizes.hidden_size, model.head_dropout, model.pooling))
        labels[head] = read_labels([path.parent, data], kind.number_of_labels(tensors))
    if isinstance(model, ElectraEncoder):
        model.autocast = "none"  # that of the training; what is predicted does not depend on the batch
    model.load_state_dict(state["model"])
    history = state.get("optimizer_history") or [{}]
    known = [read_task_info(place) for place in (path.parent, data) if labels and (place / TASK_FILE).is_file()]
    updates = int(history[-1].get("num_updates", 0))
    initialised = list((state.get("extra_state") or {}).get(INITIALISED, ()))  # which training takes away
    threshold = (state.get("task_state") or {}).get("threshold")
    info = known[0] if known else None
    return Pretrained(model.eval(), tokenizer, dictionary, cfg, updates, info, labels, initialised, threshold=threshold)


def read_labels(folders: list[Path], number: int) -> list[str]:
    """Return a head's labels, from the first ``label/dict.txt`` or else ``task.json`` that has so many; or LABEL_0, LABEL_1, ..."""
    if not number:
        return []
    from fairseq.data import Dictionary

    for path in (folder / "label" / DICTIONARY_FILE for folder in folders):
        if not path.is_file():
            continue
        dictionary = Dictionary.load(str(path))
        labels = dictionary.symbols[dictionary.nspecial :]
        labels = [label for label in labels if not label.startswith("madeupword")]
        if len(labels) == number:
            return labels
    for folder in folders:
        if (folder / TASK_FILE).is_file() and len(read_task_info(folder).labels) == number:
            return list(read_task_info(folder).labels)
    return [f"LABEL_{i}" for i in range(number)]


def checkpoint_state(
    model: ElectraModel | ElectraEncoder,
    model_cfg: dict,
    data: str,
    longest: int,
    task: TaskInfo | None = None,
    settings: Mapping[str, int] | None = None,
    initialised: Sequence[str] = (),
) -> dict:
    """Return what fairseq-train would save for a network that has not been trained by it.

    Args:
        model: the network.
        model_cfg: fields of :class:`ElectraConfig`, or of :class:`ElectraEncoderConfig`, that differ from their defaults.
        data: named as the data folder; ``inspect`` and others are given another.
        longest: tokens of the longest row, as far as known.
        task: what an encoder was fine-tuned for.
        settings, initialised: as those of :class:`Pretrained`.
    """
    from fairseq.dataclass.configs import FairseqConfig

    cfg = OmegaConf.structured(FairseqConfig)
    with open_dict(cfg):
        groups = _of_pretraining() if task is None else _of_finetuning(task, next(iter(model.classification_heads)), settings or {})
        for group, values in groups.items():
            cfg[group] = values
        cfg.task.data = data
        if task is None:
            cfg.task.tokens_per_sample = longest
        cfg.model.update(model_cfg)
    container: Any = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    history = {"criterion_name": container["criterion"]["_name"], "optimizer_name": "none", "lr_scheduler_state": {}, "num_updates": 0}
    return {
        "args": None,
        "cfg": container,
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [history],
        "task_state": {},
        "extra_state": {"metrics": None, "previous_training_time": 0, INITIALISED: list(initialised)},
    }


def _of_pretraining() -> dict[str, dict]:
    from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetectionConfig
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingConfig

    return {
        "task": _defaults(ElectraPretrainingConfig, "electra_pretraining"),
        "model": _defaults(ElectraConfig, "electra"),
        "criterion": _defaults(ReplacedTokenDetectionConfig, "replaced_token_detection"),
    }


def _of_finetuning(task: TaskInfo, head: str, settings: Mapping[str, int]) -> dict[str, dict]:
    options = {"_name": task.kind, "classification_head_name": head}  # task and criterion have one name
    not_in_task_file = {name: settings[name] for name in ("max_answer_length",) if name in settings}
    return {
        "task": options | {"max_positions": task.max_positions, "num_classes": len(task.labels) or 1} | not_in_task_file,
        "model": _defaults(ElectraEncoderConfig, "electra_encoder"),
        "criterion": options,
    }


def _defaults(config_class: Any, name: str) -> dict:
    return {field: f.default for field, f in config_class.__dataclass_fields__.items()} | {"_name": name}
