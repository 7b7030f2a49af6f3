"""Which head a task's tensors are of."""

from torch import Tensor, nn

from fairseq_electra.electra.heads import SentenceHead, TokenHead
from fairseq_electra.finetuning.kind import ANSWERING, TAGGING
from fairseq_electra.finetuning.questions.heads import ConditionalAnswerHead, IndependentAnswerHead


def head_of(task: str, tensors: dict[str, Tensor], hidden_size: int, dropout: float, pooling: str = "first") -> nn.Module:
    """Make a head that takes the tensors.

    Args:
        task: fairseq's name of it, or ours.
        tensors: of the head, by its own names.
        hidden_size: C.
        dropout: probability.
        pooling: of a head for sentences.
    """
    if "last.weight" in tensors:
        return ConditionalAnswerHead(hidden_size, "answerability.0.weight" in tensors)
    if task == ANSWERING:
        return IndependentAnswerHead(hidden_size)
    classes = len(tensors["prediction.weight"])
    if task == TAGGING:
        return TokenHead(hidden_size, classes, dropout)
    return SentenceHead(hidden_size, classes, dropout, pooling, dense="dense.weight" in tensors)
