"""Figures of the lines of a report."""

import pytest

from fairseq_electra.comparison import figures
from fairseq_electra.comparison.report import Figure

pytest.importorskip("matplotlib")


def line(objective, budget, **scores):
    return {"objective": objective, "budget": budget, "flops": budget * 1e6, "tokens": int(budget), **scores}


def test_scores_in_are_means_and_probes_else_the_first_score():
    lines = [
        line("electra", 4e6, CoLA=Figure(1, None, 1), mean=Figure(1, None, 1), fixed_auc=Figure(2, 0.1, 2))
    ]
    lines.append(
        line("mlm", 4e6, **{"BLiMP, x": Figure(3, None, 1), "fixed_generator_auc": Figure(4, None, 1)})
    )
    assert figures.scores_in(lines) == ["mean", "BLiMP, x", "fixed_generator_auc"]
    assert figures.scores_in([line("electra", 4e6, fixed_auc=Figure(2, 0.1, 2))]) == ["fixed_auc"]
    assert figures.scores_in([line("mlm", 4e6)]) == []  # nothing to draw


@pytest.mark.parametrize("budgets", [(4e6, 12e6), (4e6,)])
def test_draw_shows_every_objective_and_budget(tmp_path, monkeypatch, budgets):
    from matplotlib.axes import Axes

    drawn, plain = [], Axes.errorbar
    monkeypatch.setattr(
        Axes,
        "errorbar",
        lambda axis, x, y, *a, **o: drawn.append((x, y, o["label"])) or plain(axis, x, y, *a, **o),
    )
    lines = [
        line(name, each, mean=Figure(50 + each / 1e6, 1.0, 3))
        for name in ("electra", "mlm")
        for each in budgets
    ]
    figures.draw(lines, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert {label for _, _, label in drawn} == {"electra", "mlm"}
    assert len(drawn) == 2 * (2 if len(budgets) > 1 else 1)
    assert all(y == [50 + each / 1e6 for each in budgets] for _, y, _ in drawn)
    expected = [each * 1e6 for each in budgets] if len(budgets) > 1 else ["electra"]
    assert drawn[0][0] == expected
