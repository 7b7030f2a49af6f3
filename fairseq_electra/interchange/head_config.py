"""What config.json says of a task's head: a head that computes something else than ours is refused."""

from collections import Counter
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.names import HEADS

# of transformers' multiple choice: what its head must read and compute to be ours
SUMMARY = {"summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu", "summary_proj_to_labels": False}
# where config.json does not say: configuration_electra.py, and modeling_roformer.py::RoFormerSequenceSummary
SUMMARY_DEFAULTS: dict[str, dict] = {
    "electra": SUMMARY,
    "roformer": {"summary_type": "last", "summary_use_proj": False, "summary_activation": None, "summary_proj_to_labels": False},
}
NAMES_ITS_LABELS = ("sentence", "token")
REMEDY = 'to import the encoder alone, name {} under "architectures" there'


def problem_type(classes: int) -> str:
    """Return transformers' name for what a head for sentences of ours is trained for."""
    return "regression" if classes == 1 else "single_label_classification"


def check_head(config: dict, kind: str, family: str, classes: int, source: Path) -> None:
    """Refuse a head that computes another function, or whose scores are meant otherwise.

    Args:
        config: of the network.
        kind: of the head, as in :data:`names.HEADS`.
        family: transformers' model_type.
        classes: scores of the head.
        source: names config.json in errors.

    Raises:
        InputError: it is refused; says why.
    """
    remedy = REMEDY.format(HEADS["none", family].class_name)
    if kind == "choice":
        for name, wanted in SUMMARY.items():
            found = config.get(name, SUMMARY_DEFAULTS[family][name])
            if found != wanted:
                raise InputError(f"{source} has {name} {found!r}, where the head for multiple choice here has {wanted!r}; {remedy}")
    if kind == "sentence" and config.get("problem_type") not in (None, problem_type(classes)):
        raise InputError(
            f"{source} has problem_type {config['problem_type']!r} with {classes} scores, where a head here chooses one of several "
            f"classes or gives one number; {remedy}"
        )


def labels_of(config: dict, kind: str, classes: int, source: Path) -> list[str]:
    """Read the names of a head's classes.

    Args:
        config, kind, classes, source: as for :func:`check_head`.

    Returns:
        the names in the order of the scores; LABEL_0, LABEL_1, ... where there are none.

    Raises:
        InputError: a head that gives one of its labels has two of one name, or another number of names than scores.
    """
    names = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(classes)}
    if not isinstance(names, dict):
        raise InputError(f"{source} must have an object with the names of the classes for id2label, has {names!r:.200}")
    if kind not in NAMES_ITS_LABELS or classes == 1:
        return [str(names.get(str(i), f"LABEL_{i}")) for i in range(classes)]
    if set(names) != {str(i) for i in range(classes)}:
        raise InputError(f"{source} must have the names 0 to {classes - 1} in id2label, one for each score of the head, has {names!r:.200}")
    labels = [str(names[str(i)]) for i in range(classes)]
    name, times = Counter(labels).most_common(1)[0]
    if times > 1:
        raise InputError(f"{source} has {name!r} for {times} classes in id2label; give each class a name of its own there")
    return labels
