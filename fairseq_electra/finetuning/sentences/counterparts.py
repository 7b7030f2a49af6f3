"""transformers' heads for sentences and for multiple choice."""

from pathlib import Path
from typing import Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import Counterpart, linear_names
from fairseq_electra.finetuning.info import TaskInfo

# of transformers' multiple choice: what its head must read and compute to be ours
SUMMARY = {
    "summary_type": "first",
    "summary_use_proj": True,
    "summary_activation": "gelu",
    "summary_proj_to_labels": False,
}
# where config.json does not say: configuration_electra.py, and modeling_roformer.py::RoFormerSequenceSummary
SUMMARY_DEFAULTS: dict[str, dict] = {
    "electra": SUMMARY,
    "roformer": {
        "summary_type": "last",
        "summary_use_proj": False,
        "summary_activation": None,
        "summary_proj_to_labels": False,
    },
}


class SentenceCounterpart(Counterpart):
    """Classification of sentences and pairs, and numbers."""

    head = "sentence"
    classes = {  # noqa: RUF012  (of a table that nothing writes to)
        "electra": "ElectraForSequenceClassification",
        "roformer": "RoFormerForSequenceClassification",
        "modernbert": "ModernBertForSequenceClassification",
    }
    names = {  # noqa: RUF012
        **linear_names("dense", "classifier.dense"),
        **linear_names("prediction", "classifier.out_proj"),
    }
    names_its_labels = True

    def problem_type(self, classes: int) -> str:
        """Return transformers' name for what a head with so many scores is trained for."""
        return "regression" if classes == 1 else "single_label_classification"

    def accepts(self, config: dict, classes: int) -> bool:
        """See :meth:`Counterpart.accepts`."""
        return config.get("problem_type") in (None, self.problem_type(classes))

    def check(self, config: dict, family: str, classes: int, source: Path) -> None:
        """See :meth:`Counterpart.check`."""
        if not self.accepts(config, classes):
            raise InputError(
                f"{source} has problem_type {config['problem_type']!r} with {classes} scores, where a head"
                " here chooses one of several classes or gives one number"
            )

    def entries(self, labels: list[str], dropout: float, info: TaskInfo | None) -> dict[str, Any]:
        """See :meth:`Counterpart.entries`."""
        return super().entries(labels, dropout, info) | {"problem_type": self.problem_type(len(labels))}


class ChoiceCounterpart(Counterpart):
    """Multiple choice: each choice with its context has a score."""

    head = "choice"
    classes = {  # noqa: RUF012
        "electra": "ElectraForMultipleChoice",
        "roformer": "RoFormerForMultipleChoice",
        "modernbert": "ModernBertForMultipleChoice",
    }
    names = {  # noqa: RUF012
        **linear_names("dense", "sequence_summary.summary"),
        **linear_names("prediction", "classifier"),
    }
    note = "A row is a choice and then its context: `tokenizer(choices, [context] * len(choices))`."
    import_note = (
        "a row is read as a choice and then its context; a model whose training put the context first, as"
        " transformers' run_swag.py does, gives other scores here than there"
    )

    def check(self, config: dict, family: str, classes: int, source: Path) -> None:
        """See :meth:`Counterpart.check`."""
        for name, wanted in SUMMARY.items() if family != "modernbert" else ():
            value = config.get(name, SUMMARY_DEFAULTS[family][name])
            if value != wanted:
                raise InputError(
                    f"{source} has {name} {value!r}, where the head for multiple choice here has {wanted!r}"
                )

    def entries(self, labels: list[str], dropout: float, info: TaskInfo | None) -> dict[str, Any]:
        """See :meth:`Counterpart.entries`; the scores of choices are no labels'."""
        return SUMMARY | {"summary_last_dropout": dropout}
