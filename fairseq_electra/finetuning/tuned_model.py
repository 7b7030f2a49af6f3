"""What evaluations and predictors use of a fine-tuned model: the hub's interface has it."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tokenizers import Tokenizer

from fairseq_electra.finetuning.info import TaskInfo


class TunedModel(Protocol):
    """A model with heads.

    Attributes:
        model: the encoder, called with rows and the name of a head.
        tokenizer: with the ids of the vocabulary.
        symbols: its vocabulary, in the order of the ids.
        labels: of each head, in the order of its scores.
        kind: name of the task that the heads are for.
        task: what it was fine-tuned for, where known.
        options: of the task that it was trained on, as far as known.
        threshold: above it a question has no answer, where a validation chose one.
        max_length: length in tokens of the longest row of the training.
    """

    model: Any
    tokenizer: Tokenizer
    symbols: list[str]
    labels: dict[str, list[str]]
    kind: str
    task: TaskInfo | None
    options: Mapping[str, Any]
    threshold: float | None
    max_length: int

    def predict(self, head: str, tokens: Any, return_logits: bool = False) -> Any:
        """Apply a head to rows."""

    def batches(self, dataset: Any) -> Iterator[dict]:
        """Yield batches of all rows of a data set on the model's device."""
