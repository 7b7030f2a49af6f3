"""The sizes and heads of a fine-tuned model with random parameters."""

from fairseq_electra.electra.heads import SentenceHead, TokenHead
from fairseq_electra.finetuning.kind import ANSWERING, PREDICTION, RANKING, TAGGING
from fairseq_electra.finetuning.questions.heads import IndependentAnswerHead
from tests.helpers.small_model import NET

LONGEST, POSITIONS = 24, 64
HIDDEN = NET["hidden_size"]
HEADS = {
    PREDICTION: (lambda: SentenceHead(HIDDEN, 3, 0.0), ["x", "y", "z"]),
    RANKING: (lambda: SentenceHead(HIDDEN, 1, 0.0), ["score"]),
    TAGGING: (lambda: TokenHead(HIDDEN, 3, 0.0), ["O", "B-X", "I-X"]),
    ANSWERING: (lambda: IndependentAnswerHead(HIDDEN), []),
}
