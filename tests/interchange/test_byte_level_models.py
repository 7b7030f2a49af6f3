"""Models with a byte-level BPE vocabulary: used, prepared for, imported, trained and exported."""

import json

import numpy as np
import pytest
import torch

import fairseq_electra
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.questions.answers import BEGIN, END, answers_of_questions, texts_of
from fairseq_electra.finetuning.questions.folder import QuestionFolder, WindowColumn, write_question_folder
from fairseq_electra.finetuning.questions.read import Question, Squad
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.sentences.folder import write_task_folder
from fairseq_electra.finetuning.sentences.read import Example
from fairseq_electra.finetuning.words.folder import TagFolder, write_tag_folder
from fairseq_electra.finetuning.words.read import Sentence
from fairseq_electra.hub.coloured import guessed, shaded
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.hub.token_answers import Detector, Filler
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.interchange.take_vocabulary import take_vocabulary
from fairseq_electra.interchange.tokenizer_files import read_tokenizer
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from fairseq_electra.probes.prompts import make_prompts
from fairseq_electra.probes.templates import Template
from tests.helpers.byte_level_folder import (
    SPARE_ROWS,
    byte_level_tokenizer,
    save_byte_level,
    transformers,
)
from tests.helpers.commands import electra_here
from tests.helpers.imported_models import fine_tune
from tests.helpers.training import train_here
from tests.helpers.transformers_models import save_theirs

TEXT = "The naïve  statement\tis 😀 (中文)."


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, corpus_lines):
    """A folder of transformers: ELECTRA with random weights, and a byte-level BPE tokenizer."""
    folder = tmp_path_factory.mktemp("theirs")
    tokenizer = byte_level_tokenizer(corpus_lines[:300])
    rows = [f"row{i}" for i in range(tokenizer.get_vocab_size() + SPARE_ROWS)]
    save_theirs(folder, rows, tokenizer="vocab.txt")
    for path in [*folder.rglob("vocab.txt"), *folder.rglob("tokenizer_config.json")]:
        path.unlink()
    return save_byte_level(folder, tokenizer)


@pytest.fixture(scope="module")
def vocabulary(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab")
    take_vocabulary(theirs, folder)
    return folder


@pytest.fixture(scope="module")
def running_ids(theirs):
    """Return AutoTokenizer's ids of a text, as ours."""
    auto = transformers.AutoTokenizer.from_pretrained(theirs, local_files_only=True)
    order = read_tokenizer(theirs, json.loads((theirs / "config.json").read_text())["vocab_size"]).order
    our_id = {number: i for i, number in enumerate(order)}
    return lambda text: [our_id[i] for i in auto(text, add_special_tokens=False)["input_ids"]]


@pytest.fixture(scope="module")
def hub(theirs):
    return fairseq_electra.from_pretrained(theirs)


def test_detector_shows_text_and_offsets_in_characters(hub):
    (answer,) = Detector(hub)([TEXT])
    for token in answer["tokens"]:
        shown = TEXT[token["begin"] : token["end"]]
        assert token["token"].strip(" ") == shown or token["token"].lstrip(" ").startswith("\\x")
    assert "Ġ" not in json.dumps(answer, ensure_ascii=False)
    assert any(token["token"].startswith(" ") for token in answer["tokens"])
    coloured = shaded({**answer, "tokens": [{**token, "p_replaced": 0.0} for token in answer["tokens"]]})
    assert coloured == TEXT


def test_a_token_at_a_mask_brings_its_own_blank(hub, running_ids, monkeypatch):
    filler, seen = Filler(hub, topk=2), []
    blank, none = (hub.symbols.index(symbol) for symbol in ("Ġthe", "ing"))

    def guess(rows, topk):
        seen.extend(rows)
        return [(torch.tensor([[0.7, 0.3]] * 2), torch.tensor([[blank, none], [none, blank]]))]

    monkeypatch.setattr(hub, "guess_masked", guess)
    (answer,) = filler(["I see <mask> end <mask>."])
    assert seen[0].tolist() == [
        *[0, *running_ids("I see"), hub.mask, *running_ids(" end"), hub.mask, *running_ids("."), 2]
    ]
    assert answer["filled"] == "I see the ending."
    assert [guess["token"] for guess in answer["guesses"][0]] == [" the", "ing"]
    assert guessed(answer, hub.pieces).split("\n")[0] == "I see\033[1;32m the\033[0m end\033[1;32ming\033[0m."


def test_fill_mask_puts_the_token_in_the_text(hub, running_ids):
    filled = hub.fill_mask("I see <mask>.", topk=3)
    row = torch.tensor([0, *running_ids("I see"), hub.mask, *running_ids("."), 2])
    ((values, ids),) = hub.guess_masked([row], topk=3)
    assert [value for _, value, _ in filled] == pytest.approx(values[0].tolist())
    assert [token for *_, token in filled] == [hub.pieces.text(hub.symbols[i]) for i in ids[0]]
    assert all(sentence == f"I see{token}." for sentence, _, token in filled)


def test_encode_and_decode_keep_the_text(hub, running_ids):
    assert hub.encode(TEXT, "B").tolist() == [0, *running_ids(TEXT), 2, *running_ids("B"), 2]
    assert hub.decode(hub.encode(TEXT)) == TEXT and hub.decode(hub.encode("a", " b")) == ["a", " b"]


def test_features_of_words_leave_out_blanks(hub):
    text = "\n  One 中文\t two "
    found = hub.extract_features_aligned_to_words(text)
    encoding = hub.tokenizer.encode(text, add_special_tokens=False)
    states = hub.extract_features(text)[0, 1:-1]
    assert found.words == ["One", "中文", "two"]
    for (begin, end), features in zip(found.offsets, found.features, strict=True):
        own = [i for i, (first, last) in enumerate(encoding.offsets) if begin <= first < end and last <= end]
        assert own and torch.allclose(features, states[own].mean(0), atol=1e-6)


def test_words_have_the_ids_of_the_running_text(vocabulary, running_ids, tmp_path):
    words = ["John", "'s", "(", "naïve", ")", "中文", ",", "well-known", "😀", "end", "."]
    sentences = [Sentence(words, [], "line 1"), Sentence(["One"], [], "line 2")]
    info = TaskInfo("x", "token_classification", 1, (), ("accuracy",), 128, stride=20)
    write_tag_folder(tmp_path / "task", vocabulary, {"train": sentences}, info)
    folder = TagFolder(tmp_path / "task", "train", 10_000, 1)
    ids, tags = folder.row(0)
    assert ids.tolist() == running_ids(" ".join(words)) and (tags >= 0).sum() == len(words)
    firsts = [len(running_ids(" ".join(words[:i]))) for i in range(len(words))]
    assert np.flatnonzero(tags >= 0).tolist() == firsts
    assert folder.row(1)[0].tolist() == running_ids("One")


def test_answers_are_found_by_characters_without_the_blank_before(vocabulary, running_ids, tmp_path):
    context = "Once  the naïve 😀 (known) statement\nwas 中文 here."
    answers = ["Once", "the naïve", "😀", "known", "statement\nwas", "中文", "here"]
    questions = [
        Question(str(i), "Which one?", 0, ((context.index(answer), answer),))
        for i, answer in enumerate(answers)
    ]
    info = TaskInfo("x", "question_answering", 2, (), ("f1",), 128, stride=20, max_question=20)
    write_question_folder(tmp_path / "task", vocabulary, {"train": Squad([context], questions)}, info)
    folder = QuestionFolder(tmp_path / "task", "train", 10_000)
    question, piece = folder.row(0)
    assert (question.tolist(), piece.tolist()) == (running_ids("Which one?"), running_ids(context))
    columns = (WindowColumn.ANSWER_FIRST, WindowColumn.ANSWER_LAST)
    best = np.array([[i, 0.0, *folder.windows[i, list(columns)], -1.0] for i in range(len(answers))])
    found = answers_of_questions(folder, best, 1)
    assert texts_of(found, [context] * len(answers)) == answers
    assert found[0, 0, [BEGIN, END]].tolist() == [0, 4]


def test_sentences_and_pairs_have_the_ids_of_each_text(vocabulary, running_ids, tmp_path):
    info = TaskInfo("x", PREDICTION, 2, ("no", "yes"), ("accuracy",), 64)
    examples = [Example((TEXT, " b"), "yes", "line 1")]
    write_task_folder(tmp_path / "task", vocabulary, {"train": examples}, info)
    for name, text in (("input0", TEXT), ("input1", " b")):
        found = open_binarized(tmp_path / "task" / name / "train", 10_000)
        assert found.ids.tolist() == [*running_ids(text), 2]


def test_prepare_takes_texts_with_several_labels(vocabulary, running_ids, tmp_path):
    record = json.dumps({"text": TEXT, "labels": ["a", "b"]}, ensure_ascii=False) + "\n"
    (tmp_path / "train.jsonl").write_text(record * 2, encoding="utf-8")
    arguments = ["prepare", "--vocab", vocabulary, "--destdir", tmp_path / "task", "--text", "text"]
    options = ["--label", "labels", "--multi-label", "--train", tmp_path / "train.jsonl"]
    status, _, said = electra_here(*arguments, *options, "--valid", tmp_path / "train.jsonl")
    assert status == 0, said
    assert MULTI_LABEL in (tmp_path / "task" / "task.json").read_text()
    found = open_binarized(tmp_path / "task" / "input0" / "train", 10_000)
    assert found.ids[: found.line_sizes[0] - 1].tolist() == running_ids(TEXT)


PROMPTED = ["The naïve statement is 😀 (中文).", "a <foo> function", "Why?! "]


@pytest.mark.parametrize(
    "text", ["{text} It was {label}.", "{label} : {text}", "Is {text} {label} or not?", "{text}. {label}, so"]
)
def test_prompts_have_the_ids_of_the_whole_text_for_each_label(hub, running_ids, text):
    info = TaskInfo("x", PREDICTION, 1, ("no", "yes"), ("accuracy",), 64)
    words = {"no": "bad", "yes": "returned a name"}
    found = make_prompts(hub, Template(text, words), info, [[running_ids(each)] for each in PROMPTED])
    for prompt, one in zip(found.prompts, PROMPTED, strict=True):
        one = one.rstrip(" .?!") if "{text}." in text else one.strip()
        for verbalizer, word in zip(found.verbalizers, words.values(), strict=True):
            whole = running_ids(text.format(text=one, label=word))
            assert [*prompt.before, *verbalizer, *prompt.after] == [0, *whole, 2]
    assert found.shortened == 0
    with pytest.raises(InputError, match="label 'yes', ' ', has no token; write a word"):
        make_prompts(hub, Template(text, {"no": "bad", "yes": " "}), info, [])


def test_prompts_cut_a_long_text_and_never_the_template(hub, running_ids):
    info = TaskInfo("x", PREDICTION, 1, ("no", "yes"), ("accuracy",), 64)
    template = Template("{text} It was {label}.", {"no": "bad", "yes": "good"})
    found = make_prompts(hub, template, info, [[running_ids("a name " * 99)], [running_ids("...")]])
    assert found.shortened == 1 and found.sizes()[0] == hub.max_length
    assert list(found.prompts[0].before[-2:]) == running_ids(" It was")[-2:]
    assert list(found.prompts[1].before) == [0, *running_ids("... It was")]


def assert_exported_ids_are_ours(checkpoint, folder):
    ours = load_checkpoint(checkpoint).tokenizer
    lines = export_transformers(load_checkpoint(checkpoint), folder)
    assert any("the same ids as transformers'" in line for line in lines)
    assert "byte-level BPE" in (folder / "README.md").read_text()
    auto = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in (TEXT, "a\n\n  b", "<mask>"):
        expected = ours.encode(text, add_special_tokens=False).ids
        assert auto(text)["input_ids"] == [0, *expected, 2]


def test_a_model_with_byte_level_bpe_is_imported_and_exported(theirs, tmp_path):
    lines = import_transformers(theirs, tmp_path / "in" / "checkpoint.pt")
    assert f"rows of the token table without a piece: {SPARE_ROWS}" in "\n".join(lines)
    assert_exported_ids_are_ours(tmp_path / "in" / "checkpoint.pt", tmp_path / "out")


@pytest.mark.long
def test_an_imported_model_is_trained_further_with_whole_words_and_fine_tuned(theirs, corpus_lines, tmp_path):
    checkpoint = tmp_path / "in" / "checkpoint.pt"
    import_transformers(theirs, checkpoint)
    data = tmp_path / "bin"
    encode_to_binary(load_wordpiece(checkpoint.parent), corpus_lines[:300], data / "train", checkpoint.parent)
    log = train_here(
        *[data, tmp_path / "save", "--arch", "electra", "--finetune-from-model", checkpoint],
        *["--disable-validation", "--lr", "3e-4", "--tokens-per-sample", "48", "--mask-whole-words"],
        *["--max-update", "20"],
    )
    assert len(log.losses) == 20 and sum(log.losses[-4:]) < 0.95 * sum(log.losses[:4])
    assert_exported_ids_are_ours(tmp_path / "save" / "checkpoint_last.pt", tmp_path / "out")
    assert_exported_ids_are_ours(fine_tune(checkpoint, tmp_path), tmp_path / "tuned-out")
