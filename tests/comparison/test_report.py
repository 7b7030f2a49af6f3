"""Means over seeds, and intervals of differences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fairseq_electra.comparison import report
from fairseq_electra.comparison.plan import Plan, read_plan
from fairseq_electra.errors import InputError
from tests.helpers.plans import cell, plan_file


@pytest.fixture
def plan(tmp_path) -> Plan:
    return read_plan(plan_file(tmp_path, budgets="[4e6]", seeds="[1, 2, 3]"))


def cells_of(objective, shift, noise):
    rng = np.random.default_rng(1)
    return [
        cell(objective, seed, {task: list(70 + shift + noise * rng.normal(size=3)) for task in ("A", "B")})
        for seed in (1, 2, 3)
    ]


def test_summarize_has_means_and_deviations_over_seeds_of_pre_training(plan):
    scores = {1: [60, 62], 2: [64, 66], 3: [70, 74]}
    cells = [cell("electra", seed, {"A": values, "B": [50, 50]}) for seed, values in scores.items()]
    (line,) = report.summarize(plan, cells)
    means = [61, 65, 72]
    assert line["A"] == pytest.approx((np.mean(means), np.std(means, ddof=1), 3))
    assert line["mean"].mean == pytest.approx((np.mean(means) + 50) / 2)
    assert line["fixed_auc"].mean == pytest.approx(0.82)
    assert "| 66.0 ± 5.6 | 50.0 ± 0.0 |" in report.markdown(plan, [line])


def test_a_difference_without_noise_is_exact():
    one, other = cells_of("mlm", 2.0, 0.0), cells_of("electra", 0.0, 0.0)
    found = report.less_reference(one, other, {})
    assert set(found) == {"A", "B", "mean"}
    for each in found.values():
        assert each == pytest.approx((2.0, 2.0, 2.0, 3))


def test_a_difference_is_that_from_the_objective_that_the_plan_names(tmp_path):
    objectives = '{electra: "", mlm: --objective mlm, gdes: --tie-embeddings gdes}'
    entries = {"objectives": objectives, "budgets": "[4e6]", "compared_with": "{gdes: mlm}"}
    plan = read_plan(plan_file(tmp_path, **entries))
    cells = [each for i, name in enumerate(plan.objectives) for each in cells_of(name, 2.0 * i * i, 0.0)]
    _, mlm, gdes = report.summarize(plan, cells)
    assert mlm["differences"]["mean"].mean == pytest.approx(2.0)
    assert gdes["differences"]["mean"].mean == pytest.approx(6.0)
    text = report.markdown(plan, [mlm, gdes])
    assert "| mlm less electra | +2.0 " in text and "| gdes less mlm | +6.0 " in text
    without = report.summarize(plan, [each for each in cells if each["objective"] != "mlm"])
    assert without[1]["differences"] == {}


def test_an_interval_over_seeds_holds_the_truth_about_as_often_as_it_says():
    rng, held = np.random.default_rng(2), 0
    for _ in range(60):
        pairs = []
        for seed in range(8):
            shared = rng.normal()  # of a seed, in both objectives
            pairs.append(
                [
                    cell(name, seed, {"A": list(shift + shared + rng.normal(size=8))})
                    for name, shift in (("mlm", 1.0), ("electra", 0.0))
                ]
            )
        found = report.less_reference([pair[0] for pair in pairs], [pair[1] for pair in pairs], {})
        held += found["mean"].low <= 1.0 <= found["mean"].high
    assert 50 <= held <= 60


@pytest.mark.parametrize(
    ("seeds", "share", "words"), [(2, 0.5, "one time in two"), (3, 0.75, "three times in four")]
)
def test_an_interval_of_few_seeds_holds_the_truth_as_often_as_the_note_says(seeds, share, words):
    rng, held = np.random.default_rng(5), 0
    for _ in range(200):
        cells = [
            [cell(name, seed, {"A": [rng.normal()]}) for seed in range(seeds)] for name in ("mlm", "electra")
        ]
        gap = report.less_reference(*cells, {})["mean"]
        held += gap.low <= 0.0 <= gap.high
    assert held / 200 == pytest.approx(share, abs=0.08)  # 1 - 2 / 2 ** seeds: the range of as many numbers
    assert words in report.NOTE


def test_fine_tunings_have_the_predictions_of_a_cell():
    one = cell("mlm", 1, {"A": [50.0, 75.0], "B": [10.0]}, predictions={"A": ["0 1", "1.5 2"], "B": []})
    found = report.fine_tunings(one)
    assert found["A"].predictions.tolist() == [[0, 1], [1.5, 2]] and found["A"].values.tolist() == [50, 75]
    assert found["B"].predictions is None


def test_only_seeds_that_both_have_are_compared():
    one, other = cells_of("mlm", 2.0, 0.0)[:1], cells_of("electra", 0.0, 0.0)
    gap = report.less_reference(one, other, {})["mean"]
    assert gap == report.Difference(pytest.approx(2.0), None, None, 1) and str(gap) == "+2.0 (1 seed)"
    gap = report.less_reference(cells_of("mlm", 2.0, 0.0), other, {})["mean"]
    assert str(gap) == "+2.0 (+2.0 to +2.0; 3 seeds)"


def test_markdown_shows_the_cells_that_are_there(plan):
    cells = [*cells_of("electra", 0.0, 1.0), *cells_of("mlm", 1.0, 1.0)[:1]]
    text = report.markdown(plan, report.summarize(plan, cells))
    assert "| electra | 100 | 0.001 | 3 |" in text and "| mlm | 100 | 0.001 | 1 |" in text
    assert "4 M tokens of electra: 1.00e+12 FLOPs" in text


def test_the_table_of_rates_has_what_each_reached_and_marks_the_best(plan):
    plan = replace(plan, rates=(1e-3, 5e-4, 2e-3))

    def choice(objective, lr, **valid):
        return {
            "cell": "",
            "objective": objective,
            "lr": lr,
            "valid": valid,
            "has_discriminator": objective == "electra",
        }

    choices = [
        *(
            choice("electra", lr, fixed_generator_auc=auc, masked_lm_loss=4.0)
            for lr, auc in ((5e-4, 0.6271), (1e-3, 0.6325))
        ),
        *(choice("mlm", lr, masked_lm_loss=loss) for lr, loss in ((5e-4, 4.8), (1e-3, 4.5), (2e-3, 4.4))),
    ]
    table = report.rates_table(plan, choices)
    assert "| objective | held-out text | 0.0005 | 0.001 | 0.002 |" in table
    assert "| electra | fixed_generator_auc | 0.627 | 0.632 |  |" in table  # the third may be better
    assert "| mlm | masked_lm_loss | 4.800 | 4.500 | **4.400** |" in table
    assert report.rates_table(plan, []) == ""
    diverged = choice("electra", 2e-3) | {"trouble": "gradients are Nan/Inf"}
    assert "| 0.627 | **0.632** | diverged |" in report.rates_table(plan, [*choices, diverged])
    own = replace(plan, rates_of={"electra": (5e-4, 1e-3), "mlm": (1e-3, 4e-3)})
    table = report.rates_table(own, choices)
    assert "| electra | fixed_generator_auc | 0.627 | **0.632** |  |" in table
    assert "| objective | held-out text | 0.0005 | 0.001 | 0.004 |" in table


def test_the_table_of_rates_of_fine_tuning_marks_the_best(plan):
    plan = replace(plan, finetuning_rates=(1e-3, 3e-4, 3e-3))
    scores = {"A": {"0.0003": 36.8, "0.001": 69.2, "0.003": None}, "B": dict.fromkeys(("0.0003", "0.001"))}
    table = report.finetuning_rates_table(plan, [{"objective": "mlm", "choice": scores}])
    assert "| objective | task | 0.0003 | 0.001 | 0.003 |" in table
    assert "| mlm | A | 36.8 | **69.2** | diverged |" in table
    assert "| mlm | B | diverged | diverged | diverged |" in table
    marked = {"objective": "mlm", "choice": scores, "constant": {"A": ["0.0003"], "B": []}}
    assert "| mlm | A | 36.8 (constant) | **69.2** |" in report.finetuning_rates_table(plan, [marked])
    assert report.finetuning_rates_table(plan, [{"objective": "mlm", "trouble": "Nan"}]) == ""


def test_cells_that_were_fine_tuned_at_different_rates_are_refused():
    one, other = (cell("mlm", seed, {"A": [1.0]}, cell=f"mlm-{seed}") for seed in (1, 2))
    report.check_rates([one | {"finetuning_lr": {"A": 1e-3}}, other | {"finetuning_lr": {"A": 1e-3}}])
    with pytest.raises(InputError, match="mlm-2 and mlm-1 were fine-tuned at different learning rates"):
        report.check_rates([one | {"finetuning_lr": {"A": 1e-3}}, other | {"finetuning_lr": {"A": 3e-4}}])


def test_edges_tell_where_a_better_rate_may_lie(plan):
    lines = report.summarize(plan, cells_of("electra", 0.0, 1.0))
    (said,) = report.edges(plan, lines)
    assert "at 4 M tokens by held-out text, the highest of them: a better one may lie outside" in said
    assert "at 1 M tokens" in report.edges(replace(plan, rates_at=1e6), lines)[0]


def test_cells_of_one_objective_that_were_trained_at_different_rates_are_refused():
    cells = [cell("electra", seed, {}, cell=f"electra-{seed}", lr=lr) for seed, lr in ((1, 1e-3), (2, 4e-3))]
    report.check_rates(cells[:1])
    with pytest.raises(
        InputError, match=r"electra-2 was trained with the learning rate 0\.004, and electra-1"
    ):
        report.check_rates(cells)


def test_a_task_that_a_cell_has_no_score_of_is_left_out_of_the_means(plan):
    cells = [*cells_of("electra", 0.0, 0.0), *cells_of("mlm", 2.0, 0.0)]
    cells[0]["finetuning"]["B"] = {}
    electra, mlm = report.summarize(plan, cells)
    assert "B" not in electra and "B" in mlm and electra["mean"].mean == pytest.approx(70)
    assert mlm["differences"]["mean"][0] == pytest.approx(2.0)


def test_fine_tunings_that_diverged_are_named(plan):
    cells = cells_of("electra", 0.0, 0.0)
    cells[0] |= {"cell": "first", "finetuning": {"A": {"accuracy": [60.0] * 3}, "B": {}}}
    cells[1] |= {"cell": "second", "finetuning": {"A": {"accuracy": [60.0]}, "B": {"accuracy": [50.0] * 3}}}
    folders = replace(plan, tasks=(Path("A"), Path("B")))
    assert report.troubles(folders, cells[:2]) == [
        "first: all fine-tunings on B diverged, so all means leave B out",
        "second: 2 of 3 fine-tunings on A diverged; the score is that of the others",
    ]


def test_fine_tunings_that_predict_the_same_for_all_examples_are_named(plan):
    constant = cell("electra", 1, {"A": [60.0] * 3, "B": [50.0] * 3}, cell="first")
    constant["predictions"] = {"A": ["1 1 1", "0 1 1", "0 0 0"], "B": ["0.25 0.25", "0.25 0.5", "1 2"]}
    assert report.troubles(replace(plan, tasks=(Path("A"), Path("B"))), [constant]) == [
        "first: 2 of 3 fine-tunings on A predict the same for all examples",
        "first: 1 of 3 fine-tunings on B predict the same for all examples",
    ]


def test_means_of_all_budgets_are_over_the_same_tasks(plan):
    plan = replace(plan, budgets=(1e6, 4e6))
    cells = [
        cell("electra", 1, {"A": [50.0], "B": [90.0]}, budget=1e6),
        cell("electra", 1, {"A": [52.0]}, budget=4e6),
    ]
    assert [line["mean"].mean for line in report.summarize(plan, cells)] == [50, 52]


def test_minimal_pairs_are_compared_between_scores_that_are_computed_alike():
    def scored(name, has_discriminator=True, **valid):
        points = {"points": {"paradigm": "0212"}, "mean": 62.5}
        scores = ("generator", "discriminator") if has_discriminator else ("generator",)
        return [
            cell(name, 1, {}, blimp=dict.fromkeys(scores, points), valid=valid)
            | {"has_discriminator": has_discriminator}
        ]

    def compared(one, other):
        return [name for name in report.less_reference(one, other, {}) if name.startswith(report.BLIMP)]

    electra, mlm = scored("electra"), scored("mlm", has_discriminator=False)
    all_tokens = scored("all-tokens", main_lm_loss=1.0)
    assert compared(scored("gdes"), electra) == ["BLiMP, generator", "BLiMP, discriminator"]
    assert compared(mlm, electra) == []
    assert compared(all_tokens, electra) == ["BLiMP, generator"]


def test_means_at_one_budget_are_over_the_tasks_that_all_objectives_have(plan):
    cells = [*cells_of("electra", 0.0, 0.0), *cells_of("mlm", 2.0, 0.0)]
    cells[0]["finetuning"]["B"] = {}
    for cell_of_mlm in cells[3:]:
        cell_of_mlm["finetuning"]["B"] = {"accuracy": [10.0]}
    electra, mlm = report.summarize(plan, cells)
    assert electra["mean"].mean == pytest.approx(70) and mlm["mean"].mean == pytest.approx(72)
    assert mlm["B"].mean == pytest.approx(10)
    assert mlm["differences"]["mean"].mean == pytest.approx(mlm["mean"].mean - electra["mean"].mean)


def test_the_mean_of_the_differences_is_over_the_tasks_of_the_table(plan):
    cells = [*cells_of("electra", 0.0, 0.0), *cells_of("mlm", 2.0, 0.0), *cells_of("gdes", 1.0, 0.0)]
    for each in cells[3:6]:
        each["finetuning"]["B"] = {"accuracy": [90.0]}
    for each in cells[6:]:
        each["finetuning"]["B"] = {}
    plan = replace(plan, objectives={"electra": (), "mlm": (), "gdes": ()})
    electra, mlm, _ = report.summarize(plan, cells)
    assert mlm["mean"].mean - electra["mean"].mean == pytest.approx(2)
    assert mlm["differences"]["mean"].mean == pytest.approx(2)
    assert mlm["differences"]["B"].mean == pytest.approx(20)


def test_cells_that_fine_tune_nothing_have_figures_of_held_out_text_alone(plan):
    plan = replace(plan, tasks=())
    lines = report.summarize(plan, [cell(name, seed, {}) for name in ("electra", "mlm") for seed in (1, 2)])
    assert [line["fixed_auc"].text(3) for line in lines] == ["0.815 ± 0.007"] * 2
    assert not any("mean" in line or line.get("differences") for line in lines)
    table = report.markdown(plan, lines).splitlines()
    assert table[2].startswith("| objective | updates | lr | seeds | fixed_auc | mean |")
    assert len({row.count("|") for row in table[2:6]}) == 1
