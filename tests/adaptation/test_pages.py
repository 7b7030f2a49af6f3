"""The figures of the pages on adapt and lengthen are those of the committed runs."""

import json

import numpy as np

from tests.helpers.paths import ROOT

RUNS, PAGES = ROOT / "examples" / "pretraining", ROOT / "docs" / "how-to"
ADAPT, LENGTHEN = ((PAGES / f"{name}.md").read_text(encoding="utf-8") for name in ("adapt", "lengthen"))


def test_the_tables_of_adaptations():
    text = ADAPT
    runs = json.loads((RUNS / "adapt.json").read_text())
    for arms in (runs[name] for name in runs if "share" not in name):
        assert list(arms) == ["neither", "replay", "extended", "both"]
        before = arms["neither"]["before"]
        assert all(arm["before"] == before for arm in arms.values())
        columns = [before, arms["neither"]["after"], arms["replay"]["after"]]
        columns += [arms["extended"]["with new tokens, untrained"]]
        columns += [arms["extended"]["after"], arms["both"]["after"]]
        for split, title in (("valid", "PEPs"), ("general", "Wikipedia")):
            for name, digits in (("fixed_auc", 3), ("disc_auc", 3), ("masked_lm_accuracy", 1)):
                figures = " | ".join(f"{column[split][name]:.{digits}f}" for column in columns)
                assert f"| {title} | `{name}` | {figures} |" in text


def test_an_adaptation_with_replay_gains_in_the_domain_and_forgets_little():
    runs = json.loads((RUNS / "adapt.json").read_text())
    arms = runs["12 M tokens"]
    text = " ".join(ADAPT.split())

    def gains(arm, start="before", arms=arms):
        found = {
            (split, name): arms[arm]["after"][split][name] - arms[arm][start][split][name]
            for split in ("valid", "general")
            for name in ("fixed_auc", "disc_auc")
        }
        return {key: (gain, f"{abs(gain):.3f}".removeprefix("0")) for key, gain in found.items()}

    of_pairs = [(split, name) for split in ("valid", "general") for name in ("fixed_auc", "disc_auc")]
    replay, neither, both = gains("replay"), gains("neither"), gains("both", "with new tokens, untrained")
    for gained in (replay, both):  # what is asked of the command
        assert all(gained["valid", name][0] >= 0.02 for name in ("fixed_auc", "disc_auc"))
        assert all(gained["general", name][0] >= -0.01 for name in ("fixed_auc", "disc_auc"))
    for arm, start in (("replay", "before"), ("both", "with new tokens, untrained")):
        older = gains(arm, start, runs["36 M tokens"])
        assert min(older["valid", name][0] for name in ("fixed_auc", "disc_auc")) >= 0.02
        assert min(older["general", name][0] for name in ("fixed_auc", "disc_auc")) >= -0.01
    older = gains("replay", arms=runs["36 M tokens"])
    words = [older["valid", "fixed_auc"][1], older["valid", "disc_auc"][1], older["general", "disc_auc"][1]]
    assert older["general", "disc_auc"][0] < older["general", "fixed_auc"][0]
    said = "gains {} and `disc_auc` {}; the loss on Wikipedia is at most {}."
    assert said.format(*words) in text
    words = [replay[key][1] for key in of_pairs]
    assert words[2] == words[3]
    assert "`fixed_auc` by {} and `disc_auc` by {}, and loses {} of both on Wikipedia".format(*words) in text
    words = [neither[key][1] for key in of_pairs]
    assert "hardly more on PEPs, {} and {}, and loses {} and {} on Wikipedia".format(*words) in text
    less = gains("replay", arms=runs["12 M tokens, a share of 0.2, 1,000 updates"])
    fixed, disc, fixed_general, disc_general = (less[key][1] for key in of_pairs)
    assert f"`disc_auc` on Wikipedia fell by {disc_general} and `fixed_auc` by {fixed_general}" in text
    assert f"while PEPs gained {disc} and {fixed}" in text
    words = [both[key][1] for key in of_pairs[:2]]
    assert "gains {} and {} on PEPs, and nothing is lost on Wikipedia".format(*words) in text


def test_the_table_of_a_lengthened_model():
    figures = json.loads((RUNS / "lengthen.json").read_text())["figures"]
    text = LENGTHEN
    assert list(figures) == ["before", "with the new base, untrained", "after"]
    for rows in figures["before"]:
        cells = [f"{each[rows]['fixed_auc']:.3f}" for each in figures.values()]
        cells += [f"{each[rows]['masked_lm_accuracy']:.1f}" for each in figures.values()]
        assert f"| {rows} | {' | '.join(cells)} |" in text


def test_the_entities_of_an_adapted_model():
    found = json.loads((RUNS / "adapt_ncbi.json").read_text())
    text = " ".join(ADAPT.split())
    before, after = (np.array(found["fine_tuning"][name]["test"]) for name in ("before", "adapted"))
    spreads = [f"{each.mean():.1f} ± {each.std(ddof=1):.1f}" for each in (before, after)]
    assert "on the test set is {} before and {} after".format(*spreads) in text
    difference = after - before
    half = 2.776 * difference.std(ddof=1) / len(difference) ** 0.5  # Student's t of four degrees of freedom
    mean, low, high = (f"{difference.mean() + by:+.1f}".replace("-", "−") for by in (0, -half, half))
    assert f"difference {mean} with a 95 % interval from {low} to {high}" in text
    figures = [found["figures"][name]["valid"] for name in ("before", "after")]
    accuracies = [f"{each['masked_lm_accuracy']:.1f}" for each in figures]
    areas = [f"{each['disc_auc']:.3f}".lstrip("0") for each in figures]
    assert "{} to {} % right and `disc_auc` {} to {}".format(*accuracies, *areas) in text
