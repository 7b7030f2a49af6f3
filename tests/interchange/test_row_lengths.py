"""The length of the training's rows is kept with the model, and text is cut to it wherever it is used."""

import dataclasses
import json
import re

import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.predictions import predictor_of
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.hub.interface import ElectraHubInterface, from_pretrained
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.interchange.tokenizer_files import read_max_length
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from tests.helpers.commands import electra_here
from tests.helpers.fine_tuned import LONGEST, POSITIONS
from tests.helpers.transformers_models import transformers

SHORT = "The object is returned."
LONG = " ".join(["An object's type determines the operations that the object supports"] * 8)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_text_is_cut_alike_by_the_checkpoint_its_export_and_transformers(tmp_path, tuned, positions):
    ours, lines = tuned(positions=positions), [SHORT, LONG, f"{LONG} {SHORT}"]
    said = export_transformers(ours, tmp_path / "out")
    assert any(f"texts are cut to {LONGEST} tokens" in line for line in said)
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["model_max_length"] == LONGEST
    # as many as the tensor has
    assert json.loads((tmp_path / "out" / "config.json").read_text())["max_position_embeddings"] == POSITIONS
    answers = []
    for net in (ElectraHubInterface(ours), from_pretrained(tmp_path / "out")):
        predictor = predictor_of(one_text_a_line(net), SENTENCE_HEAD, "text")
        answers.append(torch.tensor([answer["logits"] for answer in predictor(lines)]))
        assert (predictor.max_positions, predictor.number_cut) == (LONGEST, 2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        answers.append(
            torch.cat(
                [model(**tokenizer(line, truncation=True, return_tensors="pt")).logits for line in lines]
            )
        )
    assert (answers[0] - answers[1]).abs().max() < 1e-4 and (answers[0] - answers[2]).abs().max() < 1e-4


def one_text_a_line(net):
    """One text a line, whatever the training had."""
    if net.task is not None:
        net.task = dataclasses.replace(net.task, inputs=0)
    return net


def test_rotary_rows_longer_than_transformers_table_get_a_longer_table(tmp_path, tuned):
    ours = tuned(positions="rotary", max_positions=100)
    differences = re.findall(r"\d\.\de[-+]\d+", export_transformers(ours, tmp_path / "out")[-1])
    # hidden states and scores
    assert len(differences) == 2 and all(float(share) < 1e-9 for share in differences)
    back = read_folder(tmp_path / "out").pretrained
    assert back.max_length == 100 == back.model.sizes.max_position_embeddings
    assert tuned(max_positions=100).max_length == POSITIONS  # of learned ones there are no more


def test_max_length_is_the_shorter_of_prepared_and_trained_rows(tuned):
    ours = tuned(max_positions=60)
    for options, expected in (({"max_positions": 40}, 40), ({"max_positions": 512}, 60), ({}, 60)):
        assert (
            dataclasses.replace(
                ours, cfg=OmegaConf.create({"task": {"_name": PREDICTION, **options}})
            ).max_length
            == expected
        )


def test_the_length_goes_from_pre_training_to_transformers_and_back_into_a_checkpoint(tmp_path, pretrained):
    ours = pretrained(max_position_embeddings=POSITIONS)
    assert ours.max_length == POSITIONS  # nothing is known of its training
    ours.cfg = OmegaConf.create({"task": {"_name": "electra_pretraining", "tokens_per_sample": LONGEST}})
    export_transformers(ours, tmp_path / "out")
    assert read_folder(tmp_path / "out").pretrained.max_length == LONGEST
    for place in (".", "generator"):
        assert (
            transformers.AutoTokenizer.from_pretrained(tmp_path / "out" / place).model_max_length == LONGEST
        )
    import_transformers(tmp_path / "out", tmp_path / "in" / "checkpoint.pt")
    assert load_checkpoint(tmp_path / "in" / "checkpoint.pt").max_length == LONGEST


@pytest.mark.parametrize("kind", [TAGGING, ANSWERING])
def test_windows_and_answers_are_made_alike_after_export(tmp_path, tuned, kind):
    ours = tuned(kind)
    ours.cfg = OmegaConf.create({"task": {"_name": kind, "max_answer_length": 3}})
    export_transformers(ours, tmp_path / "out")
    import_transformers(tmp_path / "out", tmp_path / "in" / "checkpoint.pt")
    lines = (
        [LONG, SHORT]
        if kind == TAGGING
        else [f"Which operations does it support?\t{LONG}", f"Which?\t{SHORT}"]
    )
    found = []
    for net in (
        ElectraHubInterface(ours),
        from_pretrained(tmp_path / "out"),
        from_pretrained(tmp_path / "in" / "checkpoint.pt"),
    ):
        predictor = predictor_of(net, next(iter(net.labels)), "text")
        found.append(list(predictor(lines)))
        assert (net.task.stride, predictor.max_positions, predictor.number_cut) == (
            5,
            LONGEST,
            kind == ANSWERING,
        )
        if kind == ANSWERING:
            assert net.task.max_question == 4 and net.options["max_answer_length"] == 3
    for each in found[1:]:
        if kind == ANSWERING:
            assert [answer["answer"] for answer in each] == [answer["answer"] for answer in found[0]]
        else:
            assert [tags["tags"] for tags in each] == [tags["tags"] for tags in found[0]]
            assert torch.allclose(
                torch.tensor(each[0]["logits"]), torch.tensor(found[0][0]["logits"]), atol=1e-4
            )


def test_the_longest_answer_is_exported_where_the_prepared_folder_is_gone(tmp_path, tuned):
    cfg = OmegaConf.create({"task": {"_name": ANSWERING, "max_answer_length": 3}})
    export_transformers(dataclasses.replace(tuned(ANSWERING), task=None, cfg=cfg), tmp_path / "out")
    assert from_pretrained(tmp_path / "out").options["max_answer_length"] == 3


@pytest.mark.parametrize(
    ("kind", "lines", "sentence"),
    [
        (
            PREDICTION,
            [SHORT, LONG, LONG],
            f"2 of 3 lines were cut to {LONGEST} tokens, the longest row of the training",
        ),
        (
            RANKING,
            [f"{SHORT}\tyes\tno", f"{LONG}\tyes\tno"],
            f"1 of 2 lines were cut to {LONGEST} tokens, the longest row of the training",
        ),
        (TAGGING, [LONG, "a" * 90], f"1 of 2 lines have a word that was cut to {LONGEST - 2} pieces"),
        (
            ANSWERING,
            [f"Which operations does it support?\t{LONG}"],
            "1 of 1 lines have a question that was cut to 4 pieces",
        ),
        (PREDICTION, [SHORT], ""),
    ],
)
def test_predict_says_how_many_lines_it_cut(tmp_path, tuned, monkeypatch, kind, lines, sentence):
    export_transformers(tuned(kind), tmp_path / "out")
    status, output, said = electra_here(
        "predict", tmp_path / "out", text="".join(f"{line}\n" for line in lines)
    )
    assert status == 0 and len(output.splitlines()) == len(lines)
    assert said.strip() == sentence


def test_predict_with_words_counts_sentences_not_lines(tmp_path, tuned, monkeypatch):
    export_transformers(tuned(TAGGING), tmp_path / "out")
    text = "An\nobject\n\n" + "a" * 90 + "\nword\n\n\nand\nmore\n"
    status, output, said = electra_here("predict", tmp_path / "out", "--words", text=text)
    assert status == 0 and len(output.splitlines()) == len(text.splitlines())
    assert said.strip() == f"1 of 3 sentences have a word that was cut to {LONGEST - 2} pieces"


@pytest.mark.parametrize("lines", [1, 2])
def test_questions_in_json_lines_that_are_named_like_squads_file_are_told_how_to_be_read(
    tmp_path, tuned, lines
):
    export_transformers(tuned(ANSWERING), tmp_path / "out")
    path = tmp_path / "q.json"
    path.write_text((json.dumps({"question": "Which?", "context": SHORT}) + "\n") * lines)
    status, output, said = electra_here("predict", tmp_path / "out", "--input", path)
    assert status == 1 and not output
    assert (
        f"{path} holds JSON lines and is named like a file of SQuAD's form; name it .jsonl, or give --text"
        " question context" in said
    )
    status, output, said = electra_here(
        "predict", tmp_path / "out", "--input", path, "--text", "question", "context"
    )
    assert status == 0 and len(output.splitlines()) == lines, said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"data": [{}]}\n', "no 'paragraphs'"),
        ('{"data": [\n1 2', "q.json, line 2: not JSON"),
        ("", "line 1: not JSON"),
    ],
)
def test_a_damaged_file_of_squads_form_is_not_called_json_lines(tmp_path, tuned, text, sentence):
    export_transformers(tuned(ANSWERING), tmp_path / "out")
    (tmp_path / "q.json").write_text(text)
    status, _, said = electra_here("predict", tmp_path / "out", "--input", tmp_path / "q.json")
    assert status == 1 and sentence in said and "holds JSON lines" not in said


def test_the_hub_warns_once_of_rows_longer_than_those_of_the_training(tuned, caplog):
    net = ElectraHubInterface(tuned())
    caplog.set_level("WARNING")
    caplog.clear()
    net.extract_features(SHORT)
    assert not caplog.records
    for _ in range(2):
        net.extract_features(LONG[:150])
    (record,) = caplog.records
    assert f"the training had at most {LONGEST}" in record.message


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, 96),
        ({"model_max_length": None}, 96),
        ({"model_max_length": 10**30}, 96),
        ({"model_max_length": 50}, 50),
    ],
)
def test_read_max_length_reads_the_limits_of_a_folder(tmp_path, said, expected):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    assert read_max_length(tmp_path, 96) == expected


@pytest.mark.parametrize("length", ["long", True, 0, float("nan")])
def test_read_max_length_refuses_what_is_no_length(tmp_path, length):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": length}))
    with pytest.raises(InputError, match=r"model_max_length .*; it must be a number of tokens from 8 on"):
        read_max_length(tmp_path, 96)


def test_positions_for_no_row_of_text_are_refused(tmp_path):
    with pytest.raises(InputError, match="has max_position_embeddings 5; rows of text need 8 or more"):
        read_max_length(tmp_path, 5)


@pytest.mark.parametrize("settings", [5, {"stride": 0}, {"max_question": "many"}, {"word_column": True}])
def test_damaged_settings_of_an_export_are_refused(tmp_path, tuned, settings):
    export_transformers(tuned(ANSWERING), tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fairseq_electra": settings}))
    with pytest.raises(InputError, match="must be whole numbers above 0"):
        read_folder(tmp_path / "out")
