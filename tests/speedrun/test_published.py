"""Published results, and the tables that compare a run with them."""

import pytest

from fairseq_electra.speedrun.published import BASE, SMALL, nearest_mean, nearest_published
from fairseq_electra.speedrun.table import markdown


def test_the_small_models_flops_are_those_of_the_paper_in_its_convention():
    assert SMALL.flops["paper"] == pytest.approx(1.4e18, rel=0.08)
    assert SMALL.tokens == 16_384_000_000
    # matrix products alone, but three passes instead of two: fewer, as no look-up counts as a product
    assert 0.8 < SMALL.flops["products"] / SMALL.flops["paper"] < 1.2
    assert BASE.flops is None


def test_nearest_published_names_a_model_for_each_size():
    found = {size: nearest_published(size).size for size in ("tiny", "small", "base")}
    assert found == {"tiny": "small", "small": "small", "base": "base"}


@pytest.mark.parametrize(
    ("count", "name"),
    [(1e14, "6.25 % trained"), (1.2e17, "6.25 %"), (1.3e17, "12.5 %"), (1e19, "ELECTRA-Base")],
)
def test_the_nearest_mean_is_the_nearest_by_ratio(count, name):
    assert name in nearest_mean(count).name


def test_scores_are_compared_with_published_ones_of_the_same_metric(results):
    lines = markdown(results).splitlines()
    assert "| CoLA, mcc | 10.0 (9.0 ± 0.5) | 56.8 |" in lines
    assert "| MRPC, accuracy | 70.0 (69.0 ± 0.5; seed 3 constant) | 87.4 |" in lines
    assert "| MRPC, f1 | 80.0 (79.0 ± 0.5; seed 3 constant) |  |" in lines
    assert "| WNLI, accuracy | 50.0 (49.0 ± 0.5) |  |" in lines and "| RTE | seed 1 diverged | |" in lines
    assert "| mean of these 2 tasks | 40.0 | 72.1 |" in lines


def test_costs_are_compared_with_published_ones_in_the_same_convention(results):
    lines = markdown(results).splitlines()
    assert "| FLOPs, as the paper counts | 2.00e+14 | 1.29e+18 |" in lines
    assert (
        "| device-seconds of pre-training | 297 |  |" in lines
        and "| device-seconds of fine-tuning | 600 |  |" in lines
    )
    assert any("445 times those of this run" in line and "74.1" in line for line in lines)
    unknown = markdown(results | {"size": "base"}).splitlines()
    assert "| FLOPs, as the paper counts | 2.00e+14 | not published |" in unknown


def test_fixed_auc_is_shown_where_the_log_has_it(results):
    assert "masked-token accuracy 12.3 %, disc_auc 0.654." in markdown(results)
    with_it = results | {"valid": results["valid"] | {"fixed_auc": 0.71}}
    assert "masked-token accuracy 12.3 %, disc_auc 0.654, fixed_auc 0.710." in markdown(with_it)


def test_a_run_without_glue_has_no_scores(results):
    shown = markdown(results | {"glue": None, "seconds": {"pretraining": 297.4}})
    assert (
        "GLUE, dev" not in shown and "device-seconds of pre-training" in shown and "fine-tuning" not in shown
    )
