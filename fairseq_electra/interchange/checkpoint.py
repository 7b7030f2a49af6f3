"""A checkpoint for a model that fairseq-train has not trained: what it would have saved."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf, open_dict

from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetectionConfig
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.state import INITIALISED, version_of
from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.models.electra import ElectraConfig
from fairseq_electra.models.electra_encoder import ElectraEncoderConfig
from fairseq_electra.pretraining.dictionary import dictionary_digest
from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig


def checkpoint_state(
    model: Generator | Discriminator | EncoderWithHeads,
    symbols: Sequence[str],
    model_cfg: dict,
    data: str,
    max_length: int,
    task: TaskInfo | None = None,
    settings: Mapping[str, Any] | None = None,
    initialised: Sequence[str] = (),
) -> dict:
    """Return what fairseq-train would save for a model that it has not trained.

    Args:
        model: the model.
        symbols: its vocabulary, in the order of the ids.
        model_cfg: fields of :class:`ElectraConfig`, or of :class:`ElectraEncoderConfig`, that differ from
            their defaults.
        data: named as the data folder; ``inspect`` and others are given another.
        max_length: length in tokens of the longest row, as far as known.
        task: what an encoder was fine-tuned for.
        settings, initialised: as those of :class:`Pretrained`.
    """
    cfg = OmegaConf.structured(FairseqConfig)
    with open_dict(cfg):
        heads = list(model.classification_heads) if isinstance(model, EncoderWithHeads) else []
        groups = _of_pretraining() if task is None else _of_finetuning(task, heads[0], settings or {})
        for group, values in groups.items():
            cfg[group] = values
        cfg.task.data = data
        if task is None:
            cfg.task.tokens_per_sample = max_length
        cfg.model.update(model_cfg)
    container: Any = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    return state_of(container, model, symbols, initialised)


def state_of(
    cfg: dict[str, Any],
    model: Generator | Discriminator | EncoderWithHeads,
    symbols: Sequence[str],
    initialised: Sequence[str] = (),
    updates: int = 0,
) -> dict:
    """Return a checkpoint with weights alone: no optimizer, and no place in a training text.

    Args:
        cfg: options of a run by group, as fairseq saves them.
        model, symbols, initialised: as those of :func:`checkpoint_state`.
        updates: number of updates that the weights have had.
    """
    history = {
        "criterion_name": cfg["criterion"]["_name"],
        "optimizer_name": "none",
        "lr_scheduler_state": {},
        "num_updates": updates,
    }
    digest = version_of(dictionary_digest(symbols))
    return {
        "args": None,
        "cfg": cfg,
        "model": model.state_dict() | {"dictionary_version": digest},
        "criterion": None,
        "optimizer_history": [history],
        "task_state": {},
        "extra_state": {"metrics": None, "previous_training_time": 0, INITIALISED: list(initialised)},
    }


def _of_pretraining() -> dict[str, dict]:
    return {
        "task": _defaults(ElectraPretrainingConfig, "electra_pretraining"),
        "model": _defaults(ElectraConfig, "electra"),
        "criterion": _defaults(ReplacedTokenDetectionConfig, "replaced_token_detection"),
    }


def _of_finetuning(task: TaskInfo, head: str, settings: Mapping[str, Any]) -> dict[str, dict]:
    options = {"_name": task.kind, "classification_head_name": head}  # task and criterion have one name
    not_in_task_file = {name: settings[name] for name in ("max_answer_length",) if name in settings}
    return {
        "task": (
            options
            | {"max_positions": task.max_positions, "num_classes": len(task.labels) or 1}
            | not_in_task_file
        ),
        "model": _defaults(ElectraEncoderConfig, "electra_encoder"),
        "criterion": options,
    }


def _defaults(config_class: Any, name: str) -> dict:
    return {field: f.default for field, f in config_class.__dataclass_fields__.items()} | {"_name": name}
