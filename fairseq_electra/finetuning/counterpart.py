"""What transformers has for a kind of task: classes, names of their tensors, and entries of config.json."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo

Names = dict[str, str | tuple[str, ...]]
# of TaskInfo: how rows are made, and how files of the task are written
KEPT_NUMBERS = ("stride", "max_question", "word_column", "tag_column")
KEPT_TEXTS = ("scheme", "label_column")
KEPT_LISTS = ("columns",)
KEPT_OPTIONS = ("max_answer_length",)  # of a task's options, whole numbers
KEPT = (*KEPT_NUMBERS, *KEPT_TEXTS, *KEPT_LISTS)
REMEDY = 'to import the encoder alone, name {} under "architectures" there'


def linear_names(ours: str, theirs: str) -> Names:
    """Return the names of a linear layer's tensors here and there."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}


# of all of ModernBERT's heads, whose classes have one form
MODERNBERT: Names = {
    **linear_names("transform.dense", "head.dense"),
    **linear_names("transform.layer_norm", "head.norm"),
    **linear_names("prediction", "classifier"),
}


class Counterpart:
    """transformers' head for a kind of task, and how the two are told from each other's folders.

    Attributes:
        head: name of the head, which kinds may share that a config.json tells apart.
        classes: transformers' class of each family of models that has one.
        names: of the head's tensors; those of ModernBERT are :data:`MODERNBERT`.
        names_its_labels: the answers are labels, whose names config.json has.
        note: a sentence for the exported folder's README; empty: there is nothing to say.
        import_note: a sentence for who imports such a model; empty: there is nothing to say.
    """

    head: str
    classes: Mapping[str, str]
    names: Names
    names_its_labels = False
    note = ""
    import_note = ""

    def accepts(self, config: dict, classes: int) -> bool:
        """Tell whether the scores of such a head are meant as those of this kind.

        Args:
            config: the model's config.json.
            classes: scores of the head.
        """
        return True

    def check(self, config: dict, family: str, classes: int, source: Path) -> None:
        """Refuse a head that computes another function, or whose scores are meant otherwise.

        Args:
            config: the model's config.json.
            family: transformers' model_type.
            classes: scores of the head.
            source: names config.json in errors.

        Raises:
            InputError: it is refused; says why. What to do instead stands behind it (:data:`REMEDY`).
        """

    def entries(self, labels: list[str], dropout: float, info: TaskInfo | None) -> dict[str, Any]:
        """Return what config.json says of a head.

        Args:
            labels: in the order of the scores.
            dropout: of the head, probability.
            info: what the model was fine-tuned for, where known.
        """
        if not labels:
            return {}
        by_number = {str(i): label for i, label in enumerate(labels)}
        return {
            "id2label": by_number,
            "label2id": {label: i for i, label in enumerate(labels)},
            "classifier_dropout": dropout,
        }

    def settings(self, info: TaskInfo | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return what files are read by and rows and answers are made by, as far as it is not the usual.

        Args:
            info: what the model was fine-tuned for, where known.
            options: of the task, as far as known.
        """
        if info is None:
            return {}
        usual = {each.name: each.default for each in fields(TaskInfo)}
        return {name: value for name in KEPT if (value := getattr(info, name)) != usual[name]}

    def read_info(self, info: TaskInfo, config: dict, settings: Mapping[str, Any], source: Path) -> TaskInfo:
        """Complete what an imported model was fine-tuned for.

        Args:
            info: what is known of every model.
            config: the model's config.json.
            settings: of :meth:`settings`, as the export has kept them.
            source: names config.json in errors.
        """
        info = replace(info, **{name: settings[name] for name in KEPT if name in settings})
        # one score is that of a number or a choice
        return info if len(info.labels) > 1 else replace(info, labels=())

    def read_labels(self, config: dict, classes: int, source: Path) -> list[str]:
        """Read the names of a head's classes.

        Args:
            config: the model's config.json.
            classes: scores of the head.
            source: names config.json in errors.

        Returns:
            the names in the order of the scores; LABEL_0, LABEL_1, ... where there are none.

        Raises:
            InputError: two labels have one name, or there are more or fewer names than scores.
        """
        names = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(classes)}
        if not isinstance(names, dict):
            raise InputError(
                f"{source} must have an object with the names of the classes for id2label, has {names!r:.200}"
            )
        if not self.names_its_labels or classes == 1:
            return [str(names.get(str(i), f"LABEL_{i}")) for i in range(classes)]
        if set(names) != {str(i) for i in range(classes)}:
            raise InputError(
                f"{source} must have the names 0 to {classes - 1} in id2label, one for each score of the"
                f" head, has {names!r:.200}"
            )
        labels = [str(names[str(i)]) for i in range(classes)]
        name, times = Counter(labels).most_common(1)[0]
        if times > 1:
            raise InputError(
                f"{source} has {name!r} for {times} classes in id2label; give each class a name of its own"
                " there"
            )
        return labels
