"""Averaged weights and moving averages are evaluated and fine-tuned like any checkpoint.

fairseq-validate gives the figures of training.
"""

import copy
import json
import shutil

import pytest
import torch

from tests.helpers.commands import electra, electra_process, fairseq
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import read, train, train_here, weights

RUN = [
    *TINY_NET,
    *"--max-update 8 --save-interval-updates 4 --validate-interval-updates 4 --no-epoch-checkpoints"
    " --num-workers 0".split(),
    *"--store-ema --ema-decay 0.5".split(),
]


def validated(data, checkpoint, *options):
    """What fairseq-validate says of a checkpoint."""
    done = fairseq(
        *["validate", data, "--task", "electra_pretraining", "--path", checkpoint, "--batch-size", 8],
        *["--cpu", "--log-format", "json"],
        *("--num-workers", 0, *options),
    )
    (record,) = [
        r for r in read(done.stdout + done.stderr, checkpoint, 0).records if r["subset"] == "valid"
    ] or [{}]
    return record


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin):
    folder = tmp_path_factory.mktemp("trained") / "save"
    return train_here(data_bin, folder, *RUN), folder


METRICS = (
    *["loss", "masked_lm_loss", "masked_lm_accuracy", "replaced_rate", "disc_loss", "disc_accuracy"],
    *["disc_recall", "disc_auc"],
)


def test_fairseq_validate_gives_the_figures_of_training_each_time(data_bin, trained):
    log, folder = trained
    during = [r for r in log.records if r["subset"] == "valid"][-1]
    first, second = (validated(data_bin, folder / "checkpoint_last.pt") for _ in range(2))
    assert (
        {k: first[k] for k in METRICS} == {k: second[k] for k in METRICS} == {k: during[k] for k in METRICS}
    )


def test_the_average_of_one_checkpoint_is_warned_of(tmp_path, trained):
    _, folder = trained
    said = electra("average", folder / "checkpoint_last.pt", "--output", tmp_path / "one.pt")
    assert "checkpoint_last.pt alone is itself" in said.stderr


def test_the_average_of_two_checkpoints(tmp_path, data_bin, trained):
    _, folder = trained
    paths = sorted(folder.glob("checkpoint_*_*.pt"))
    assert len(paths) == 2
    said = electra("average", *paths, "--output", tmp_path / "new" / "averaged.pt").stdout
    assert "the average of 2 checkpoints" in said
    one, two, found = (
        weights(folder, paths[0].name),
        weights(folder, paths[1].name),
        weights(tmp_path / "new", "averaged.pt"),
    )
    assert found.keys() == one.keys()
    for name, tensor in found.items():
        expected = (one[name].double() + two[name].double()) / 2 if tensor.is_floating_point() else one[name]
        assert torch.equal(tensor, expected.to(tensor.dtype)), name
    assert validated(data_bin, tmp_path / "new" / "averaged.pt")["loss"] > 0


@pytest.mark.long
def test_the_moving_average_is_evaluated_and_differs_from_the_weights(tmp_path, data_bin, trained):
    _, folder = trained
    electra_process("average", "--ema", folder / "checkpoint_last.pt", "--output", tmp_path / "ema.pt")
    state = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    for name, tensor in weights(tmp_path, "ema.pt").items():
        assert torch.equal(tensor, state["extra_state"]["ema"].get(name, state["model"][name])), name
    last, average = (
        validated(data_bin, path)["loss"] for path in (folder / "checkpoint_last.pt", tmp_path / "ema.pt")
    )
    assert last != average and average == pytest.approx(last, rel=0.1)
    # goes on from the average, with a fresh optimizer
    log = train(
        data_bin, tmp_path / "on", *RUN, "--finetune-from-model", tmp_path / "ema.pt", "--max-update", 1
    )
    assert log.updates == 1


def refused(*arguments):
    done = electra("average", *arguments, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stderr


def test_models_that_compute_different_functions_are_refused_and_files_are_kept(tmp_path, trained):
    _, folder = trained
    path, output = folder / "checkpoint_last.pt", tmp_path / "averaged.pt"
    state = torch.load(path, weights_only=True)
    for name, value in (("num_attention_heads", 4), ("rotary_base", 500.0)):
        other = copy.deepcopy(state)
        other["cfg"]["model"][name] = value
        torch.save(other, tmp_path / "other.pt")
        said = refused(path, tmp_path / "other.pt", "--output", output)
        assert f"not of one model: --{name.replace('_', '-')} is {value}" in said and not output.exists()
    for name, values in (("labels", ("yes", "no")), ("kind", ("sentence_prediction", "sentence_ranking"))):
        for number, value in enumerate(values):
            told = {"labels": [], "task": json.dumps({name: [value] if name == "labels" else value})}
            tuned = {**state, "extra_state": {**state["extra_state"], "tuned_for": told}}
            torch.save(tuned, tmp_path / f"{number}.pt")
        said = refused(tmp_path / "0.pt", tmp_path / "1.pt", "--output", output)
        differ = "has the labels no, and" if name == "labels" else f"not of one model: --task is {values[1]}"
        assert differ in said and not output.exists()
    before = path.read_bytes()
    assert "is there already" in refused(path, "--output", path) and path.read_bytes() == before


def test_the_history_is_that_of_the_checkpoint_with_most_updates(tmp_path, trained):
    _, folder = trained
    last, first = sorted(folder.glob("checkpoint_*_*.pt"), reverse=True)
    for number, paths in enumerate(([first, last], [last, first])):
        output = tmp_path / f"{number}.pt"
        electra("average", *paths, "--output", output)
        history = torch.load(output, weights_only=True)["optimizer_history"]
        assert history[-1] == torch.load(last, weights_only=True)["optimizer_history"][-1]


@pytest.mark.long
def test_what_cannot_be_averaged_is_refused_and_nothing_is_written(tmp_path, data_bin, trained):
    _, folder = trained
    path, output = folder / "checkpoint_last.pt", tmp_path / "averaged.pt"
    state = torch.load(path, weights_only=True)
    state["model"]["discriminator_head.dense.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "other.pt")
    assert "not of one model: discriminator_head.dense.bias" in refused(
        path, tmp_path / "other.pt", "--output", output
    )
    torch.save({"cfg": None}, tmp_path / "none.pt")
    assert (
        "none.pt, " in (said := refused(tmp_path / "none.pt", "--output", output))
        and "not a checkpoint of fairseq" in said
    )
    shutil.copy(path, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:1000])
    assert "damaged or truncated" in refused(tmp_path / "cut.pt", "--output", output)
    del state["extra_state"]["ema"]
    torch.save(state, tmp_path / "plain.pt")
    assert "has no moving average; train with --store-ema" in refused(
        "--ema", tmp_path / "plain.pt", "--output", output
    )
    assert not output.exists()
