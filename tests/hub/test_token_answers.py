"""p(replaced) of tokens and guesses for masks, as lines of JSON and in colours."""

import json
import re

import pytest
import torch

import fairseq_electra
from fairseq_electra.errors import InputError
from fairseq_electra.hub.coloured import guessed, shaded
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.hub.token_answers import Detector, Filler
from fairseq_electra.pretraining import accents
from fairseq_electra.pretraining.pieces import WordPieces
from fairseq_electra.pretraining.wordpiece import load_wordpiece, train_wordpiece
from tests.helpers.commands import electra_here

LINES = ["The Object is returned (by reference) here.", "", "One  two\tNAME"]
MASKED = ["the <mask> of a <mask> is short", "<mask>", "a name that is a bit longer than the others: <mask>"]


@pytest.fixture(scope="module")
def hub(make_task, make_model, vocabulary):
    task = make_task()
    model = make_model(task, positions="learned").eval()
    return ElectraHubInterface(
        Pretrained(model, load_wordpiece(vocabulary), task.source_dictionary.symbols, cut_to=32),
        max_tokens=48,
    )


def test_detector_gives_each_token_its_offsets_and_p_replaced(hub):
    found = list(Detector(hub, at_once=2)(LINES))
    assert [answer["text"] for answer in found] == LINES and found[1]["tokens"] == []
    for line, answer in zip(LINES, found, strict=True):
        row = hub.encode(line)
        expected = hub.model.discriminate(row[None], torch.zeros_like(row[None]), None).sigmoid()[0, 1:-1]
        assert [token["p_replaced"] for token in answer["tokens"]] == pytest.approx(
            expected.tolist(), abs=2e-6
        )
        assert [token["token"] for token in answer["tokens"]] == [hub.symbols[i] for i in row[1:-1]]
        for token in answer["tokens"]:
            assert line[token["begin"] : token["end"]].lower() == token["token"].removeprefix("##")


def test_filler_guesses_each_mask_as_if_the_others_stayed_masked(hub):
    found = list(Filler(hub, topk=3)(MASKED))
    for line, answer in zip(MASKED, found, strict=True):
        pieces = re.split("(<mask>)", line)
        row = [
            0,
            *(
                i
                for piece in pieces
                for i in ([hub.mask] if piece == "<mask>" else hub.encode(piece)[1:-1].tolist())
            ),
            2,
        ]
        positions = [i for i, token in enumerate(row) if token == hub.mask]
        tokens = torch.tensor([row])
        scores = hub.model.generate(tokens, torch.zeros_like(tokens), None, torch.tensor([positions]))[
            0
        ].softmax(-1)
        values, ids = scores.topk(3)
        assert len(answer["guesses"]) == len(positions)
        for own, value, number in zip(answer["guesses"], values.tolist(), ids.tolist(), strict=True):
            assert [guess["probability"] for guess in own] == pytest.approx(value, abs=2e-6)
            assert [guess["token"] for guess in own] == [hub.symbols[i] for i in number]
    alone = hub.fill_mask(MASKED[2], topk=3)
    assert [guess["token"] for guess in found[2]["guesses"][0]] == [token for _, _, token in alone]
    assert found[2]["filled"] == alone[0][0]


def test_line_answers_cut_and_count_long_lines_and_refuse_a_mask_after_the_cut(hub):
    detector, filler = Detector(hub), Filler(hub)
    (answer,) = detector(["a " * 40])
    assert len(answer["tokens"]) == 30 and (detector.number_read, detector.number_cut) == (1, 1)
    (answer,) = filler(["<mask>" + " a" * 40])
    assert len(answer["guesses"]) == 1 and filler.number_cut == 1
    with pytest.raises(InputError, match="text, line 2: a <mask> stands behind the 30 tokens"):
        list(Filler(hub)(["<mask>", "a " * 40 + "<mask>"]))
    with pytest.raises(InputError, match="text, line 300: no <mask> in 'none'"):  # of the second batch
        list(Filler(hub)(["<mask>"] * 299 + ["none"]))


def test_detect_and_fill_write_one_line_of_json_per_line(hub, monkeypatch):
    monkeypatch.setattr(fairseq_electra, "from_pretrained", lambda *_, **__: hub)
    status, output, said = electra_here("detect", "checkpoints", text="\ufeffa name\n\none\n" + "a " * 40)
    answers = [json.loads(line) for line in output.splitlines()]
    assert status == 0 and [answer["text"] for answer in answers[:3]] == ["a name", "", "one"]
    assert said.strip() == "1 of 4 lines were cut to 32 tokens, the longest row of the training"
    status, output, said = electra_here("fill", "checkpoints", "--top", "2", text="a <mask>\n<mask> b\n")
    assert (
        status == 0
        and not said
        and [len(json.loads(line)["guesses"][0]) for line in output.splitlines()] == [2, 2]
    )


@pytest.mark.parametrize(
    ("name", "content", "column", "sentence"),
    [
        (
            "a.jsonl",
            '{"body": "a name"}\n{"body": "one"}\n',
            "body",
            "line 1: a JSON record with 'body', and the model does not know",
        ),
        (
            "a.txt",
            '{"body": "a name"}\n{"body": "one"}\n',
            "body",
            "line 1: a JSON record with 'body', and the model does not know",
        ),
        ("a.csv", "id,body\n1,a name\n2,one\n", "body", "a.csv is a table by its name"),
        ("a.tsv", "id\tbody\n1\ta name\n2\tone\n", "body", "a.tsv is a table by its name"),
    ],
)
def test_detect_reads_json_and_tables_by_column_only(
    hub, monkeypatch, tmp_path, name, content, column, sentence
):
    monkeypatch.setattr(fairseq_electra, "from_pretrained", lambda *_, **__: hub)
    (tmp_path / name).write_text(content)
    given = ["detect", "checkpoints", "--input", tmp_path / name]
    status, output, said = electra_here(*given)
    assert status == 1 and not output and sentence in said
    of_lines = electra_here("detect", "checkpoints", text="a name\none\n")
    assert electra_here(*given, "--text", column)[:2] == of_lines[:2]


@pytest.mark.parametrize(
    ("arguments", "text", "sentence"),
    [
        (["detect", "checkpoints"], "", "standard input is empty"),
        (["fill", "checkpoints"], "<mask>\nno mask\n", "standard input, line 2: no <mask>"),
        (["fill", "checkpoints", "--top", "0"], "<mask>\n", "--top must lie between 1 and"),
        (["fill", "checkpoints", "--top", "100000"], "<mask>\n", "--top must lie between 1 and"),
        (["detect", "checkpoints", "--input", "absent.txt"], "", "absent.txt"),
    ],
)
def test_detect_and_fill_refuse_in_one_sentence(hub, monkeypatch, arguments, text, sentence):
    monkeypatch.setattr(fairseq_electra, "from_pretrained", lambda *_, **__: hub)
    status, _, said = electra_here(*arguments, text=text)
    assert status == 1 and sentence in said and len(said.strip().splitlines()) == 1


def test_shaded_colours_by_p_replaced_and_keeps_the_text(monkeypatch, hub):
    tokens = [
        {"token": "one", "begin": 0, "end": 3, "p_replaced": 0.1},
        {"token": "two", "begin": 5, "end": 8, "p_replaced": 0.3},
        {"token": "##s", "begin": 8, "end": 9, "p_replaced": 0.6},
        {"token": "end", "begin": 10, "end": 13, "p_replaced": 0.9},
    ]
    found = shaded({"text": "One  Twos\x1bEnd.", "tokens": tokens})
    assert (
        found == "One  \033[33mTwo\033[0m\033[43;30ms\033[0m\N{REPLACEMENT CHARACTER}\033[41;97mEnd\033[0m."
    )
    monkeypatch.setattr(fairseq_electra, "from_pretrained", lambda *_, **__: hub)
    output = electra_here("detect", "checkpoints", "--format", "color", text="a name\n")[1]
    legend, line = output.splitlines()
    assert legend.startswith("p(replaced) from ") and re.sub("\033\\[[0-9;]*m", "", line) == "a name"


def test_guessed_shows_guesses_in_the_text_and_below():
    guesses = [
        [{"token": "##s", "probability": 0.5}, {"token": "man", "probability": 0.25}],
        [{"token": "is", "probability": 1.0}],
    ]
    found = guessed({"text": "dog <mask> it <mask>.", "guesses": guesses}, WordPieces())
    assert found == "dog\033[1;32ms\033[0m it \033[1;32mis\033[0m.\n  ##s 0.50  man 0.25\n  is 1.00"


def plain(coloured):
    return re.sub("\033\\[[0-9;]*m", "", coloured)


def test_shaded_shows_a_character_of_several_tokens_once_by_the_largest(monkeypatch):
    """A vocabulary without accents takes 한 and 국 apart, so that their pieces share an offset."""
    monkeypatch.setattr(accents, "MIN_SHARE", 2)  # as before Korean text kept its own
    text = "한국 말"
    offsets = train_wordpiece(["한 국 말"] * 20, 60).encode(text, add_special_tokens=False).offsets
    assert len(offsets) > len(set(offsets))  # else this shows nothing
    tokens = [{"token": "x", "begin": a, "end": b, "p_replaced": 0.0} for a, b in offsets]
    assert shaded({"text": text, "tokens": tokens}) == text
    for first, second in ((0.1, 0.9), (0.9, 0.1)):
        tokens = [
            {"token": "x", "begin": 0, "end": 1, "p_replaced": first},
            {"token": "##y", "begin": 0, "end": 2, "p_replaced": second},
        ]
        found = shaded({"text": text, "tokens": tokens})
        assert found.startswith("\033[41;97m한") and plain(found) == text


@pytest.mark.parametrize(
    "text",
    ["全角\u3000空白", "a\u00a0b", "می\u200cخواهم", "क\u094d\u200dष", "so\u00adft", "\u200eabc", "a\tb"],
)
def test_shaded_keeps_blanks_and_joiners(text):
    assert shaded({"text": text, "tokens": []}) == text


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\x7f", "\r", "\u202e", "\u2066", "\u2069"])
def test_shaded_and_guessed_replace_control_characters(character):
    assert shaded({"text": f"a{character}b", "tokens": []}) == "a\N{REPLACEMENT CHARACTER}b"
    found = guessed(
        {"text": f"{character}<mask>", "guesses": [[{"token": f"a{character}", "probability": 1.0}]]},
        WordPieces(),
    )
    assert character not in plain(found) and found.count("\N{REPLACEMENT CHARACTER}") == 3
