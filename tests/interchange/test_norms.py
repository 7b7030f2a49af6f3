"""Nets with a scaled residual stream in transformers' classes, and what becomes of those with --norm pre."""

import dataclasses
import re

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

import fairseq_electra
from fairseq_electra import cli
from fairseq_electra.electra.sizes import NORMS, EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments, segments_of
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.questions.heads import IndependentAnswerHead
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.head import TokenHead
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange import export_transformers as exporting
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.interchange.norms import LAST_OF_SUBLAYER
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD, read_folder
from tests.helpers.small_model import NET, TINY_NET, randomize_parameters
from tests.helpers.training import train_here
from tests.helpers.transformers_models import in_double, transformers

HEAD, PAD = "head", 1
PRE = ["pre", "pre_but_first"]
SCALED = [norm for norm in NORMS if norm not in ("post", *PRE)]
REFUSAL = (
    "cannot hold a net trained with --norm {}; use its checkpoint with fairseq_electra.from_pretrained, or"
    " train with another --norm"
)


def inputs_of(rows):
    padding = rows == PAD
    return rows, segments_of(rows, 2).masked_fill(padding, 0), padding


def theirs_in(folder, class_name):
    return in_double(getattr(transformers, class_name).from_pretrained(folder))


def of_theirs(model, rows):
    tokens, segments, padding = inputs_of(rows)
    with torch.no_grad():
        return model(
            input_ids=tokens,
            token_type_ids=segments,
            attention_mask=(~padding).long(),
            output_hidden_states=True,
        )


def states_of(model, rows, of_generator=False):
    states: list[torch.Tensor] = []
    with torch.no_grad():
        (model.extract_generator_features if of_generator else model.extract_features)(
            *inputs_of(rows), states
        )
    return states


def assert_close(left, right, rows, bound=1e-11):
    assert len(left) == len(right) and left[0].dtype == torch.float64
    for a, b in zip(left, right, strict=True):
        assert (a - b)[rows != PAD].abs().max() < bound


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": "learned"},
        {"positions": "learned", "generator_layers": 0.5, "untie_lm_head": True},
        {"positions": "learned", "num_hidden_layers": 12, "tie_embeddings": "none", "generator_layers": 0.25},
        {"positions": "rotary"},
        {"positions": "rotary", "num_hidden_layers": 4, "generator_layers": 0.5, "tie_embeddings": "tokens"},
    ],
)
@pytest.mark.parametrize("norm", SCALED)
def test_a_scaled_net_and_its_generator_are_exported_and_read_back_as_the_same_functions(
    tmp_path, pretrained, changes, norm
):
    ours = pretrained(norm=norm, **changes)
    lines = export_transformers(ours, tmp_path / "out")
    assert (
        f"the residual scale of --norm {norm} is folded into the weights" in lines[-2]
        and "largest difference" in lines[-1]
    )
    assert not any("residual_scale" in line for line in lines)
    rows = parity.rows_of_text(ours.tokenizer, 64)
    learned = changes["positions"] == "learned"
    disc = theirs_in(tmp_path / "out", "ElectraForPreTraining" if learned else "RoFormerModel")
    gen = theirs_in(
        tmp_path / "out" / "generator", "ElectraForMaskedLM" if learned else "RoFormerForMaskedLM"
    )
    mine = parity.in_double(ours.model)
    assert_close(states_of(mine, rows), of_theirs(disc, rows).hidden_states, rows)
    assert_close(states_of(mine, rows, True), of_theirs(gen, rows).hidden_states, rows)
    back = read_folder(tmp_path / "out").pretrained.model.double()
    assert back.sizes.norm == back.generator.sizes.norm == "post"
    assert_close(states_of(mine, rows), states_of(back, rows), rows)
    assert_close(states_of(mine, rows, True), states_of(back, rows, True), rows)
    places = torch.arange(5).expand(len(rows), -1)
    with torch.no_grad():
        scores = [net.generate(*inputs_of(rows), places) for net in (mine, back)]
        found = [net.discriminate(*inputs_of(rows)) for net in (mine, back)]
    assert (scores[0] - scores[1]).abs().max() < 1e-11
    if learned:  # else the head is left out
        assert (found[0] - found[1])[rows != PAD].abs().max() < 1e-11
        assert (found[0] - of_theirs(disc, rows).logits)[rows != PAD].abs().max() < 1e-11


def test_in_double_rounds_folded_weights_by_half_a_unit_at_most(pretrained):
    model = pretrained(norm="deepnorm", num_hidden_layers=3, generator_layers=0.7).model
    before, after = model.state_dict(), parity.in_double(model).state_dict()
    ends = [
        name for name in before if ".layers." in name and name.split("layers.")[1][2:] in LAST_OF_SUBLAYER
    ]
    assert len(ends) == 4 * (3 + 2)
    for name, tensor in after.items():
        error = (tensor - before[name]).abs()
        assert (error <= before[name].abs() * 2.0**-24 * (1 + 1e-6)).all() and error.any() == (
            name in ends
        ), name


@pytest.mark.parametrize(
    "changes", [{"norm": "post", "positions": "learned"}, {"norm": "deepnorm", "positions": "rotary"}]
)
def test_export_takes_a_model_with_large_layer_norm_gains(tmp_path, pretrained, changes):
    """With such gains rounding errors of float32 grow beyond any bound that a wrong net must not pass."""
    ours = pretrained(num_hidden_layers=12, **changes)
    with torch.no_grad():
        for name, parameter in ours.model.named_parameters():
            if "norm.weight" in name or ("layers." in name and name.endswith("weight")):
                parameter.mul_(4)
    line = export_transformers(ours, tmp_path / "out")[-1]
    shares = [float(word) for word in re.findall(r"\d\.\de-\d+", line)]
    assert "in float64" in line and len(shares) >= 3 and max(shares) < 1e-9
    assert (
        max(state.abs().max() for state in states_of(ours.model, parity.rows_of_text(ours.tokenizer, 64)))
        > 10
    )


def test_export_divides_only_the_last_layers_of_sublayers(tmp_path, pretrained):
    """Written out: a = (2 * layers)^(1/4), of 4 layers in the discriminator, of 2 in the generator."""
    ours = pretrained(norm="deepnorm", positions="learned", num_hidden_layers=4, generator_layers=0.5)
    before = {name: tensor.clone() for name, tensor in ours.model.state_dict().items()}
    export_transformers(ours, tmp_path / "out")
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # the net itself is left as it was
    back = read_folder(tmp_path / "out").pretrained.model.state_dict()
    assert before.keys() - back.keys() == {"discriminator.residual_scale", "generator.residual_scale"}
    assert back.keys() < before.keys()
    divided = 0
    for name, tensor in back.items():
        scale = 1.0
        if ".layers." in name and name.endswith(
            ("attention.out.weight", "attention.out.bias", ".output.weight", ".output.bias")
        ):
            scale, divided = 8**0.25 if name.startswith("discriminator") else 4**0.25, divided + 1
        expected = before[name] if scale == 1 else (before[name].double() / scale).float()
        assert torch.equal(tensor, expected), name
    assert divided == 4 * (4 + 2)


def test_an_exported_scaled_net_loses_no_number_and_its_card_says_what_it_was(tmp_path, pretrained):
    ours = pretrained(norm="deepnorm", positions="learned")
    export_transformers(ours, tmp_path / "out")
    tensors = [
        t
        for place in (".", "generator")
        for t in load_file(tmp_path / "out" / place / "model.safetensors").values()
    ]
    table = ours.model.embeddings.tokens.weight.numel() + sum(
        p.numel() for name, p in ours.model.embeddings.named_parameters() if name != "tokens.weight"
    )
    # of either network
    assert sum(t.numel() for t in tensors) == sum(p.numel() for p in ours.model.parameters()) + table
    assert (
        "Trained with scaled residual connections (`--norm deepnorm`)"
        in (tmp_path / "out" / "README.md").read_text()
    )
    export_transformers(pretrained(norm="post", positions="learned"), tmp_path / "post")
    assert "scaled residual" not in (tmp_path / "post" / "README.md").read_text()


def test_a_net_with_an_unknown_trait_is_refused_and_nothing_is_written(tmp_path, pretrained):
    """A field that is added to the sizes, and not to the export."""
    ours = pretrained()
    fields = [("gate", str, "none")]
    ours.model.sizes = dataclasses.make_dataclass("Gated", fields, bases=(EncoderSizes,), frozen=True)(
        **dataclasses.asdict(ours.model.sizes), gate="swish"
    )
    with pytest.raises(
        InputError,
        match="--gate swish: the export to transformers would be wrong, as it was written for 'none'",
    ):
        export_transformers(ours, tmp_path / "out" / "folder")
    assert not (tmp_path / "out").exists()


def test_parity_notices_a_scale_that_is_not_folded_and_leaves_nothing_behind(
    tmp_path, pretrained, monkeypatch
):
    monkeypatch.setattr(exporting, "as_post_norm", lambda tensors, prefix, sizes: tensors)
    with pytest.raises(
        InputError, match=r"discriminator's hidden states differ from transformers' by .* nothing was written"
    ):
        export_transformers(pretrained(norm="deepnorm", positions="learned"), tmp_path / "out" / "folder")
    assert not list((tmp_path / "out").iterdir())


HEADS = {
    "sentence": (
        SentenceHead(NET["hidden_size"], 3, 0.1),
        PREDICTION,
        ["a", "b", "c"],
        "ForSequenceClassification",
    ),
    "choice": (SentenceHead(NET["hidden_size"], 1, 0.1), RANKING, ["LABEL_0"], "ForMultipleChoice"),
    "token": (TokenHead(NET["hidden_size"], 3, 0.1), TAGGING, ["O", "B-X", "I-X"], "ForTokenClassification"),
    "answer": (IndependentAnswerHead(NET["hidden_size"]), ANSWERING, [], "ForQuestionAnswering"),
}


def tuned(start, kind, norm, positions):
    """An encoder with a head, all parameters random, as one that was fine-tuned for the kind of task."""
    head, task, labels, _ = HEADS[kind]
    cfg = OmegaConf.create(
        {**NET, "num_hidden_layers": 3, "model_size": "tiny", "norm": norm, "positions": positions}
    )
    model = EncoderWithHeads(**encoder_arguments(cfg, len(start.symbols)))
    model.register_head(HEAD, head)
    randomize_parameters(model, std=0.2)
    return dataclasses.replace(
        start, model=model.eval(), labels={HEAD: labels}, task=TaskInfo("x", task, 1, tuple(labels), (), 64)
    )


def scores_of(model, name, kind, rows):
    inputs = {"allowed": rows != PAD} if kind == "answer" else None
    with torch.no_grad():
        found, _ = model(rows, classification_head_name=name, head_inputs=inputs)
    return torch.stack(found[:2], -1) if kind == "answer" else found


@pytest.mark.parametrize("norm", SCALED)
@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_fine_tuned_scaled_net_is_exported_with_its_head_and_read_back(
    tmp_path, pretrained, kind, positions, norm
):
    ours = tuned(pretrained(), kind, norm, positions)
    export_transformers(ours, tmp_path / "out")
    family = "Electra" if positions == "learned" else "RoFormer"
    theirs = theirs_in(tmp_path / "out", family + HEADS[kind][3])
    rows = parity.rows_of_text(ours.tokenizer, 64)
    expected = scores_of(parity.in_double(ours.model), HEAD, kind, rows)
    tokens, segments, padding = inputs_of(rows)
    inputs = {"input_ids": tokens, "token_type_ids": segments, "attention_mask": (~padding).long()}
    if kind == "choice":
        inputs = {name: tensor.unsqueeze(1) for name, tensor in inputs.items()}
    with torch.no_grad():
        found = theirs(**inputs)
    scores = torch.stack([found.start_logits, found.end_logits], -1) if kind == "answer" else found.logits
    back = read_folder(tmp_path / "out").pretrained
    assert back.model.sizes.norm == "post" and back.kind == HEADS[kind][1]
    again = scores_of(back.model.double(), SENTENCE_HEAD, kind, rows)
    kept = slice(None) if kind in ("sentence", "choice") else ~padding
    assert (scores - expected)[kept].abs().max() < 1e-10 and (again - expected)[kept].abs().max() < 1e-10


@pytest.mark.parametrize("norm", PRE)
def test_a_net_with_pre_norm_is_refused_in_one_sentence_before_anything_is_written(
    tmp_path, pretrained, norm
):
    for changes in ({}, {"positions": "learned"}, {"generator_only": True}):
        with pytest.raises(InputError, match=REFUSAL.format(norm)) as caught:
            export_transformers(pretrained(norm=norm, **changes), tmp_path / "out")
        assert "\n" not in str(caught.value)
    for kind in HEADS:
        with pytest.raises(InputError, match=REFUSAL.format(norm)):
            export_transformers(tuned(pretrained(), kind, norm, "rotary"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


SENTENCES = ["The name of a class is looked up in the namespace.", "Short.", ("A pair", "of sentences.")]


@pytest.mark.parametrize("norm", ["deepnorm", "pre"])
def test_every_reader_of_checkpoints_takes_models_of_both_norms(tmp_path, data_bin, capsys, norm):
    save = tmp_path / "save"
    options = [
        *TINY_NET,
        *["--norm", norm, "--store-ema", "--ema-decay", "0.5", "--disable-validation", "--num-workers", 0],
    ]
    train_here(data_bin, save, *options, "--lr", "1e-2", "--max-update", 6, "--save-interval-updates", 3)
    last = save / "checkpoint_last.pt"
    hub = fairseq_electra.from_pretrained(save).double()
    assert hub.sizes.norm == norm
    for text, features, replaced in zip(
        SENTENCES, hub.extract_features(SENTENCES), hub.detect_replaced(SENTENCES), strict=True
    ):
        row = hub.encode(*([text] if isinstance(text, str) else text))[None]
        with torch.no_grad():
            hidden = hub.model.extract_features(row, segments_of(row, 2), None)
            expected = hub.model.discriminator_head(hidden).sigmoid()
        assert (features - hidden[0]).abs().max() < 1e-11 and (replaced - expected[0]).abs().max() < 1e-11
        if norm == "pre":  # the last LayerNorm is within the features
            own = hub.model.discriminator.layer_norm
            assert torch.allclose((features - own.bias) / own.weight, normalized(features, own), atol=1e-9)
    assert run("inspect", last, data_bin, "--rows", 0) == 0 and "p(replaced)" in capsys.readouterr().out
    (middle,) = save.glob("checkpoint_*_3.pt")
    mean = tmp_path / "mean" / "mean.pt"
    assert run("average", "--ema", middle, last, "--output", mean) == 0
    average = load_checkpoint(mean, save)
    assert average.model.sizes.norm == norm
    if norm == "deepnorm":  # a checkpoint of another scale, as --norm of another kind or depth would have it
        state = torch.load(last, weights_only=True)
        state["model"]["discriminator.residual_scale"] *= 1.2
        torch.save(state, tmp_path / "other.pt")
        assert run("average", middle, last, tmp_path / "other.pt", "--output", tmp_path / "no.pt") == 1
        assert (
            "differ in discriminator.residual_scale; average only checkpoints of one --norm"
            in capsys.readouterr().err
        )
        with pytest.raises(
            InputError,
            match=r"residual_scale is 1\.697, this model's 1\.414: it was trained with another --norm; give",
        ):
            load_checkpoint(tmp_path / "other.pt", save)
    status = run("export", "--to", "transformers", mean, tmp_path / "out", "--vocab", save)
    if norm == "pre":
        assert (
            status == 1
            and REFUSAL.format("pre") in capsys.readouterr().err
            and not (tmp_path / "out").exists()
        )
        return
    assert status == 0
    rows = parity.rows_of_text(average.tokenizer, 64)
    import_transformers(tmp_path / "out", tmp_path / "in" / "checkpoint.pt")
    imported = load_checkpoint(tmp_path / "in" / "checkpoint.pt").model.double()
    assert imported.sizes.norm == "post"
    assert_close(states_of(parity.in_double(average.model), rows), states_of(imported, rows), rows)


def run(*words):
    return cli.main([str(word) for word in words])


def normalized(features, layer_norm):
    values = (features - layer_norm.bias) / layer_norm.weight
    return (values - values.mean(-1, keepdim=True)) / values.std(-1, correction=0, keepdim=True)
