"""Fine-tuned models of transformers: imported with their heads, started from, or refused.

They are refused if their head computes something else.
"""

import json
import logging

import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import segments_of
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.predictions import predictor_of
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.hub.interface import from_pretrained
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import HEAD, import_transformers
from fairseq_electra.interchange.transformers_folder import read_folder
from fairseq_electra.models.electra_encoder import ElectraEncoder, ElectraEncoderConfig
from fairseq_electra.pretraining.binarized import load_dictionary
from tests.helpers.transformers_models import edit, in_double

MNLI = ["entailment", "neutral", "contradiction"]
PAD, EOS = 1, 2
KINDS = {
    "ElectraForSequenceClassification": (PREDICTION, MNLI),
    "RoFormerForSequenceClassification": (PREDICTION, MNLI),
    "ElectraForTokenClassification": (TAGGING, ["O", "B-X", "I-X"]),
    "ElectraForMultipleChoice": (RANKING, ["LABEL_0"]),
    "ElectraForQuestionAnswering": (ANSWERING, []),
}


@pytest.mark.parametrize("class_name", KINDS)
def test_a_fine_tuned_net_is_imported_with_its_head_and_used_from_the_checkpoint(
    tmp_path, make_theirs, class_name
):
    kind, labels = KINDS[class_name]
    names = {"id2label": dict(enumerate(labels))} if len(labels) > 1 else {}
    made = make_theirs(
        "RoFormer" if "RoFormer" in class_name else "Electra", generator=None, class_name=class_name, **names
    )
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert (
        f"a net fine-tuned for {kind}" in lines[0]
        and f"head {HEAD}" in lines[0]
        and f"{HEAD} hidden states" in lines[-1]
    )
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [
        "checkpoint.pt",
        "dict.txt",
        "task.json",
        "tokenizer.json",
    ]
    loaded = load_checkpoint(tmp_path / "in" / "checkpoint.pt")
    assert loaded.kind == kind and loaded.labels == {HEAD: labels} and loaded.task.max_positions == 96
    rows = parity.rows_of_text(loaded.tokenizer, 64)
    padding = rows == PAD
    order = read_folder(made.folder).order
    segments = segments_of(rows, EOS).masked_fill(padding, 0)
    inputs = {"input_ids": order[rows], "token_type_ids": segments, "attention_mask": (~padding).long()}
    if kind == RANKING:
        inputs = {name: tensor.unsqueeze(1) for name, tensor in inputs.items()}
    given = {"allowed": ~padding} if kind == ANSWERING else None
    with torch.no_grad():
        theirs = in_double(made.discriminator)(**inputs)
        ours, _ = loaded.model.double()(rows, classification_head_name=HEAD, head_inputs=given)
    if kind == ANSWERING:
        assert (ours.first - theirs.start_logits)[~padding].abs().max() < 1e-11
        return
    kept = ~padding if kind == TAGGING else slice(None)
    assert (ours - theirs.logits)[kept].abs().max() < 1e-11


def test_the_labels_of_an_imported_net_are_those_of_its_predictions(tmp_path, make_theirs):
    made = make_theirs(
        generator=None, class_name="ElectraForSequenceClassification", id2label=dict(enumerate(MNLI))
    )
    import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    lines = ["A name.\tIt is a name.", "Short.\tLong."]
    folder, checkpoint = from_pretrained(made.folder), from_pretrained(tmp_path / "in" / "checkpoint.pt")
    expected = list(predictor_of(folder, next(iter(folder.labels)), "text")(lines))
    found = list(predictor_of(checkpoint, HEAD, "text")(lines))
    assert found == expected and list(found[0]["probabilities"]) == MNLI


def test_a_new_task_starts_from_the_encoder_of_an_imported_net_and_gets_a_head_of_its_own(
    tmp_path, make_theirs, caplog
):
    made = make_theirs(
        generator=None, class_name="ElectraForSequenceClassification", id2label=dict(enumerate(MNLI))
    )
    import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    start, dictionary = load_checkpoint(tmp_path / "in" / "checkpoint.pt"), load_dictionary(tmp_path / "in")
    options = {"finetune_from_model": str(tmp_path / "in" / "checkpoint.pt"), "save_dir": str(tmp_path)}
    cfg = OmegaConf.merge(OmegaConf.structured(ElectraEncoderConfig), options)
    for head, classes in (("sentence_classification_head", 2), ("sentence_classification_head", 3)):
        model = ElectraEncoder.build_model(cfg, type("Task", (), {"source_dictionary": dictionary}))
        model.register_classification_head(head, classes)
        fresh = {
            name: tensor.clone() for name, tensor in model.classification_heads[head].state_dict().items()
        }
        with caplog.at_level(logging.INFO, logger="fairseq_electra"):
            model.load_state_dict(torch.load(tmp_path / "in" / "checkpoint.pt", weights_only=False)["model"])
        for name, tensor in start.model.state_dict().items():
            assert name.startswith("classification_heads.") or torch.equal(
                model.state_dict()[name], tensor
            ), name
        assert all(
            torch.equal(model.classification_heads[head].state_dict()[name], tensor)
            for name, tensor in fresh.items()
        )
    assert (
        f"4 dropped (classification_heads.{HEAD}), 2 initialised"
        " (classification_heads.sentence_classification_head)" in caplog.text
    )


SENTENCE, CHOICE, TAGS = (
    "ElectraForSequenceClassification",
    "ElectraForMultipleChoice",
    "ElectraForTokenClassification",
)
REFUSED = [
    (
        CHOICE,
        {"summary_type": "last"},
        "has summary_type 'last', where the head for multiple choice here has 'first'",
    ),
    (CHOICE, {"summary_type": "mean"}, "has summary_type 'mean'"),
    (CHOICE, {"summary_activation": None}, "has summary_activation None"),
    (CHOICE, {"summary_activation": "tanh"}, "has summary_activation 'tanh'"),
    (CHOICE, {"summary_proj_to_labels": True}, "has summary_proj_to_labels True"),
    (SENTENCE, {"problem_type": "regression"}, "has problem_type 'regression' with 3 scores"),
    (SENTENCE, {"id2label": {"0": "yes", "1": "no", "2": "yes"}}, "has 'yes' for 2 classes in id2label"),
    (TAGS, {"id2label": {"0": "O", "1": "O", "2": "B-X"}}, "has 'O' for 2 classes in id2label"),
    (SENTENCE, {"id2label": {"0": "yes", "1": "no"}}, "must have the names 0 to 2 in id2label"),
    (
        SENTENCE,
        {"id2label": ["x"]},
        "must have an object with the names of the classes for id2label, has ['x']",
    ),
    (
        CHOICE,
        {"id2label": ["x"]},
        "must have an object with the names of the classes for id2label, has ['x']",
    ),
    (
        SENTENCE,
        {"architectures": ["MyElectraForTopics"]},
        "is of the class MyElectraForTopics, which may compute something else",
    ),
]


@pytest.mark.parametrize(("class_name", "changes", "sentence"), REFUSED)
def test_a_head_that_computes_another_function_is_refused_in_one_sentence(
    tmp_path, make_theirs, class_name, changes, sentence
):
    names = {} if class_name == CHOICE else {"id2label": dict(enumerate(MNLI))}
    made = make_theirs(generator=None, class_name=class_name, **names)
    edit(made.folder / "config.json", **changes)
    for use in (
        lambda: from_pretrained(made.folder),
        lambda: import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt"),
    ):
        with pytest.raises(InputError) as caught:
            use()
        assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "in").exists()


def test_roformers_multiple_choice_reads_the_last_token_unless_told_otherwise_and_is_refused(make_theirs):
    made = make_theirs(
        "RoFormer", generator=None, class_name="RoFormerForMultipleChoice", summary_use_proj=True
    )
    with pytest.raises(InputError, match="has summary_type 'last'"):
        read_folder(made.folder)


def test_read_folder_takes_one_score_for_a_number(make_theirs):
    made = make_theirs(generator=None, class_name=SENTENCE, num_labels=1)
    assert read_folder(made.folder).pretrained.task.regression
    edit(made.folder / "config.json", problem_type="single_label_classification")
    with pytest.raises(InputError, match="has problem_type 'single_label_classification' with 1 scores"):
        read_folder(made.folder)


def test_the_encoder_of_a_net_whose_head_is_refused_is_imported_as_the_refusal_says(tmp_path, make_theirs):
    made = make_theirs(generator=None, class_name=SENTENCE, problem_type="regression", num_labels=5)
    with pytest.raises(
        InputError, match='to import the encoder alone, name ElectraModel under "architectures" there'
    ):
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    edit(made.folder / "config.json", architectures=["ElectraModel"])
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert sum("the head of ElectraModel" in line for line in lines) == 4


def test_a_fine_tuned_net_takes_no_generator(tmp_path, make_theirs):
    made = make_theirs(class_name=SENTENCE)
    with pytest.raises(
        InputError, match=r"holds a net that was fine-tuned, which has no generator; leave .*generator out"
    ):
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt", made.folder / "generator")


def test_parity_notices_a_head_without_its_activation_and_nothing_is_written(
    tmp_path, make_theirs, monkeypatch
):
    def forward(self, hidden, padding_mask):
        return self.prediction(self.dense(hidden[:, 0]))

    monkeypatch.setattr(SentenceHead, "forward", forward)
    made = make_theirs(generator=None, class_name=SENTENCE)
    with pytest.raises(
        InputError, match=rf"the {HEAD}'s scores differ from transformers' by .* nothing was written"
    ):
        import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert not (tmp_path / "in").exists()


def test_the_checkpoint_of_an_imported_net_is_exported_with_the_same_head(tmp_path, make_theirs):
    from fairseq_electra.interchange.export_transformers import export_transformers

    made = make_theirs(generator=None, class_name=SENTENCE, id2label=dict(enumerate(MNLI)))
    import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    export_transformers(load_checkpoint(tmp_path / "in" / "checkpoint.pt"), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [SENTENCE] and list(config["id2label"].values()) == MNLI
    before, after = (
        read_folder(folder).pretrained.model.classification_heads.state_dict()
        for folder in (made.folder, tmp_path / "out")
    )
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_an_export_keeps_how_labels_are_written(tmp_path, tuned):
    """Tags that were to be kept as they are would else be made legal, and labels cut at another sign."""
    for kind, scheme in ((TAGGING, "none"), (TAGGING, "BIOES")):
        folder = tmp_path / scheme
        export_transformers(tuned(kind, scheme=scheme), folder)
        assert read_folder(folder).pretrained.task.scheme == scheme
    edit(folder / "config.json", fairseq_electra={"scheme": "BIOS"})
    with pytest.raises(InputError, match="has the scheme 'BIOS' of tags, and there are BIO"):
        read_folder(folder)
    edit(folder / "config.json", fairseq_electra={"scheme": 3})
    with pytest.raises(InputError, match=r"'scheme': 3}; scheme, label_column there must be text"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (TAGGING, {"word_column": 2, "tag_column": 4}),
        (PREDICTION, {"columns": ("sentence1", "sentence2"), "label_column": "entailed"}),
        (MULTI_LABEL, {"columns": ("text",), "label_column": "topics", "scheme": "; "}),
    ],
)
def test_an_export_keeps_which_columns_files_of_the_task_have(tmp_path, tuned, kind, form):
    """Numbers of lines would else be tagged for words, and a header answered as if it were text."""
    export_transformers(tuned(kind, **form), tmp_path / "out")
    import_transformers(tmp_path / "out", tmp_path / "again" / "checkpoint.pt")
    for task in (
        read_folder(tmp_path / "out").pretrained.task,
        load_checkpoint(tmp_path / "again" / "checkpoint.pt").task,
    ):
        assert {name: getattr(task, name) for name in form} == form
    edit(tmp_path / "out" / "config.json", fairseq_electra={"columns": "sentence1"})
    with pytest.raises(InputError, match="columns there must be a list of texts"):
        read_folder(tmp_path / "out")


def test_a_folder_whose_tokenizer_makes_other_rows_is_refused_where_it_is_used(tmp_path, make_theirs):
    """It would answer by rows that the model was not fine-tuned on."""
    made = make_theirs(generator=None, class_name="ElectraForSequenceClassification")
    assert from_pretrained(made.folder).labels
    path = made.folder / "tokenizer.json"
    whole = json.loads(path.read_text())
    separator = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    for change, said in (
        (lambda pair: pair.insert(2, separator), r"puts the texts a and b into the row '\[CLS\] a"),
        (lambda pair: [next(iter(part.values())).update(type_id=0) for part in pair], "no segment 1"),
    ):
        changed = json.loads(json.dumps(whole))
        change(changed["post_processor"]["pair"])
        path.write_text(json.dumps(changed))
        with pytest.raises(InputError, match=f"{said}.* the network was fine-tuned on such rows"):
            from_pretrained(made.folder)
    path.write_text(json.dumps(whole))
    with pytest.raises(InputError, match="a vocabulary's folder, v, is for a checkpoint"):
        from_pretrained(made.folder, vocabulary="v")


def test_the_order_of_a_row_of_multiple_choice_is_said(tmp_path, make_theirs, tuned):
    made = make_theirs(generator=None, class_name="ElectraForMultipleChoice")
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert any(line.startswith("note: a row is read as a choice and then its context") for line in lines)
    export_transformers(tuned(RANKING), tmp_path / "out")
    assert "A row is a choice and then its context" in (tmp_path / "out" / "README.md").read_text()
