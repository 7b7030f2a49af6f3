"""Heads for several labels against transformers': the same scores and the same loss, out and in."""

import dataclasses

import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import segments_of
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.multilabel.training import LabelTraining
from fairseq_electra.hub.interface import ElectraHubInterface, from_pretrained
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import HEAD, import_transformers
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from tests.helpers.fine_tuned import encoder_with_head
from tests.helpers.transformers_models import in_double, transformers

LABELS = ["joy", "anger", "fear"]
MULTI = {"problem_type": "multi_label_classification", "id2label": dict(enumerate(LABELS))}


def inputs_of(rows, order=None):
    padding, segments = rows == 1, segments_of(rows, 2).masked_fill(rows == 1, 0)
    return {
        "input_ids": rows if order is None else order[rows],
        "token_type_ids": segments,
        "attention_mask": (~padding).long(),
    }


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_head_for_labels_is_exported_exactly_and_read_back(tmp_path, pretrained, positions):
    start = pretrained()
    model = encoder_with_head(len(start.symbols), 3, positions=positions)
    task = TaskInfo("topics", MULTI_LABEL, 1, tuple(LABELS), (), 64, scheme="; ")
    run = {"task": {"_name": MULTI_LABEL}}
    ours = dataclasses.replace(start, model=model, labels={SENTENCE_HEAD: LABELS}, task=task, cfg=run)
    export_transformers(ours, tmp_path / "out")
    theirs = in_double(transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out"))
    assert (
        theirs.config.problem_type == "multi_label_classification"
        and list(theirs.config.id2label.values()) == LABELS
    )
    assert "the sigmoid of its score" in (tmp_path / "out" / "README.md").read_text()
    rows = parity.rows_of_text(start.tokenizer, 64)
    with torch.no_grad():
        expected, _ = model.double()(rows, classification_head_name=SENTENCE_HEAD)
        assert (theirs(**inputs_of(rows)).logits - expected).abs().max() < 1e-11 * expected.abs().max().clamp(
            min=1
        )
        back = read_folder(tmp_path / "out").pretrained
        found, _ = back.model.double()(rows, classification_head_name=SENTENCE_HEAD)
    assert (found - expected).abs().max() < 1e-11 * expected.abs().max().clamp(min=1)
    assert (
        back.kind == MULTI_LABEL
        and back.labels == {SENTENCE_HEAD: LABELS}
        and back.task.labels == tuple(LABELS)
        and back.task.scheme == "; "
    )


def test_scores_and_loss_are_those_of_transformers_with_labels(make_theirs):
    made = make_theirs(generator=None, class_name="ElectraForSequenceClassification", **MULTI)
    imported = read_folder(made.folder)
    rows = parity.rows_of_text(imported.pretrained.tokenizer, 64)
    target = torch.rand(len(rows), 3, generator=torch.Generator().manual_seed(1)).round().double()
    theirs = in_double(made.discriminator)(**inputs_of(rows, imported.order), labels=target)
    scores, _ = imported.pretrained.model.double()(rows, classification_head_name=SENTENCE_HEAD)
    loss, size = LabelTraining(made.folder, imported.pretrained.task, 0).loss(scores, {"target": target})
    assert (scores - theirs.logits).abs().max() < 1e-11 and size == len(rows)
    assert float(loss.detach()) / size == pytest.approx(float(theirs.loss), rel=1e-12)


@pytest.mark.parametrize("labels", [LABELS, ["toxic"]])
def test_an_imported_net_of_labels_gives_their_probabilities_from_folder_and_checkpoint(
    tmp_path, make_theirs, labels
):
    names = {**MULTI, "id2label": dict(enumerate(labels))}
    made = make_theirs(generator=None, class_name="ElectraForSequenceClassification", **names)
    lines = import_transformers(made.folder, tmp_path / "in" / "checkpoint.pt")
    assert f"a net fine-tuned for {MULTI_LABEL} ({', '.join(labels)}), head {HEAD}" in lines[0]
    loaded = load_checkpoint(tmp_path / "in" / "checkpoint.pt")
    assert loaded.kind == MULTI_LABEL and loaded.labels == {HEAD: labels} and not loaded.task.regression
    net, order = ElectraHubInterface(loaded), read_folder(made.folder).order
    row = net.encode("A name is bound to an object.")
    with torch.no_grad():
        theirs = made.discriminator(**inputs_of(row.unsqueeze(0), order)).logits.sigmoid()
    assert torch.allclose(net.predict(HEAD, row).exp(), theirs, atol=1e-5)
    of_folder = from_pretrained(made.folder)
    assert torch.allclose(of_folder.predict(SENTENCE_HEAD, row).exp(), theirs, atol=1e-5)


def test_a_net_of_labels_with_two_of_one_name_is_refused(make_theirs):
    made = make_theirs(
        generator=None,
        class_name="ElectraForSequenceClassification",
        **{**MULTI, "id2label": {0: "a", 1: "b", 2: "a"}},
    )
    with pytest.raises(InputError, match="has 'a' for 2 classes in id2label"):
        read_folder(made.folder)
