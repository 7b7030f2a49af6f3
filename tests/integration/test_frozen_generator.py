"""A discriminator beside a generator that was trained before: two-stage training, and a frozen generator."""

import shutil

import pytest
import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf

import fairseq_electra
from fairseq_electra.cli.inspect import load_pretrained
from fairseq_electra.electra.configuration import generator_sizes
from fairseq_electra.errors import InputError
from fairseq_electra.models._frozen_generator import generator_options
from tests.helpers.small_model import NET, TINY_NET
from tests.helpers.training import assert_same_weights, refusal, train_here, weights

RUN = [*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints", "--disable-validation", "--dropout", "0.1"]
FROZEN = ["--objective", "frozen_generator"]
OF_GENERATOR = ("generator.", "generator_head.")


@pytest.fixture(scope="module")
def sources(tmp_path_factory, data_bin):
    """A masked LM of the discriminator's sizes, and an ELECTRA with a smaller generator."""
    folder = tmp_path_factory.mktemp("sources")
    # as the discriminator has; by default they are those of the usual sizes
    like = ["--generator-num-attention-heads", "2", "--generator-intermediate-size", "64"]
    train_here(data_bin, folder / "mlm", *RUN, "--objective", "mlm", *like, "--max-update", "2")
    train_here(data_bin, folder / "electra", *RUN, "--max-update", "2")
    return {name: folder / name / "checkpoint_last.pt" for name in ("mlm", "electra")}


def train(data, save_dir, source, *more):
    return train_here(data, save_dir, *RUN, *FROZEN, "--generator-from", source, *more)


@pytest.mark.parametrize("name", ["mlm", "electra"])
def test_the_generator_stays_as_it_is_and_the_discriminator_learns(tmp_path, data_bin, sources, name):
    log = train(data_bin, tmp_path / "save", sources[name], "--max-update", "3")
    before, after = torch.load(sources[name], weights_only=True)["model"], weights(tmp_path / "save")
    for key, tensor in before.items():
        if key.startswith(OF_GENERATOR):
            assert torch.equal(after[key], tensor), key
        if key.startswith("embeddings."):
            assert torch.equal(after[f"generator_{key}"], tensor), key
            assert not torch.equal(after[key], tensor), key
    assert log.records[-1]["disc_loss"] > 0 and "masked_lm_loss" in log.records[-1]


def test_the_second_stage_starts_the_discriminator_from_the_generator(tmp_path, data_bin, sources):
    still = ["--max-update", "1", "--lr", "1e-12"]
    train(data_bin, tmp_path / "save", sources["mlm"], "--discriminator-from-generator", *still)
    before, after = torch.load(sources["mlm"], weights_only=True)["model"], weights(tmp_path / "save")
    for key, tensor in before.items():
        if key.startswith("generator."):
            here = after[key.replace("generator.", "discriminator.", 1)]
            assert torch.allclose(here, tensor, atol=1e-9), key
        if key.startswith("embeddings."):
            assert torch.allclose(after[key], tensor, atol=1e-9), key


def test_a_run_resumes_exactly_and_without_the_checkpoint_of_its_generator(tmp_path, data_bin, sources):
    source = shutil.copy(sources["electra"], tmp_path / "source.pt")
    train(data_bin, tmp_path / "whole", source, "--max-update", "6")
    train(data_bin, tmp_path / "parts", source, "--max-update", "3")
    (tmp_path / "source.pt").unlink()
    parts = train(data_bin, tmp_path / "parts", source, "--max-update", "6")
    assert parts.updates == 6
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    moved = shutil.move(tmp_path / "parts", tmp_path / "moved")
    assert checkpoint_utils.load_model_ensemble_and_task([f"{moved}/checkpoint_last.pt"])[0]
    model = fairseq_electra.from_pretrained(tmp_path / "moved" / "checkpoint_last.pt")
    assert model.fill_mask("The <mask> of a class.") and len(model.detect_replaced("A class.")[0]) > 2


def test_weights_with_another_generator_are_refused_and_the_own_file_may_change(tmp_path, data_bin, sources):
    """They would replace the generator that the command line names."""
    source, other = tmp_path / "source.pt", tmp_path / "other.pt"
    shutil.copy(sources["electra"], source)
    state = torch.load(source, weights_only=True)
    state["model"]["generator.layers.0.output.weight"] += 1e-3
    torch.save(state, other)
    last = tmp_path / "save" / "checkpoint_last.pt"
    train(data_bin, tmp_path / "save", source, "--max-update", "2")
    said = (
        f"save/checkpoint_last.pt has another generator than --generator-from {other}: give --generator-from"
    )
    run = [*RUN, *FROZEN, "--generator-from", other, "--max-update", "3"]
    for start in (["--finetune-from-model", last], ["--continue-once", last], ["--restore-file", last]):
        assert said in refusal(data_bin, tmp_path / "new", *run, *start)
    assert said in refusal(data_bin, tmp_path / "save", *run)
    run[run.index(other)] = last
    assert train_here(data_bin, tmp_path / "new", *run, "--finetune-from-model", last).updates == 3
    shutil.copy(other, source)
    assert train(data_bin, tmp_path / "save", source, "--max-update", "3").updates == 3


def test_a_discriminator_starts_from_one_checkpoint(tmp_path, data_bin, sources):
    twice = [
        "--discriminator-from-generator",
        "--finetune-from-model",
        sources["electra"],
        "--max-update",
        "1",
    ]
    said = refusal(data_bin, tmp_path / "save", *RUN, *FROZEN, "--generator-from", sources["mlm"], *twice)
    assert "--discriminator-from-generator starts the discriminator from the generator, and" in said
    stage = ["--discriminator-from-generator", "--max-update"]
    train(data_bin, tmp_path / "save", sources["mlm"], *stage, "1")
    again = train(data_bin, tmp_path / "save", sources["mlm"], *stage, "2", "--reset-optimizer")
    assert again.updates == 2


def test_no_gradient_reaches_the_generator_and_it_has_no_dropout(make_task, make_model, sources):
    from tests.helpers.components import criterion_for

    task = make_task()
    model = make_model(
        task,
        objective="frozen_generator",
        generator_from=str(sources["electra"]),
        save_dir="",
        finetune_from_model=None,
        dropout=0.5,
        randomize=False,
    )
    sample = task.load_dataset("valid").collater([0, 1])
    model.train()
    task.masked_share.value = 0.2
    loss, _, log = criterion_for(task)(model, sample)
    assert loss.item() == pytest.approx(50.0 * 0.2 * log["disc_sum"].item())
    loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("generator"), name
    first, second = (model.generate(*list(sample["net_input"].values())[:4]) for _ in range(2))
    assert torch.equal(first, second)


def test_the_backward_pass_of_the_generator_is_not_counted(make_task, make_model, sources):
    task = make_task()
    plain = make_model(task).flops(1000)
    options = {"generator_from": str(sources["electra"]), "save_dir": "", "finetune_from_model": None}
    frozen = make_model(task, objective="frozen_generator", **options).flops(1000)
    alone = make_model(task, objective="unigram").flops(1000)
    for name in plain._fields:
        generator = getattr(plain, name) - getattr(alone, name)
        assert getattr(frozen, name) == pytest.approx(getattr(alone, name) + generator / 3), name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "needs --generator-from CHECKPOINT"),
        (["--generator-from", "absent.pt"], "absent.pt"),
        (
            ["--generator-from", "SOURCE", "--norm", "pre"],
            "the generator has --norm post, the discriminator pre",
        ),
        (["--generator-from", "SOURCE", "--discriminator-from-generator"], "only if it has its sizes"),
        (["--generator-from", "SOURCE", "--objective", "electra"], "are of --objective frozen_generator"),
    ],
)
def test_a_generator_that_cannot_be_used_is_refused(tmp_path, data_bin, sources, options, sentence):
    given = [str(sources["electra"]) if word == "SOURCE" else word for word in options]
    assert sentence in refusal(data_bin, tmp_path / "save", *RUN, *FROZEN, *given)


def test_a_generator_that_an_import_has_drawn_at_random_is_refused(tmp_path, data_bin, sources):
    state = torch.load(sources["electra"], weights_only=True)
    state["extra_state"]["initialised"] = [name for name in state["model"] if name.startswith("generator")]
    torch.save(state, tmp_path / "imported.pt")
    said = refusal(data_bin, tmp_path / "save", *RUN, *FROZEN, "--generator-from", tmp_path / "imported.pt")
    assert "imported.pt has no trained generator: it was imported from a folder without one" in said
    # so do inspect and corrupt
    with pytest.raises(InputError, match=r"imported.pt has no trained generator"):
        load_pretrained(str(tmp_path / "imported.pt"), str(data_bin))


def test_a_share_that_is_rounded_to_the_sizes_of_the_generator_is_no_other_share(sources):
    state = torch.load(sources["electra"], weights_only=True)
    state["cfg"] = OmegaConf.create(state["cfg"])
    cfg = OmegaConf.merge(state["cfg"].model, {"objective": "frozen_generator"})
    layers = generator_sizes(cfg).num_hidden_layers
    for share in (layers / cfg.num_hidden_layers, (layers + 0.3) / cfg.num_hidden_layers):
        cfg.generator_layers = share
        assert generator_options(cfg, state)["generator_layers"] == layers / cfg.num_hidden_layers
    cfg.generator_layers = (layers + 1) / cfg.num_hidden_layers
    with pytest.raises(InputError, match=r"--generator-layers .*: the generator of --generator-from has"):
        generator_options(cfg, state)


def test_sizes_of_the_generator_are_in_the_checkpoint(tmp_path, data_bin, sources):
    train(data_bin, tmp_path / "save", sources["electra"], "--max-update", "1")
    saved = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)["cfg"]["model"]
    assert saved["generator_hidden_size"] * NET["hidden_size"] == 16 and saved["generator_layers"] == 1
