"""What the card of an exported folder says of the training log and of pairs about groups of people."""

from dataclasses import replace

import pytest

from fairseq_electra.interchange.model_card import model_card
from tests.helpers.commands import electra

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
    card = model_card(replace(pretrained(), updates=1200), [], records)
    table = card.split("| metric | value |\n|---|---|\n")[1].splitlines()
    assert table == [f"| {name} | {value:g} |" for name, value in metrics.items()]
    assert "on `valid` after 1,200 updates" in card


def test_the_card_has_no_validation_of_other_weights_and_those_of_all_texts(pretrained):
    records = [
        {"subset": subset, "num_updates": updates, "disc_auc": auc}
        for updates, auc in ((500.0, 0.93), (1000.0, 0.61))
        for subset in ("valid", "books")
    ]
    card = model_card(replace(pretrained(), updates=500), [], records)
    assert card.count("| disc_auc | 0.93 |") == 2 and "0.61" not in card and "on `books` after 500" in card
    card = model_card(replace(pretrained(), updates=700), [], records)
    assert "disc_auc" not in card and "The log has no validation after these 700 updates." in card


def test_export_adds_the_results_of_pairs_to_the_card(tmp_path, checkpoint, tuned, monkeypatch):
    pytest.importorskip("transformers")
    pairs, results, folder = tmp_path / "pairs.tsv", tmp_path / "bias.json", tmp_path / "export"
    pairs.write_text("category\tsentence\tcounterpart\nage\tOld values.\tNew values.\n")
    printed = electra("bias", checkpoint, pairs, "--output", results).stdout
    electra("export", "--to", "transformers", checkpoint, folder, "--bias", results)
    section = printed.removesuffix(f"results: {results}\n")
    card = (folder / "README.md").read_text()
    title = "## Pairs about groups of people"
    assert card.endswith(f"\n\n{title}\n\nMeasured on the checkpoint that was exported.\n\n{section}")


def test_export_says_that_the_results_are_not_those_of_a_fine_tuned_model(
    tmp_path, checkpoint, tuned, monkeypatch
):
    pairs, results, given = tmp_path / "pairs.tsv", tmp_path / "bias.json", []
    pairs.write_text("category\tsentence\tcounterpart\nage\tOld values.\tNew values.\n")
    electra("bias", checkpoint, pairs, "--scores", "discriminator", "--output", results)
    monkeypatch.setattr("fairseq_electra.hub.load.load_checkpoint", lambda *_: tuned())
    monkeypatch.setattr(
        "fairseq_electra.interchange.export_transformers.export_transformers",
        lambda pretrained, folder, records, more="": given.append(more) or [],
    )
    command = ("export", "--to", "transformers", checkpoint, tmp_path / "export")
    electra(*command, "--bias", results)
    electra(*command)
    section, without = given
    assert "not on this fine-tuned model" in section and without == ""


def test_export_refuses_a_file_without_results_of_pairs_and_writes_nothing(tmp_path, checkpoint):
    results, folder = tmp_path / "bias.json", tmp_path / "export"
    results.write_text("{}")
    given = ("export", "--to", "transformers", checkpoint, folder, "--bias", results)
    done = electra(*given, check=False)
    assert done.returncode == 1 and f"{results} does not hold results of pairs (no 'probe')" in done.stderr
    assert not folder.exists()
