"""The models and the criterion that ``--task electra_pretraining`` works with."""

from typing import Any

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY

from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetection
from fairseq_electra.errors import InputError
from fairseq_electra.models.electra import ElectraModel


def check_model(cfg: Any) -> None:
    """Refuse a model that this package cannot pre-train.

    Args:
        cfg: options of the model; None if fairseq-hydra-train was given none.
    """
    name = getattr(cfg, "_name", None)
    model_class = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY.get(name)
    if model_class is None or not issubclass(model_class, ElectraModel):
        sizes = [
            arch for arch, model in ARCH_MODEL_REGISTRY.items() if model is ElectraModel and arch != "electra"
        ]
        raise InputError(
            f"--arch {'is missing' if name is None else name}: --task electra_pretraining needs one of"
            f" {', '.join(sizes)}"
        )


def check_criterion(cfg: Any) -> None:
    """Refuse every criterion but replaced-token detection."""
    name = getattr(cfg, "_name", None)
    if not issubclass(CRITERION_REGISTRY.get(name, object), ReplacedTokenDetection):
        raise InputError(
            f"--criterion {name}: --task electra_pretraining needs --criterion replaced_token_detection"
        )
