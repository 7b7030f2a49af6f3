"""The components that fairseq's options name: tasks, models, criterions, optimizers and more."""

from collections.abc import Mapping
from typing import Any

PACKAGE = __name__.partition(".")[0]


def all_components() -> dict[str, Mapping[str, Any]]:
    """Return all components: for each option (``task``, ``arch``, ``criterion``, ...) the classes by name."""
    from fairseq.models import ARCH_MODEL_REGISTRY
    from fairseq.registry import REGISTRIES
    from fairseq.tasks import TASK_REGISTRY

    return {"task": TASK_REGISTRY, "arch": ARCH_MODEL_REGISTRY} | {
        name: each["registry"] for name, each in REGISTRIES.items()
    }


def own_components(option: str) -> list[str]:
    """Return the names of this package's components of an option; none if the option names no components."""
    return [
        name
        for name, each in all_components().get(option, {}).items()
        if each.__module__.startswith(f"{PACKAGE}.")
    ]


def own_names(option: str) -> dict[Any, list[str]]:
    """Return the names of each of this package's components of an option, by its class."""
    names: dict[Any, list[str]] = {}
    for name in own_components(option):
        names.setdefault(all_components()[option][name], []).append(name)
    return names
