"""The kind of tasks with a tag for every word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import Counterpart, linear_names
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kind import TaskKind, refuse_answer_options
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.tags import SCHEMES

if TYPE_CHECKING:
    from torch import Tensor

    from fairseq_electra.finetuning.tuned_model import TunedModel
    from fairseq_electra.finetuning.words.head import TokenHead
    from fairseq_electra.finetuning.words.metrics import TagEvaluation
    from fairseq_electra.finetuning.words.predict import TagPredictor


class TagCounterpart(Counterpart):
    """Classification of tokens."""

    head = "token"
    classes = {  # noqa: RUF012
        "electra": "ElectraForTokenClassification",
        "roformer": "RoFormerForTokenClassification",
        "bert": "BertForTokenClassification",
        "modernbert": "ModernBertForTokenClassification",
    }
    names = linear_names("prediction", "classifier")
    names_its_labels = True
    note = (
        'Words are tagged at their first piece: `pipeline("token-classification", "FOLDER",'
        ' aggregation_strategy="first")`.'
    )

    def read_info(self, info: TaskInfo, config: dict, settings: Mapping[str, Any], source: Path) -> TaskInfo:
        """See :meth:`Counterpart.read_info`."""
        scheme = settings.get("scheme", "")
        if scheme not in ("", *SCHEMES):
            raise InputError(
                f"{source} has the scheme {scheme!r} of tags, and there are {', '.join(SCHEMES)}"
            )
        return super().read_info(info, config, settings, source)


class TokenClassification(TaskKind):
    """A tag for every word, read at its first piece."""

    name = TAGGING
    has_own_options = True
    counterpart = TagCounterpart()
    gold_options = ("scheme",)
    gold_form = "words and tags in the columns of the training"

    def head_for(
        self, tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str = "first"
    ) -> TokenHead:
        """See :meth:`TaskKind.head_for`."""
        from fairseq_electra.finetuning.words.head import TokenHead

        return TokenHead(hidden_size, self.number_of_labels(tensors), dropout)

    def evaluation(self, folder: Path, info: TaskInfo) -> TagEvaluation:
        """See :meth:`TaskKind.evaluation`."""
        from fairseq_electra.finetuning.words.metrics import TagEvaluation

        return TagEvaluation(folder, info)

    def predictor(
        self, model: TunedModel, head: str, source: str, threshold: float, n_best: int
    ) -> TagPredictor:
        """See :meth:`TaskKind.predictor`."""
        from fairseq_electra.finetuning.words.predict import TagPredictor

        refuse_answer_options(self, threshold, n_best)
        return TagPredictor(model, head, source)


KINDS = (TokenClassification(),)
