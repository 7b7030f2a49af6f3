"""The head for tags."""

from torch import Tensor, nn

from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.initialization import initialize_glorot
from fairseq_electra.finetuning.head import TaskHead


class TokenHead(TaskHead):
    """A score of every tag for every token: dropout and one linear layer.

    Args:
        hidden_size: C.
        num_classes: tags.
        dropout: before the linear layer, probability.

    Source: google-research/electra finetune/tagging/tagging_tasks.py::TaggingTask.get_prediction_module.
    """

    of_tokens = True

    def __init__(self, hidden_size: int, num_classes: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.prediction = nn.Linear(hidden_size, num_classes)
        initialize_glorot(self.prediction)

    def forward(self, hidden: Tensor, padding_mask: Tensor) -> Tensor:
        """Score the tags. Shapes: (B, T, C), (B, T) -> (B, T, number of tags)."""
        return self.prediction(self.dropout(self.transformed(hidden)))
