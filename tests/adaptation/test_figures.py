"""The figures of validations, read from what fairseq-validate prints, and their table."""

from fairseq_electra.adaptation import figures
from fairseq_electra.speedrun.machine import Machine

LINES = [
    'now | INFO | fairseq.logging.progress_bar | {"loss": "9", "ntokens": "100"}',  # of progress
    'now | INFO | valid | {"valid_loss": "8", "valid_disc_auc": "0.75", "valid_fixed_auc": "0.5",'
    ' "valid_masked_lm_accuracy": "nan"}',
    "now | INFO | fairseq_electra | data-bin/general: 3 lines",
    'now | INFO | general | {"general_loss": "8", "general_masked_lm_loss": "3.5"}',
]


def test_validate_reads_the_figures_of_each_text(monkeypatch, tmp_path):
    calls = []

    def follow(arguments, log, tool):
        calls.append((tool, arguments))
        return ((0.0, line) for line in LINES)

    monkeypatch.setattr(figures, "follow", follow)
    machine = Machine("cpu", "simulated", True, 2)
    checkpoint, splits = tmp_path / "x.pt", ["valid", "general"]
    found = figures.validate(checkpoint, tmp_path, splits, 4, 32, machine, tmp_path / "log")
    assert found == {
        "valid": {"disc_auc": 0.75, "fixed_auc": 0.5},
        "general": {"masked_lm_loss": 3.5},
    }
    [(tool, arguments)] = calls
    assert tool == "fairseq-validate" and arguments[:3] == [str(tmp_path), "--path", str(checkpoint)]
    assert "--cpu" in arguments and arguments[arguments.index("--autocast") + 1] == "bf16"


def test_table_has_a_column_for_each_model():
    before, after = ({"valid": {"disc_auc": value}, "general": {"disc_auc": value}} for value in (0.5, 0.75))
    assert figures.table({"before": before, "after": after}).splitlines() == [
        "| held-out text | | before | after |",
        "|---|---|---|---|",
        "| domain | `disc_auc` | 0.500 | 0.750 |",
        "| general | `disc_auc` | 0.500 | 0.750 |",
    ]


def test_a_figure_that_one_model_lacks_is_none():
    before, after = {"valid": {"fixed_auc": 0.5}}, {"valid": {"disc_auc": 0.75, "fixed_auc": 0.6}}
    assert figures.table({"before": before, "after": after}).splitlines()[2:] == [
        "| domain | `fixed_auc` | 0.500 | 0.600 |",
        "| domain | `disc_auc` | none | 0.750 |",
    ]
