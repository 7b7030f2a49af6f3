"""Heads for sentences and for multiple choice, in transformers and here."""

import dataclasses
import types

import pytest
import torch
from fairseq.criterions.sentence_prediction import SentencePredictionConfig, SentencePredictionCriterion
from omegaconf import OmegaConf

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import segments_of
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from tests.helpers.fine_tuned import encoder_with_head
from tests.helpers.small_model import NET
from tests.helpers.transformers_models import in_double, transformers


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_head_for_sentences_is_exported_exactly(tmp_path, pretrained, positions, classes):
    start = pretrained()
    model = encoder_with_head(len(start.symbols), classes, positions=positions)
    run = OmegaConf.create({"task": {"regression_target": classes == 1}})
    labels = {"sentence_classification_head": [f"label {i}" for i in range(classes)]}
    ours = dataclasses.replace(start, model=model.eval(), labels=labels, cfg=run)
    lines = export_transformers(ours, tmp_path / "out")
    assert "sentence_classification_head hidden states" in lines[-1]
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert theirs.config.problem_type == ("regression" if classes == 1 else "single_label_classification")
    assert [theirs.config.id2label[i] for i in range(classes)] == labels["sentence_classification_head"]
    back = read_folder(tmp_path / "out").pretrained
    rows = parity.rows_of_text(start.tokenizer, 64)
    hidden = model.double().extract_features(rows, torch.zeros_like(rows), rows == 1)
    padding = rows == 1
    expected, found = (
        m.double().classification_heads["sentence_classification_head"](hidden, padding)
        for m in (model, back.model)
    )
    assert (expected - found).abs().max() < 1e-12


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_head_for_multiple_choice_is_exported_exactly_and_read_back(tmp_path, pretrained, positions):
    start = pretrained()
    model = encoder_with_head(len(start.symbols), 1, positions=positions)
    run = OmegaConf.create({"task": {"_name": "sentence_ranking"}})
    ours = dataclasses.replace(start, model=model, labels={SENTENCE_HEAD: ["LABEL_0"]}, cfg=run)
    export_transformers(ours, tmp_path / "out")
    theirs = in_double(transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "out"))
    model.double()
    rows = parity.rows_of_text(start.tokenizer, 64)[:8]
    padding, segments = rows == 1, segments_of(rows, 2).masked_fill(rows == 1, 0)
    expected = model.classification_heads[SENTENCE_HEAD](
        model.extract_features(rows, segments, padding), padding
    )
    inputs = {"input_ids": rows, "token_type_ids": segments, "attention_mask": (~padding).long()}
    found = theirs(**{name: tensor.view(2, 4, -1) for name, tensor in inputs.items()}).logits
    assert (found - expected.view(2, 4)).abs().max() < 1e-11
    back = read_folder(tmp_path / "out").pretrained
    assert back.kind == "sentence_ranking"
    again = back.model.double().classification_heads[SENTENCE_HEAD](
        model.extract_features(rows, segments, padding), padding
    )
    assert (again - expected).abs().max() < 1e-12


@pytest.mark.parametrize("classes", [1, 3])
def test_heads_and_losses_of_sentences_are_those_of_transformers(make_theirs, classes):
    """Compare transformers' own classification head and loss with the imported head and fairseq's criterion.

    The criterion computes losses in float32.
    """
    regression = classes == 1
    made = make_theirs(generator=None, class_name="ElectraForSequenceClassification", num_labels=classes)
    back = read_folder(made.folder).pretrained
    rows = parity.rows_of_text(back.tokenizer, 64)
    padding, segments = rows == 1, segments_of(rows, 2).masked_fill(rows == 1, 0)
    target = torch.rand(len(rows)).double() * 5 if regression else torch.arange(len(rows)) % classes
    order = read_folder(made.folder).order
    inputs = {
        "input_ids": order[rows],
        "token_type_ids": segments,
        "attention_mask": (~padding).long(),
        "labels": target,
    }
    theirs = in_double(made.discriminator)(**inputs)
    cfg = OmegaConf.structured(
        SentencePredictionConfig(classification_head_name=SENTENCE_HEAD, regression_target=regression)
    )
    task = types.SimpleNamespace(
        label_dictionary=None, target_dictionary=types.SimpleNamespace(pad=lambda: 1)
    )
    criterion = SentencePredictionCriterion(cfg, task)
    sample = {"net_input": {"src_tokens": rows}, "target": target, "ntokens": rows.numel()}
    scores, _ = back.model.double()(rows, classification_head_name=SENTENCE_HEAD)
    back.model.get_targets = lambda sample, _: sample["target"]  # as fairseq's models have it
    loss, size, _ = criterion(back.model, sample)
    assert (scores - theirs.logits).abs().max() < 1e-11
    assert size == len(rows) and abs(float(loss) / size - float(theirs.loss)) < 1e-5 * max(
        1, float(theirs.loss)
    )


UNIT = 2.0**-24  # largest relative error of rounding to float32


def largest_values(layer_norm, width):
    """What a LayerNorm makes of vectors with one large number, the largest values it can give, and of others.

    Shape: (N, 1, C).
    """
    return layer_norm(
        torch.cat([torch.eye(width), -torch.eye(width), torch.randn(200, width)]) * 1e3
    ).unsqueeze(1)


def random_layer_norm(width):
    layer_norm = torch.nn.LayerNorm(width)
    torch.nn.init.normal_(layer_norm.weight, 1.0, 0.5)
    torch.nn.init.normal_(layer_norm.bias, 0.0, 0.5)
    return layer_norm


def both_heads(classes, width):
    head, layer_norm, dense = (
        SentenceHead(width, classes, 0.0),
        random_layer_norm(width),
        SentenceHead(width, classes, 0.0, dense=True),
    )
    torch.nn.init.normal_(head.prediction.bias)
    dense.load_state_dict(head.exported(layer_norm))
    hidden = largest_values(layer_norm, width).detach()
    assert hidden.abs().max() > 7
    return head, dense, hidden, torch.zeros(len(hidden), 1, dtype=torch.bool)


@pytest.mark.parametrize("classes", [1, 3, 32])
def test_the_exported_head_for_sentences_is_the_same_function_for_the_largest_values_a_layer_norm_can_give(
    classes,
):
    torch.manual_seed(0)
    head, dense, hidden, padding = both_heads(classes, 64)
    exact = head.double()(hidden.double(), padding)
    assert (dense.double()(hidden.double(), padding) - exact).abs().max() < 1e-13 * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_exported_head_for_sentences_loses_no_digits_in_float32_and_bfloat16(dtype):
    """Check that its errors are about as large as those of our head in the same type, on every machine.

    Machines may compute sums in different orders.
    """
    torch.manual_seed(0)
    head, dense, hidden, padding = both_heads(3, 64)
    head, dense, hidden = head.to(dtype), dense.to(dtype), hidden.to(dtype)
    found, ours = dense(hidden, padding).double(), head(hidden, padding).double()
    exact = head.double()(hidden.double(), padding)
    assert (found - exact).pow(2).mean().sqrt() < 3 * (ours - exact).pow(2).mean().sqrt()


def test_a_head_with_more_classes_than_half_of_the_hidden_size_is_within_the_bound_of_its_arithmetic():
    torch.manual_seed(0)
    head, dense, hidden, padding = both_heads(33, 64)
    shift, weight = dense.dense.bias.double(), head.prediction.weight.double().abs()
    assert (hidden[:, 0] + dense.dense.bias).min() >= 8
    bound = (64 + 4) * UNIT * weight @ (2 * (shift - 8) + 9)  # shift - 8 is b_j or just above
    exact = head.double()(hidden.double(), padding)
    error = (dense(hidden, padding).double() - exact).abs().amax(0)
    assert (error <= bound).all() and bound.max() < 0.02
    assert (
        (dense.double()(hidden.double(), padding) - exact)
        .abs()
        .amax(0)
        .le(2 * UNIT * (weight @ shift + 4))
        .all()
    )


def test_a_head_with_more_classes_than_half_of_the_hidden_size_is_exported_although_its_bias_is_rounded(
    tmp_path, pretrained
):
    """Weights of one sign let the shift, and so the rounding of the bias, grow far above the scores."""
    start, classes = pretrained(), NET["hidden_size"] // 2 + 1
    model = encoder_with_head(len(start.symbols), classes)
    head = model.classification_heads[SENTENCE_HEAD]
    head.prediction.weight.data += 1
    ours = dataclasses.replace(
        start, model=model, labels={SENTENCE_HEAD: [f"label {i}" for i in range(classes)]}
    )
    assert "sentence_classification_head hidden states" in export_transformers(ours, tmp_path / "out")[-1]
    back = read_folder(tmp_path / "out").pretrained.model.classification_heads[SENTENCE_HEAD]
    layer_norm = model.encoder.layers[-1].output_layer_norm
    hidden = largest_values(layer_norm, NET["hidden_size"]).detach().double()
    padding = torch.zeros(len(hidden), 1, dtype=torch.bool)
    expected, found = head.double()(hidden, padding), back.double()(hidden, padding)
    taken_away = head.prediction.weight.abs() @ back.dense.bias
    rounding = (expected - found).abs().amax(0)
    assert (
        rounding <= UNIT * (taken_away + head.prediction.bias.abs())
    ).all() and rounding.max() > parity.TOLERANCE


def test_export_refuses_a_head_that_reads_the_mean_of_the_row(tmp_path, pretrained):
    start = pretrained()
    model = encoder_with_head(len(start.symbols), 2, pooling="mean")
    with pytest.raises(InputError, match="fine-tune without --pooling mean"):
        export_transformers(
            dataclasses.replace(start, model=model, labels={SENTENCE_HEAD: ["a", "b"]}), tmp_path / "out"
        )
