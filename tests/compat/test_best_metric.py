"""The metric that chooses the best checkpoint is looked at before training."""

from types import SimpleNamespace

import fairseq_cli.train
import pytest
import torch
from fairseq.criterions.sentence_prediction import SentencePredictionCriterion
from fairseq.criterions.sentence_ranking import SentenceRankingCriterion
from fairseq.logging import metrics

from fairseq_electra.compat.best_metric import check_metric, logged_metrics
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.sentences.kind import REPORTED
from fairseq_electra.pretraining.metrics import NOT_ALWAYS_LOGGED, logged_by_validation
from tests.helpers.fairseq_source import stock_source
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import refusal, train_here

RUN = [*TINY_NET, "--max-update", "1", "--num-workers", "0", "--no-save"]
FAIRSEQS = {"epoch", "subset", "wps", "wpb", "bsz", "num_updates", "best_loss", "ppl", "seconds"}


def test_fairseq_still_looks_the_metric_up_behind_the_validation():
    assert "valid_losses.append(stats[cfg.checkpoint.best_checkpoint_metric])" in stock_source(
        fairseq_cli.train
    )


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "frozen_generator"])
def test_the_metrics_of_pre_training_are_those_that_validation_logs(tmp_path, data_bin, objective):
    log = train_here(data_bin, tmp_path / "save", *RUN, "--objective", objective)
    (valid,) = (set(record) - FAIRSEQS for record in log.records if record["subset"] == "valid")
    names = logged_by_validation(OBJECTIVES[objective], ["fixed"])
    assert valid - set(NOT_ALWAYS_LOGGED) == set(names) and len(names) == len(set(names))


def sums_of_predictions(**more):
    return {
        "loss": torch.tensor(3.0),
        "ntokens": 40,
        "nsentences": 4,
        "sample_size": 4,
        "ncorrect": torch.tensor(2),
        **more,
    }


@pytest.mark.parametrize("option", [None, *REPORTED])
def test_the_metrics_of_sentence_prediction_are_those_that_fairseq_logs(option):
    predicted = {"pred": [0, 1, 1, 0], "targ": [0, 1, 0, 1], option: True} if option else {}
    with metrics.aggregate(new_root=True) as found:
        SentencePredictionCriterion.reduce_metrics([sums_of_predictions(**predicted)])
    criterion = SimpleNamespace(
        _name="sentence_prediction", regression_target=False, **({option: True} if option else {})
    )
    run = SimpleNamespace(task=SimpleNamespace(), cfg=SimpleNamespace(criterion=criterion))
    assert {name for name in found if not name.startswith("_")} - {"pred", "targ"} == set(logged_metrics(run))
    criterion.regression_target = True
    assert set(logged_metrics(run)) == {name for name in found if name not in ("pred", "targ", "accuracy")}


def test_the_metrics_of_sentence_ranking_are_those_that_fairseq_logs():
    with metrics.aggregate(new_root=True) as found:
        SentenceRankingCriterion.reduce_metrics([sums_of_predictions()])
    run = SimpleNamespace(
        task=SimpleNamespace(), cfg=SimpleNamespace(criterion=SimpleNamespace(_name="sentence_ranking"))
    )
    assert set(found) == set(logged_metrics(run))
    run.cfg.criterion._name = "masked_lm"
    assert logged_metrics(run) is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "disc_auk",
            (
                "--best-checkpoint-metric disc_auk: validation logs loss, masked_lm_loss, .*, fixed_auc; name"
                " one of these"
            ),
        ),
        ("disc_precision", "--best-checkpoint-metric disc_precision: validation logs "),
        ("fixed_generator_auc", "--best-checkpoint-metric fixed_generator_auc: validation logs "),
        (
            "disc_auc",
            (
                "the checkpoint with the smallest disc_auc would count as the best; add"
                " --maximize-best-checkpoint-metric"
            ),
        ),
    ],
)
def test_a_metric_that_cannot_choose_is_refused(name, sentence):
    cfg = SimpleNamespace(best_checkpoint_metric=name, maximize_best_checkpoint_metric=False)
    with pytest.raises(InputError, match=sentence):
        check_metric(cfg, logged_by_validation(OBJECTIVES["electra"], ["fixed"]))
    check_metric(cfg, None)


def test_the_largest_loss_is_not_the_best():
    cfg = SimpleNamespace(best_checkpoint_metric="masked_lm_loss", maximize_best_checkpoint_metric=True)
    with pytest.raises(
        InputError,
        match="largest masked_lm_loss would count as the best; leave out --maximize-best-checkpoint-metric",
    ):
        check_metric(cfg, logged_by_validation(OBJECTIVES["electra"], []))
    for name, maximize in (
        ("loss", False),
        ("disc_auc", True),
        ("gen_entropy", True),
        ("gen_entropy", False),
    ):
        cfg = SimpleNamespace(best_checkpoint_metric=name, maximize_best_checkpoint_metric=maximize)
        check_metric(cfg, logged_by_validation(OBJECTIVES["electra"], []))


def test_fairseq_train_refuses_before_training_and_not_without_a_validation(tmp_path, data_bin):
    said = refusal(
        data_bin,
        tmp_path / "save",
        *RUN,
        "--best-checkpoint-metric",
        "disc_precision",
        "--maximize-best-checkpoint-metric",
    )
    assert said.startswith("--best-checkpoint-metric disc_precision: validation logs loss, ")
    train_here(
        data_bin,
        tmp_path / "save",
        *RUN,
        "--best-checkpoint-metric",
        "disc_precision",
        "--disable-validation",
    )
