"""Nets that are asked about text of which their vocabulary knows nothing say so."""

import json

import pytest

import fairseq_electra
from fairseq_electra.cli._unknown_text import UnknownText
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.unknown import PREDICTION_REMEDY, Unknown
from fairseq_electra.progress import Progress
from tests.helpers.commands import electra_here

KOREAN = "학교에서 친구와 오늘"
EVERYTHING = f"100.00% of the ids are <unk>, with 100.00% of the characters behind them: {PREDICTION_REMEDY}"


@pytest.fixture
def serve(monkeypatch):
    """Give the commands a net, whatever they ask for."""
    return lambda net: monkeypatch.setattr(
        fairseq_electra, "from_pretrained", lambda *_, **__: ElectraHubInterface(net)
    )


@pytest.mark.parametrize(
    ("kind", "more"), [(PREDICTION, []), (TAGGING, []), (TAGGING, ["--words"]), (ANSWERING, [])]
)
def test_predict_warns_where_its_answers_rest_on_unknown_words(tuned, serve, monkeypatch, kind, more):
    serve(tuned(kind))
    text = (
        f"{KOREAN}\t{KOREAN}\n"
        if kind == ANSWERING
        else "\n".join([*KOREAN.split(), ""])
        if more
        else f"{KOREAN}\n"
    )
    status, _, said = electra_here("predict", ".", *more, text=text)
    assert status == 0 and said.splitlines()[0] == f"WARNING: standard input: {EVERYTHING}"
    assert said.count("<unk>") == 1


def test_predict_warns_beside_the_scores_of_a_labelled_file(tuned, serve, tmp_path):
    serve(tuned(PREDICTION, columns=("text",), label_column="label"))
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps({"text": KOREAN, "label": label}) + "\n" for label in "xy"))
    status, _, said = electra_here("predict", ".", "--gold", gold)
    assert status == 0 and said.splitlines()[0] == f"WARNING: {gold}: {EVERYTHING}"


def test_cells_in_quotes_are_warned_of_and_quoted_reads_them(tuned, serve, tmp_path):
    serve(tuned(PREDICTION, columns=("text",), label_column="label"))
    table, bare = tmp_path / "quoted.tsv", tmp_path / "bare.tsv"
    table.write_text('text\tlabel\n"the object"\tx\n"a name"\ty\n')
    bare.write_text(table.read_text().replace('"', ""))
    for given in (["--text", "text", "--input"], ["--gold"]):
        said = electra_here("predict", ".", *given, table)
        assert said[0] == 0 and f"warning: {table}: 2 of the first " in said[2] and "give --quoted" in said[2]
        quoted, plain = (
            electra_here("predict", ".", "--quoted", *given, table),
            electra_here("predict", ".", *given, bare),
        )
        assert quoted[:2] == plain[:2] and "quotes" not in quoted[2] + plain[2]
    assert (
        "--quoted is for the cells of a TSV" in electra_here("predict", ".", "--quoted", "--input", table)[2]
    )


@pytest.mark.parametrize(("name", "text"), [("detect", KOREAN), ("fill", f"{KOREAN} <mask>")])
def test_detect_and_fill_warn_of_unknown_words_too(pretrained, serve, monkeypatch, name, text):
    serve(pretrained())
    status, _, said = electra_here(name, "net", text=f"{text}\n")
    assert status == 0 and said.strip() == f"WARNING: standard input: {EVERYTHING}"


def test_a_small_share_is_said_in_the_end_and_a_large_one_before_the_first_answer_too(capsys):
    unknown = Unknown(ids=1000, unknown_ids=1, characters=4000, unknown_characters=4)
    text = UnknownText("text", unknown)
    assert list(text.over("ab", Progress())) == ["a", "b"] and not capsys.readouterr().err
    text.say()
    assert (
        capsys.readouterr().err
        == "text: 0.10% of the ids are <unk>, with 0.10% of the characters behind them\n"
    )
    unknown.unknown_ids = 20
    answers = text.over("ab", Progress())
    next(answers)
    assert capsys.readouterr().err.startswith("WARNING: text: 2.00% of the ids are <unk>")
    unknown.ids += 1000
    text.say()
    assert capsys.readouterr().err.startswith("WARNING: text: 1.00% of the ids are <unk>")
