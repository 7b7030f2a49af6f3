"""What the card of an exported folder says of the training log."""

import pytest

from fairseq_electra.interchange.model_card import model_card

KEPT = {"epoch": 3.0, "num_updates": 1200.0, "wps": 9.5, "wpb": 8.5, "bsz": 7.5, "ppl": 6.5}


@pytest.mark.parametrize(
    "metrics",
    [
        {"loss": 0.625, "accuracy": 81.5, "mcc": 40.25},
        {"loss": 0.5, "acc_and_f1": 88.0, "f1": 90.0},
        {"loss": 1.5, "pearson_and_spearman": 70.5, "pearson": 71.0, "spearman": 70.0},
        {"loss": 0.25, "entity_f1": 55.5, "entity_precision": 50.0},
        {"loss": 2.5, "exact_match": 60.5, "f1": 65.5, "threshold": -1.5},
        {"masked_lm_loss": 3.5, "disc_auc": 0.75, "fixed_auc": 0.625},
    ],
    ids=lambda metrics: list(metrics)[1],
)
def test_the_card_shows_every_metric_of_the_last_validation_and_nothing_else(pretrained, metrics):
    records = [
        {"subset": "valid", **KEPT, **dict.fromkeys(metrics, 1.0)},
        {"subset": "valid", **KEPT, **metrics, "best_loss": 0.125},
        {"subset": "train_inner", "loss": 4.5, "gnorm": 2.0},
    ]
    card = model_card(pretrained(), [], records)
    table = card.split("| metric | value |\n|---|---|\n")[1].splitlines()
    assert table == [f"| {name} | {value:g} |" for name, value in metrics.items()]
    assert "on `valid` after 1,200 updates" in card
