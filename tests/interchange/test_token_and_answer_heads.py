"""Heads for tokens and for answers, in transformers and here."""

import dataclasses
import json
import types

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.criterions.question_answering import QuestionAnsweringLoss, QuestionAnsweringLossConfig
from fairseq_electra.criterions.token_classification import TokenClassificationConfig, TokenClassificationLoss
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments, segments_of
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.predictions import predictor_of
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.answers import whole_words
from fairseq_electra.finetuning.questions.heads import ConditionalAnswerHead, IndependentAnswerHead
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.head import TokenHead
from fairseq_electra.finetuning.words.read import read_words
from fairseq_electra.finetuning.words.tags import decode, legal_transitions
from fairseq_electra.hub.interface import from_pretrained
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from tests.helpers.commands import electra_here
from tests.helpers.small_model import NET, randomize_parameters
from tests.helpers.tagging_task import predict_here
from tests.helpers.transformers_models import in_double, transformers

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
POSITIONS = ["learned", "rotary"]
FAMILIES = ["Electra", "RoFormer"]
HEAD = "head"
PAD, EOS = 1, 2
SENTENCES = ["The object is returned (by reference) here.", "", "One"]
WORDS = [["The", "object", "is", "returned", "(", "by", "reference", ")", "here", "."], [], ["One"]]
CONTEXT = (
    "An object's type determines the operations that the object supports and the values for objects of that"
    " type."
)
QUESTIONS = [f"What does it determine?\t{CONTEXT}", f"Which objects?\t{CONTEXT[:60]}"]


def with_head(start, head, kind, labels, **changes):
    cfg = OmegaConf.create({**NET, "model_size": "tiny", **changes})
    model = EncoderWithHeads(**encoder_arguments(cfg, len(start.symbols)))
    model.register_head(HEAD, head)
    randomize_parameters(model, std=0.2)
    return dataclasses.replace(
        start, model=model.eval(), labels={HEAD: labels}, task=TaskInfo("x", kind, 1, tuple(labels), (), 64)
    )


def inputs_of(rows, order=None):
    padding = rows == PAD
    segments = segments_of(rows, EOS).masked_fill(padding, 0)
    return {
        "input_ids": rows if order is None else order[rows],
        "token_type_ids": segments,
        "attention_mask": (~padding).long(),
    }


def task_with(head):
    return types.SimpleNamespace(cfg=types.SimpleNamespace(classification_head_name=head))


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_and_losses_of_tags_are_those_of_transformers(make_theirs, family):
    """transformers' own head, imported, with our criterion, in float64."""
    made = make_theirs(family, generator=None, class_name=f"{family}ForTokenClassification", num_labels=5)
    back = read_folder(made.folder)
    rows = parity.rows_of_text(back.pretrained.tokenizer, 64)
    target = torch.randint(-1, 5, rows.shape, generator=torch.Generator().manual_seed(1)).masked_fill(
        rows == PAD, -1
    )
    with torch.no_grad():
        theirs = in_double(made.discriminator)(
            **inputs_of(rows, back.order), labels=target.masked_fill(target < 0, -100)
        )
        scores, _ = back.pretrained.model.double()(rows, classification_head_name=SENTENCE_HEAD)
        sample = {"net_input": {"src_tokens": rows}, "target": target, "ntokens": int((rows != PAD).sum())}
        loss, words, log = TokenClassificationLoss(TokenClassificationConfig(), task_with(SENTENCE_HEAD))(
            back.pretrained.model, sample
        )
    assert (scores - theirs.logits)[rows != PAD].abs().max() < 1e-11
    assert words == int((target >= 0).sum()) == log["sample_size"] and 100 < words < sample["ntokens"]
    assert abs(float(loss) / words - float(theirs.loss)) < 1e-5 * max(1, float(theirs.loss))
    assert back.pretrained.kind == TAGGING and back.pretrained.labels == {
        SENTENCE_HEAD: [f"LABEL_{i}" for i in range(5)]
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_and_losses_of_answers_are_those_of_transformers(make_theirs, family):
    """On rows without padding, which transformers scores as if an answer could be there."""
    made = make_theirs(family, generator=None, class_name=f"{family}ForQuestionAnswering")
    back = read_folder(made.folder)
    rows = parity.rows_of_text(back.pretrained.tokenizer, 64)
    rows = rows[(rows != PAD).all(1)]
    first, last = torch.tensor([0, 5, 12]), torch.tensor([0, 9, 63])
    assert rows.shape == (3, 64)
    with torch.no_grad():
        theirs = in_double(made.discriminator)(
            **inputs_of(rows, back.order), start_positions=first, end_positions=last
        )
        allowed = torch.ones(rows.shape, dtype=torch.bool)
        own, _ = back.pretrained.model.double()(
            rows, classification_head_name=SENTENCE_HEAD, head_inputs={"allowed": allowed}
        )
        criterion = QuestionAnsweringLoss(QuestionAnsweringLossConfig(), task_with(SENTENCE_HEAD))
        sample = {
            "net_input": {"src_tokens": rows},
            "first": first,
            "last": last,
            "allowed": allowed,
            "ntokens": rows.numel(),
        }
        loss, size, _ = criterion(back.pretrained.model, sample)
    assert (own.first - theirs.start_logits).abs().max() < 1e-11 and (
        own.last - theirs.end_logits
    ).abs().max() < 1e-11
    assert size == 3 and abs(float(loss) / size - float(theirs.loss)) < 1e-5 * max(1, float(theirs.loss))
    assert own.unanswerable is None
    assert back.pretrained.kind == ANSWERING and back.pretrained.labels == {SENTENCE_HEAD: []}


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_head_for_tokens_is_exported_exactly_and_read_back(tmp_path, pretrained, positions):
    ours = with_head(pretrained(), TokenHead(NET["hidden_size"], 5, 0.1), TAGGING, TAGS, positions=positions)
    lines = export_transformers(ours, tmp_path / "out")
    assert f"{HEAD} hidden states" in lines[-1] and "scores" in lines[-1]
    theirs = in_double(transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "out"))
    assert [theirs.config.id2label[i] for i in range(5)] == TAGS
    assert {tag: i for i, tag in enumerate(TAGS)} == theirs.config.label2id
    rows = parity.rows_of_text(ours.tokenizer, 64)
    back = read_folder(tmp_path / "out").pretrained
    with torch.no_grad():
        expected, _ = ours.model.double()(rows, classification_head_name=HEAD)
        found = theirs(**inputs_of(rows)).logits
        again, _ = back.model.double()(rows, classification_head_name=SENTENCE_HEAD)
    assert (found - expected)[rows != PAD].abs().max() < 1e-11
    assert (again - expected)[rows != PAD].abs().max() < 1e-11
    assert back.kind == TAGGING and back.labels == {SENTENCE_HEAD: TAGS}


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_plain_head_for_answers_is_exported_exactly_and_read_back(tmp_path, pretrained, positions):
    ours = with_head(
        pretrained(), IndependentAnswerHead(NET["hidden_size"]), ANSWERING, [], positions=positions
    )
    export_transformers(ours, tmp_path / "out")
    theirs = in_double(transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "out"))
    rows = parity.rows_of_text(ours.tokenizer, 64)
    back = read_folder(tmp_path / "out").pretrained
    inputs = {"allowed": rows != PAD}
    with torch.no_grad():
        expected, _ = ours.model.double()(rows, classification_head_name=HEAD, head_inputs=inputs)
        found = theirs(**inputs_of(rows))
        again, _ = back.model.double()(rows, classification_head_name=SENTENCE_HEAD, head_inputs=inputs)
    for own, their, read_back in zip(
        expected[:2], (found.start_logits, found.end_logits), again[:2], strict=True
    ):
        assert (own - their)[rows != PAD].abs().max() < 1e-11 and (own - read_back).abs().max() < 1e-11
    assert back.kind == ANSWERING and back.labels == {SENTENCE_HEAD: []}
    with pytest.raises(InputError, match="--threshold is for nets trained with questions without an answer"):
        predictor_of(from_pretrained(tmp_path / "out"), SENTENCE_HEAD, "text", threshold=0.3)
    with pytest.raises(InputError, match="--threshold nan is no number"):
        predictor_of(ours, HEAD, "text", threshold=float("nan"))


@pytest.mark.parametrize("answerability", [False, True])
def test_the_papers_head_for_answers_cannot_be_exported(tmp_path, pretrained, answerability):
    ours = with_head(pretrained(), ConditionalAnswerHead(NET["hidden_size"], answerability), ANSWERING, [])
    with pytest.raises(InputError) as caught:
        export_transformers(ours, tmp_path / "out")
    assert (
        str(caught.value)
        == "transformers has no head whose end depends on its start; fine-tune with --answer-head independent"
    )
    assert list(tmp_path.iterdir()) == []


def their_word_scores(folder, words):
    """Log-probabilities of each word's tags at its first piece, by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    encoding = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    places = [encoding.word_ids().index(i) for i in range(len(words))]
    with torch.no_grad():
        return model(**encoding).logits[0, places].log_softmax(-1).numpy()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "labels",
    [TAGS, ["B-LOC", "I-LOC", "I-PER", "I-ORG", "O"], ["NOUN", "VERB", "DET", "ADP", "X"]],
    ids=["BIO", "IOB1 without every B", "parts of speech"],
)
def test_a_folder_of_transformers_tags_text(make_theirs, family, labels):
    id2label = dict(enumerate(labels))
    made = make_theirs(
        family, generator=None, class_name=f"{family}ForTokenClassification", id2label=id2label
    )
    net = from_pretrained(made.folder)
    assert net.labels == {SENTENCE_HEAD: labels} and net.kind == TAGGING
    answers = list(predictor_of(net, SENTENCE_HEAD, "text")(SENTENCES))
    assert [answer["words"] for answer in answers] == WORDS
    for line, answer in zip(SENTENCES, answers, strict=True):
        if not line:
            assert answer == {"words": [], "tags": [], "entities": [], "logits": []}
            continue
        expected = their_word_scores(made.folder, answer["words"])
        assert np.abs(expected - answer["logits"]).max() < 1e-4
        best = decode(expected, legal_transitions(labels)) if labels == TAGS else expected.argmax(1)
        assert answer["tags"] == [labels[tag] for tag in best]
        for entity in answer["entities"]:
            assert line[entity["begin"] : entity["end"]] == entity["text"] and entity["type"] in (
                "PER",
                "LOC",
                "ORG",
            )
        if labels[0] == "NOUN":
            assert answer["entities"] == []
        else:
            assert bool(answer["entities"]) == (set(answer["tags"]) != {"O"})


def test_given_words_are_tagged_as_the_same_words_of_text_and_stand_in_their_file(make_theirs, tmp_path):
    made = make_theirs(
        generator=None, class_name="ElectraForTokenClassification", id2label=dict(enumerate(TAGS))
    )
    lines = ["-DOCSTART- X", "", *(f"{word} X" for word in WORDS[0]), "", "One X", "U.S., X"]
    path, output = tmp_path / "a.conll", tmp_path / "tagged.conll"
    path.write_text("".join(f"{line}\n" for line in lines))
    status, _, said = electra_here("predict", made.folder, "--words", "--input", path, "--output", output)
    assert status == 0, said
    tagged = output.read_text().split("\n")[:-1]
    predictor = predictor_of(from_pretrained(made.folder), SENTENCE_HEAD, "text")
    (tags, _), (more, _) = predictor.tag([WORDS[0], ["One", "U.S.,"]])
    assert tags == next(predictor([SENTENCES[0]]))["tags"]
    expected = ["", "", *tags, "", *more]
    assert tagged == [f"{line} {tag}" if tag else line for line, tag in zip(lines, expected, strict=True)]
    predictor.tag = lambda sentences: [([word[::-1] for word in words], None) for words in sentences]
    given = [line.split()[0] if line and "DOC" not in line else "" for line in lines]
    turned = [f"{line} {word[::-1]}" if word else line for line, word in zip(lines, given, strict=True)]
    assert list(predictor.tag_lines(read_words(path))) == turned
    for more, sentence in (
        (["--logits"], "so --text and --logits have no place"),
        (["--n-best", "2"], "are for answers to questions"),
    ):
        status, _, said = electra_here("predict", made.folder, "--words", "--input", path, *more)
        assert status == 1 and sentence in said.splitlines()[-1]


def their_answer(folder, question, context):
    """The likeliest part of the context, of at most 30 tokens, by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoding = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoding.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        found = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()(**encoding)
    own = [place for place, part in enumerate(encoding.sequence_ids(0)) if part == 1]
    spans = [
        (float(found.start_logits[0, a] + found.end_logits[0, b]), a, b)
        for a in own
        for b in own
        if a <= b < a + 30
    ]
    _, a, b = max(spans)
    return offsets[a][0], offsets[b][1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_transformers_answers_questions(make_theirs, family):
    made = make_theirs(family, generator=None, class_name=f"{family}ForQuestionAnswering")
    net = from_pretrained(made.folder)
    assert net.kind == ANSWERING
    answers = list(predictor_of(net, SENTENCE_HEAD, "text", n_best=3)(QUESTIONS))
    for line, answer in zip(QUESTIONS, answers, strict=True):
        question, context = line.split("\t")
        theirs = whole_words(
            np.array([[(*their_answer(made.folder, question, context), 0.0, 0.0)]]), [context]
        )
        assert [answer["begin"], answer["end"]] == theirs[0, 0, :2].tolist()
        assert answer["answer"] == context[answer["begin"] : answer["end"]] and 0 < answer["probability"] <= 1
        assert len(answer["n_best"]) == 3 and answer["n_best"][0]["answer"] == answer["answer"]
    below = min(answer["unanswerable"] for answer in answers) - 1
    assert {
        answer["answer"] for answer in predictor_of(net, SENTENCE_HEAD, "text", threshold=below)(QUESTIONS)
    } == {""}


@pytest.mark.parametrize("said", ["false", 0, None])
def test_a_folder_that_does_not_say_true_or_false_of_questions_without_an_answer_is_refused(
    make_theirs, said
):
    made = make_theirs("Electra", generator=None, class_name="ElectraForQuestionAnswering")
    config = json.loads((made.folder / "config.json").read_text())
    (made.folder / "config.json").write_text(json.dumps(config | {"has_unanswerable_questions": said}))
    with pytest.raises(
        InputError, match=f"config.json has has_unanswerable_questions {said!r}; write true or false"
    ):
        from_pretrained(made.folder)


def test_the_command_answers_from_a_folder_of_transformers(tmp_path, make_theirs):
    made = make_theirs(
        generator=None, class_name="ElectraForTokenClassification", id2label=dict(enumerate(TAGS))
    )
    expected = list(predictor_of(from_pretrained(made.folder), SENTENCE_HEAD, "text")(SENTENCES))
    found = predict_here(made.folder, SENTENCES, tmp_path)
    logits = [each.pop("logits") for each in found]
    assert found == [{name: value for name, value in each.items() if name != "logits"} for each in expected]
    assert all(
        np.abs(np.array(one) - each["logits"]).max() < 1e-5
        for one, each in zip(logits, expected, strict=True)
        if one
    )
    assert json.loads((made.folder / "config.json").read_text())["architectures"] == [
        "ElectraForTokenClassification"
    ]
