import dataclasses
import logging

import pytest
import torch

from fairseq_electra.electra.configuration import build, encoder_sizes
from fairseq_electra.electra.initialization import INITIALIZER_RANGE
from fairseq_electra.electra.size_table import MODEL_SIZES, named_sizes
from fairseq_electra.errors import InputError


def test_sizes_are_those_of_the_paper():
    rows = {
        name: (
            s.num_hidden_layers,
            s.hidden_size,
            s.intermediate_size,
            s.num_attention_heads,
            s.embedding_size,
        )
        for name, s in ((name, row.encoder) for name, row in MODEL_SIZES.items())
    }
    assert rows["small"] == (12, 256, 1024, 4, 128)
    assert rows["base"] == (12, 768, 3072, 12, 768)
    assert rows["large"] == (24, 1024, 4096, 16, 1024)
    for name, share, expected in (
        ("small", 1 / 4, (64, 256, 1)),
        ("base", 1 / 3, (256, 1024, 4)),
        ("large", 1 / 4, (256, 1024, 4)),
    ):
        g = MODEL_SIZES[name].encoder.generator(share, 1.0)
        assert (g.hidden_size, g.intermediate_size, g.num_attention_heads) == expected
        assert g.num_hidden_layers == MODEL_SIZES[name].encoder.num_hidden_layers
    assert MODEL_SIZES["large"].encoder.generator(1, 0.5).num_hidden_layers == 12


@pytest.mark.parametrize(
    ("tie", "own"),
    [("all", []), ("tokens", ["segments", "layer_norm"]), ("none", ["tokens", "segments", "layer_norm"])],
)
def test_what_is_tied_is_stored_once(make_task, make_model, tie, own):
    task = make_task()
    model = make_model(task, tie_embeddings=tie)
    keys = [key for key in model.state_dict() if key.startswith("generator_embeddings.")]
    assert sorted({key.split(".")[1] for key in keys}) == sorted(own)
    assert sum(key.endswith("tokens.weight") for key in model.state_dict()) == 1 + (tie == "none")
    shared = model.generator_tokens is model.embeddings.tokens
    assert shared == (tie != "none")
    sample = task.load_dataset("valid").collater([0, 1])
    assert model(**sample["net_input"]).disc_logits.shape == (2, 64)
    copy = make_model(task, tie_embeddings=tie, randomize=False)
    copy.load_state_dict(model.state_dict())
    for a, b in zip(model(**sample["net_input"]), copy(**sample["net_input"]), strict=True):
        assert torch.equal(a, b)


def test_parameters_start_as_in_the_original(make_task, make_model):
    torch.manual_seed(1)
    model = make_model(
        make_task(),
        randomize=False,
        hidden_size=128,
        intermediate_size=512,
        generator_hidden_size=0.5,
        positions="learned",
    )
    for name, p in model.named_parameters():
        if name.endswith(("norm.weight",)):
            assert (p == 1).all(), name
        elif name.endswith("bias"):
            assert (p == 0).all(), name
        elif "projection" in name or name == "discriminator_head.prediction.weight":
            bound = (6 / sum(p.shape)) ** 0.5
            assert p.abs().max() <= bound and p.std().item() == pytest.approx(bound / 3**0.5, rel=0.2), name
        elif p.numel() > 1000:
            body = p[torch.arange(len(p)) != 1] if name == "embeddings.tokens.weight" else p
            assert body.abs().max() <= 2 * INITIALIZER_RANGE + 1e-7, name
            assert body.std().item() == pytest.approx(INITIALIZER_RANGE * 0.88, rel=0.05), name
    assert not model.embeddings.tokens.weight[1].any()


def test_a_generator_as_large_as_the_discriminator_is_warned_of(make_task, make_model, caplog):
    with caplog.at_level(logging.WARNING):
        make_model(make_task(), generator_hidden_size=1.0)
    assert "known to collapse" in caplog.text


def test_padding_changes_nothing(make_task, make_model):
    task = make_task()
    model = make_model(task).double().eval()
    tokens = torch.randint(4, 900, (2, 20))
    segments = torch.zeros_like(tokens)
    short = model.discriminate(tokens, segments, torch.zeros(2, 20, dtype=torch.bool))
    padded = torch.nn.functional.pad(tokens, (0, 7), value=1)
    mask = torch.arange(27).expand(2, -1) >= 20
    long = model.discriminate(padded, torch.zeros_like(padded), mask)
    assert (long[:, :20] - short).abs().max() < 1e-12


def test_long_rows_take_the_fused_kernel_with_the_same_result(make_task, make_model, monkeypatch):
    model = make_model(make_task()).double().eval()
    tokens = torch.randint(4, 900, (2, 40))
    mask = torch.arange(40).expand(2, -1) >= torch.tensor([[40], [25]])
    plain = model.discriminate(tokens, torch.zeros_like(tokens), mask)
    monkeypatch.setattr("fairseq_electra.electra.fast.attention.SHORT_ROW_ON_CPU", 0)
    fused = model.discriminate(tokens, torch.zeros_like(tokens), mask)
    assert (plain - fused)[~mask].abs().max() < 1e-12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": "absolute"}, "--positions must be one of"),
        ({"hidden_size": 130, "num_attention_heads": 26}, "rotary positions rotate pairs"),
        ({"attention_dropout": 1.0}, "--attention-dropout must lie in"),
    ],
)
def test_sizes_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        named_sizes("tiny", **changes)


def test_bf16_gives_nearly_the_same_losses_and_where_it_would_crawl_the_same(
    make_task, make_model, monkeypatch
):
    from fairseq_electra import precision
    from tests.helpers.components import criterion_for

    task = make_task(autocast="bf16")
    plain = make_task()
    model = make_model(task, randomize=False)
    sample = task.load_dataset("valid").collater(list(range(16)))
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    low = task.valid_step(sample, model, criterion_for(task))
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    off = task.valid_step(sample, model, criterion_for(task))
    full = plain.valid_step(sample, model, criterion_for(task))
    assert low[0].item() == pytest.approx(full[0].item(), rel=2e-3)
    assert low[0].item() != full[0].item() == off[0].item()


def test_logs_of_a_validation_outlive_the_next_replay_of_a_graph(make_task, make_model):
    task = make_task()
    sample, model, memory = task.load_dataset("valid").collater([0, 1]), make_model(task), torch.zeros(())
    task.cuda_graphs = True

    def replayed(model, sample):
        return memory, 1, {"loss": memory.add_(1.0), "ntokens": 5}

    logs = [task.valid_step(sample, model, replayed)[2] for _ in range(2)]
    assert [(log["loss"], log["ntokens"]) for log in logs] == [(1.0, 5), (2.0, 5)]


def test_options_younger_than_a_checkpoint_take_their_defaults(make_task, make_model):
    from omegaconf import OmegaConf, open_dict

    from fairseq_electra.models.electra import ElectraConfig, ElectraModel

    cfg = OmegaConf.merge(OmegaConf.structured(ElectraConfig), {"model_size": "tiny"})
    plain = OmegaConf.create(OmegaConf.to_container(cfg, enum_to_str=True))
    with open_dict(plain):
        for name in ("fast_fp32", "disallow_correct", "generator_layers"):
            del plain[name]
    model = ElectraModel.build_model(plain, make_task())
    assert len(model.generator.layers) == 4 and model.disallow_correct is False


def test_under_autocast_the_residual_stream_has_the_type_of_the_products(make_task, make_model):
    task = make_task()
    model = make_model(task, embedding_size=16, hidden_size=32)
    sample = task.load_dataset("valid").collater([0, 1])["net_input"]
    states: list[torch.Tensor] = []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.discriminator(
            model.embeddings(sample["src_tokens"], sample["segment_ids"]), sample["padding_mask"], states
        )
    assert {state.dtype for state in states} == {torch.bfloat16}


def test_half_precision_weights_leave_the_stream_of_a_pre_norm_net_in_float32(make_task, make_model):
    task = make_task()
    model = make_model(task, norm="pre")
    sample = task.load_dataset("valid").collater([0, 1])["net_input"]
    given = sample["src_tokens"], sample["segment_ids"], sample["padding_mask"]
    full, half, states = model.discriminate(*given), model.bfloat16().discriminate(*given), []
    model.extract_features(*given, states)
    assert {state.dtype for state in states} == {torch.float32} and half.dtype == torch.bfloat16
    assert not torch.equal(full, half.float()) and (full - half.float())[~given[2]].abs().max() < 0.05


@pytest.mark.parametrize(
    ("size", "width", "message"),
    [
        ("large", 1 / 3, "--generator-hidden-size 0.333 of 1024 makes 341, which 5"),
        ("tiny", 0.001, "of 128 makes 0"),
    ],
)
def test_generator_widths_that_cannot_be(size, width, message):
    with pytest.raises(InputError, match=message):
        named_sizes(size).generator(width, 1.0)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize(
    "changes", [{}, {"generator_num_attention_heads": 2, "generator_intermediate_size": 40}]
)
def test_a_masked_language_model_has_the_sizes_named(positions, changes):
    named = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96, "num_hidden_layers": 2}
    options = {"model_size": "tiny", "positions": positions, "objective": "mlm", **named}
    expected = encoder_sizes(options)
    if changes:
        expected = dataclasses.replace(expected, num_attention_heads=2, intermediate_size=40)
    assert build({**options, **changes}, 50).sizes == expected
