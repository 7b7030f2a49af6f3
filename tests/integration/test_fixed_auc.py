"""fixed_auc in the log of a real run: what it is, and that nothing but the discriminator changes it."""

import logging

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fairseq_electra.cli import main
from fairseq_electra.cli.inspect import load_pretrained
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here


def validations(log):
    return [record for record in log.records if record["subset"] == "valid"]


@pytest.fixture(scope="module")
def trained(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixed") / "net"
    return folder, train_here(
        data_bin, folder, *TINY_NET, "--max-update", 6, "--validate-interval-updates", 6
    )


def test_it_is_the_area_under_the_curve_over_the_fixed_corruption(trained, data_bin):
    folder, log = trained
    model, task = load_pretrained(str(folder / "checkpoint_last.pt"), str(data_bin))
    dataset = task.load_dataset("valid")
    sample = dataset.collater(np.arange(len(dataset)))
    fixed, real = sample["fixed"]["fixed"], ~sample["net_input"]["padding_mask"]
    with torch.no_grad():
        logits = model.discriminate(fixed["tokens"], sample["net_input"]["segment_ids"], ~real)
    area = roc_auc_score(fixed["is_replaced"][real], logits[real])
    # the log puts scores into bins, few of them so early
    assert validations(log)[-1]["fixed_auc"] == pytest.approx(area, abs=5e-3)
    share = fixed["is_replaced"][real].float().mean()
    assert share == pytest.approx(0.14, abs=0.01)


@pytest.mark.parametrize("objective", ["replace_mlm", "all_tokens_mlm"])
def test_language_models_have_a_loss_on_it_where_they_are_trained(data_bin, tmp_path, objective):
    log = train_here(data_bin, tmp_path, *TINY_NET, "--objective", objective, "--max-update", 2)
    model, task = load_pretrained(str(tmp_path / "checkpoint_last.pt"), str(data_bin))
    dataset = task.load_dataset("valid")
    sample = dataset.collater(np.arange(len(dataset)))
    fixed, net = sample["fixed"]["fixed"], sample["net_input"]
    real, read = ~net["padding_mask"], fixed["tokens"].long()
    with torch.no_grad():
        hidden = model.extract_features(read, net["segment_ids"], net["padding_mask"])
        probs = model.score_vocabulary(hidden).softmax(-1)
        if objective == "all_tokens_mlm":
            drawn = model.discriminator_head(hidden).sigmoid().unsqueeze(-1)
            probs = drawn * probs + (1 - drawn) * torch.nn.functional.one_hot(read, probs.shape[-1])
    original = dataset.collater(np.arange(len(dataset)))["original"].long()
    assert torch.equal(fixed["is_replaced"], read != original)
    losses = -probs.gather(-1, original.unsqueeze(-1)).squeeze(-1).log()
    counted = real if objective == "all_tokens_mlm" else real & (read != original)
    found = validations(log)[-1]
    assert found["fixed_lm_loss"] == pytest.approx(float(losses[counted].mean()), rel=1e-3)
    assert found["main_lm_loss"] != found["fixed_lm_loss"]


def test_neither_masks_nor_the_seed_of_the_run_move_it(trained, data_bin, tmp_path):
    folder, log = trained
    start = [
        *["--restore-file", folder / "checkpoint_last.pt", "--reset-optimizer", "--reset-dataloader"],
        *["--reset-meters", "--lr", "0"],
    ]
    again = train_here(
        data_bin, tmp_path / "a", *TINY_NET, *start, "--mask-prob", 0.4, "--seed", 7, "--max-update", 1
    )
    first, second = validations(log)[-1], validations(again)[-1]
    assert second["disc_loss"] != first["disc_loss"]
    assert second["fixed_auc"] == first["fixed_auc"]


def test_packed_rows_are_judged_document_by_document(trained, data_bin, tmp_path):
    folder, log = trained
    start = [
        *["--restore-file", folder / "checkpoint_last.pt", "--reset-optimizer", "--reset-dataloader"],
        *["--reset-meters", "--lr", "0"],
    ]
    packed = train_here(data_bin, tmp_path / "a", *TINY_NET, *start, "--pack", "--max-update", 1)
    assert validations(packed)[-1]["fixed_auc"] == pytest.approx(validations(log)[-1]["fixed_auc"], abs=0.01)


def test_a_generators_corruption_is_made_once_and_scored_in_every_validation(
    trained, data_bin, tmp_path, capsys
):
    folder, _ = trained
    data = tmp_path / "data-bin"
    data.mkdir()
    for path in data_bin.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    replacements, made = str(tmp_path / "judge.npz"), data / "valid.fixed_generator.npz"
    line = ["corrupt", str(folder / "checkpoint_last.pt"), str(data), "--replacements", replacements]
    assert main(line) == 0
    assert "logged as fixed_generator_auc" in capsys.readouterr().out
    content = made.read_bytes()
    made.unlink()
    assert main(["corrupt", replacements, str(data)]) == 0 and made.read_bytes() == content
    logging.getLogger("fairseq_electra").setLevel(logging.NOTSET)  # the command has silenced it
    log = train_here(data, tmp_path / "a", *TINY_NET, "--max-update", 1)
    found = validations(log)[-1]
    assert 0 < found["fixed_generator_auc"] < 1 and found["fixed_generator_auc"] != found["fixed_auc"]
    assert "is that of replacements by the generator of checkpoint_last.pt (SHA-256" in log.text


def test_a_net_without_a_discriminator_has_none(data_bin, tmp_path):
    log = train_here(data_bin, tmp_path / "a", *TINY_NET, "--generator-only", "--max-update", 1)
    assert "fixed_auc" not in validations(log)[-1]
