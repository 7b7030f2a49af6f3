"""The sizes and heads of a fine-tuned model with random parameters."""

from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.heads import IndependentAnswerHead
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.head import TokenHead
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD
from tests.helpers.small_model import NET, randomize_parameters

LONGEST, POSITIONS = 24, 64
HIDDEN = NET["hidden_size"]
HEADS = {
    PREDICTION: (lambda: SentenceHead(HIDDEN, 3, 0.0), ["x", "y", "z"]),
    MULTI_LABEL: (lambda: SentenceHead(HIDDEN, 3, 0.0), ["x", "y", "z"]),
    RANKING: (lambda: SentenceHead(HIDDEN, 1, 0.0), ["score"]),
    TAGGING: (lambda: TokenHead(HIDDEN, 3, 0.0), ["O", "B-X", "I-X"]),
    ANSWERING: (lambda: IndependentAnswerHead(HIDDEN), []),
}


def encoder_with_head(num_tokens, classes, **changes):
    """Make an encoder with random parameters and a head for sentences."""
    cfg = {**NET, "model_size": "tiny", **changes}
    model = EncoderWithHeads(**encoder_arguments(cfg, num_tokens)).eval()
    model.register_head(SENTENCE_HEAD, SentenceHead(model.sizes.hidden_size, classes, 0.1, model.pooling))
    randomize_parameters(model, std=0.2)
    return model.eval()
