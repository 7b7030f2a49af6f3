"""Heads of fine-tuning on modern sizes: the form of ModernBERT's heads, out and in."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.heads import ConditionalAnswerHead, IndependentAnswerHead
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.head import TokenHead
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange.export_transformers import export_transformers, networks_of
from fairseq_electra.interchange.import_transformers import compare, import_transformers
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from tests.helpers.small_model import randomize_parameters
from tests.helpers.transformers_models import edit, transformers, write_tokenizer

SIZES = {
    "model_size": "modern_tiny",
    "embedding_size": 32,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "local_window": 12,
}
KINDS = {
    PREDICTION: ("ForSequenceClassification", ["x", "y", "z"]),
    MULTI_LABEL: ("ForSequenceClassification", ["x", "y"]),
    RANKING: ("ForMultipleChoice", ["score"]),
    TAGGING: ("ForTokenClassification", ["O", "B-X", "I-X"]),
    ANSWERING: ("ForQuestionAnswering", []),
}


def head_of(kind, pooling, labels):
    if kind == TAGGING:
        return TokenHead(32, len(labels), 0.0)
    return IndependentAnswerHead(32) if kind == ANSWERING else SentenceHead(32, len(labels), 0.0, pooling)


@pytest.fixture
def tuned(pretrained):
    """A fine-tuned model of a modern size with random weights."""

    def make(kind=PREDICTION, pooling="first", head=None):
        start, labels = pretrained(), KINDS[kind][1]
        model = EncoderWithHeads(**encoder_arguments(SIZES | {"pooling": pooling}, len(start.symbols)))
        model.register_head(SENTENCE_HEAD, head or head_of(kind, pooling, labels))
        randomize_parameters(model, std=0.1)
        info = TaskInfo("x", kind, 1, tuple(labels), (), 48, stride=5, max_question=4, unanswerable=True)
        run = {"task": {"_name": kind}}
        return dataclasses.replace(
            start, model=model.eval(), labels={SENTENCE_HEAD: labels}, task=info, cfg=run
        )

    return make


@pytest.mark.parametrize(
    ("kind", "pooling"), [*((kind, "first") for kind in KINDS), (PREDICTION, "mean"), (RANKING, "mean")]
)
def test_a_head_is_exported_exactly_and_read_back(tmp_path, tuned, kind, pooling):
    ours = tuned(kind, pooling)
    lines = export_transformers(ours, tmp_path / "out")
    assert f"ModernBert{KINDS[kind][0]}," in "\n".join(lines)
    back = read_folder(tmp_path / "out")
    before, after = ours.model.state_dict(), back.pretrained.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    found = compare(back)[SENTENCE_HEAD]
    assert max(found.values()) < 1e-9 and set(found) == {"hidden states", "scores"}
    assert back.pretrained.kind == kind and back.pretrained.model.pooling == pooling
    import_transformers(tmp_path / "out", tmp_path / "in" / "checkpoint.pt")
    again = load_checkpoint(tmp_path / "in" / "checkpoint.pt").model
    (head,) = again.classification_heads.values()
    expected = ours.model.classification_heads[SENTENCE_HEAD].state_dict()
    assert again.pooling == pooling
    assert all(torch.equal(tensor, expected[name]) for name, tensor in head.state_dict().items())


def test_heads_of_a_modern_encoder_are_dense_gelu_norm_and_linear(tuned):
    model = tuned(PREDICTION).model.double()
    head, hidden = model.classification_heads[SENTENCE_HEAD], torch.randn(2, 5, 32, dtype=torch.float64)
    values = F.gelu(head.transform.dense(hidden[:, 0]))
    spread = (values.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    values = (values - values.mean(-1, keepdim=True)) / spread * head.transform.layer_norm.weight
    assert torch.allclose(head(hidden, torch.zeros(2, 5, dtype=torch.bool)), head.prediction(values))


def test_heads_of_other_encoders_have_no_transform():
    model = EncoderWithHeads(**encoder_arguments({"model_size": "tiny"}, 30))
    model.register_head("head", SentenceHead(128, 2, 0.0))
    assert list(model.classification_heads["head"].state_dict()) == ["prediction.weight", "prediction.bias"]


def test_the_papers_head_for_answers_stays_as_it_is_and_is_not_exported(tuned):
    head = ConditionalAnswerHead(32, True)
    names = list(head.state_dict())
    ours = tuned(ANSWERING, head=head)
    assert list(ours.model.classification_heads[SENTENCE_HEAD].state_dict()) == names
    with pytest.raises(InputError, match="transformers has no head whose end depends on its start"):
        networks_of(ours)


@pytest.mark.parametrize(
    ("name", "labels", "more"),
    [
        ("ForSequenceClassification", 3, {}),
        ("ForSequenceClassification", 3, {"classifier_bias": True, "classifier_pooling": "mean"}),
        ("ForSequenceClassification", 1, {}),
        ("ForMultipleChoice", None, {}),
        ("ForTokenClassification", 4, {}),
        ("ForQuestionAnswering", None, {"norm_bias": True}),
    ],
)
def test_a_fine_tuned_modernbert_is_imported(tmp_path, their_pieces, name, labels, more):
    shapes = {name: size for name, size in SIZES.items() if name not in ("model_size", "local_window")}
    del shapes["embedding_size"]
    config = transformers.ModernBertConfig(
        vocab_size=len(their_pieces), pad_token_id=0, local_attention=12, **shapes, **more
    )
    if labels:
        config.num_labels = labels
    model = getattr(transformers, f"ModernBert{name}")(config).eval()
    randomize_parameters(model, std=0.1)
    model.save_pretrained(tmp_path / "theirs")
    write_tokenizer(tmp_path / "theirs", their_pieces, "tokenizer.json", cased=False)
    found = compare(read_folder(tmp_path / "theirs"))[SENTENCE_HEAD]
    assert max(found.values()) < 1e-9 and set(found) == {"hidden states", "scores"}


def test_another_pooling_is_refused(tmp_path, tuned):
    export_transformers(tuned(), tmp_path / "out")
    edit(tmp_path / "out" / "config.json", classifier_pooling="last")
    with pytest.raises(InputError, match="has classifier_pooling 'last'; a head here reads 'cls' or 'mean'"):
        read_folder(tmp_path / "out")
