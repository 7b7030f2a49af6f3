"""A run on several languages is judged by the mean of their validations, and logs each."""

import math
import shutil

import fairseq_cli.train
import pytest
import torch

from fairseq_electra.compat.language_means import mean_of
from tests.helpers.commands import electra_here
from tests.helpers.fairseq_source import stock_source
from tests.helpers.language_folder import write_languages
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, refusal, train_here, weights

RUN = [
    *[*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints", "--max-update", "4"],
    *["--validate-interval-updates", "2", "--save-interval-updates", "2", "--languages", "en,ko,zh"],
]
SUBSETS = ["en/valid", "ko/valid", "zh/valid"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vocabulary):
    return write_languages(tmp_path_factory.mktemp("languages") / "data-bin", vocabulary)


def test_fairseq_still_judges_by_the_first_subset():
    source = stock_source(fairseq_cli.train)
    assert "tracking_best = subset_idx == 0" in source
    assert "cfg.checkpoint, trainer, epoch_itr, valid_losses[0]" in source


def test_validate_logs_each_language_and_is_judged_by_their_mean(tmp_path, folder):
    log = train_here(folder, tmp_path / "save", *RUN, "--valid-subset", ",".join(SUBSETS))
    for update in (2, 4):
        records = {record["subset"]: record for record in log.records if record.get("num_updates") == update}
        assert set(SUBSETS) | {"valid"} <= records.keys()
        for name in ("loss", "fixed_auc", "masked_lm_loss"):
            each = [records[subset][name] for subset in SUBSETS]
            assert records["valid"][name] == pytest.approx(sum(each) / 3, abs=1e-3) and len(set(each)) == 3
        assert not any("best_loss" in records[subset] for subset in SUBSETS)
    assert records["valid"]["best_loss"] <= records["valid"]["loss"]
    losses = [record["loss"] for record in log.records if record["subset"] == "valid"]
    state = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)["extra_state"]
    assert state["val_loss"] == pytest.approx(losses[-1], abs=1e-3)
    assert state["best"] == pytest.approx(min(losses), abs=1e-3)
    # a checkpoint is enough to encode text, as in other runs
    assert (tmp_path / "save" / "dict.txt").read_bytes() == (folder / "en" / "dict.txt").read_bytes()


def test_mean_of_counts_languages_alike_and_leaves_out_what_is_no_number(caplog):
    stats = {
        "en/valid": {"loss": 1.0, "auc": 0.5, "none": None},
        "en/test": {"loss": 3.0, "auc": math.nan, "none": None},
        "zh/valid": {"loss": 5.0, "auc": 0.7, "none": None},
    }
    means = mean_of(stats, ["loss", "auc", "none"])
    assert means["loss"] == 3.5 and means["auc"] == pytest.approx(0.6) and math.isnan(means["none"])
    assert (
        "en/test has no number for auc" in caplog.text and "zh/valid has no number for auc" not in caplog.text
    )


def test_one_language_is_judged_by_its_first_validation(tmp_path, folder):
    shutil.copytree(folder / "en", tmp_path / "one" / "en")
    for ending in ("idx", "bin"):
        shutil.copy(folder / "ko" / f"valid.{ending}", tmp_path / "one" / "en" / f"test.{ending}")
    run = [*RUN[:-1], "en", "--valid-subset", "valid,test"]
    log = train_here(tmp_path / "one", tmp_path / "save", *run)
    losses = [record["loss"] for record in log.records if record["subset"] == "valid"]
    assert len(losses) == 2
    state = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)["extra_state"]
    assert state["val_loss"] == pytest.approx(losses[-1], abs=1e-3)


def test_a_run_of_one_language_has_the_losses_of_its_folder(tmp_path, folder):
    common = [*TINY_NET, "--num-workers", "0", "--no-save", "--max-update", "3", "--valid-subset", "valid"]
    plain = train_here(folder / "en", tmp_path / "plain", *common)
    ours = train_here(folder, tmp_path / "ours", *common, "--languages", "en")
    assert ours.losses == plain.losses and len(ours.losses) == 3
    one, other = ([record for record in log.records if record["subset"] == "valid"] for log in (plain, ours))
    assert [record["fixed_auc"] for record in one] == [record["fixed_auc"] for record in other] != []


def test_a_run_resumes_bit_exactly_within_an_epoch(tmp_path, folder):
    more = ["--disable-validation", "--save-interval-updates", "5", "--num-workers", "0", "--batch-size", "8"]
    more = [*TINY_NET, "--no-epoch-checkpoints", "--languages", "en,ko,zh", *more]
    whole = train_here(folder, tmp_path / "whole", *more, "--max-update", "30")
    train_here(folder, tmp_path / "parts", *more, "--max-update", "25")
    parts = train_here(folder, tmp_path / "parts", *more, "--max-update", "30")
    assert parts.losses == whole.losses[25:] and len(parts.losses) == 5
    epochs = {record["num_updates"]: record["epoch"] for record in whole.records}
    assert epochs[25] == epochs[26] == 2  # so it is broken off within an epoch
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_a_run_on_a_folder_of_languages_is_refused_without_their_validations(tmp_path, folder):
    said = refusal(folder, tmp_path / "save", *RUN)
    assert said.endswith(f"give --valid-subset {','.join(SUBSETS)}, or --disable-validation")


def test_a_checkpoint_of_several_languages_is_shown_and_used_on_all_and_on_one(tmp_path, folder):
    data = shutil.copytree(folder, tmp_path / "data-bin")
    more = ["--sampling-alpha", "0.5", "--disable-validation"]
    train_here(data, tmp_path / "save", *RUN, *more)
    checkpoint = tmp_path / "save" / "checkpoint_last.pt"
    status, _, said = electra_here("inspect", checkpoint, data)
    assert status == 1 and said.endswith("valid of each language is read by itself; give --split en/valid\n")
    for shown, split in ((data, "train"), (data, "en/valid"), (data / "ko", "valid")):
        status, output, said = electra_here("inspect", checkpoint, shown, "--split", split)
        assert status == 0 and "p(replaced)" in output, said
    status, output, said = electra_here("corrupt", checkpoint, data / "ko")
    assert status == 0 and "ids replaced by the generator" in output, said
