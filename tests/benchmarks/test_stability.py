"""The study of collapses: its runs, its verdict, its table."""

import json
import sys

import pytest

from benchmark import stability
from tests.helpers.commands import run
from tests.helpers.paths import ROOT

PAGE = ROOT / "examples" / "stability"


def curve(*areas):
    return [
        {"update": 100 * (i + 1), "fixed_auc": area, "disc_auc": 0.6, "mask_token_accuracy": 5.0}
        for i, area in enumerate(areas)
    ]


def test_a_model_is_alive_if_its_fixed_auc_rises_over_the_last_third():
    assert stability.is_alive(curve(0.52, 0.53, 0.54, 0.60, 0.62, 0.65))
    assert not stability.is_alive(curve(0.70, 0.65, 0.62, 0.60, 0.58, 0.57))
    assert not stability.is_alive(curve(0.50, 0.50, 0.51, 0.51, 0.52, 0.53))  # rising, but at chance


def test_each_cause_differs_from_the_default_and_the_deciding_ones_have_three_seeds():
    runs = stability.plan("causes", seeds=True)
    assert len(stability.CAUSES) >= 12 and len(set(runs.values())) == len(runs)
    assert all(f"{name}, seed {seed}" in runs for name in stability.DECIDING for seed in (2, 3))
    assert len(stability.plan("rates", seeds=False)) == 6


def test_the_table_has_a_line_for_each_run():
    runs = {
        "one": {"curve": curve(0.5, 0.6), "alive": True},
        "two": {"curve": [], "alive": False, "trouble": "killed"},
    }
    lines = stability.markdown({"runs": runs}).splitlines()
    assert lines[2] == "| one | 0.500 | 0.600 | 0.600 | 5.0 | alive |" and lines[3].endswith(
        "| dead: killed |"
    )


@pytest.mark.parametrize("name", ["rates", "causes"])
def test_the_page_has_the_tables_of_its_reports(name):
    page = (PAGE / "README.md").read_text()
    assert stability.markdown(json.loads((PAGE / f"{name}.json").read_text())) in page


@pytest.mark.long
@pytest.mark.parametrize("name", ["the default", stability.THEIRS])
def test_a_run_is_made_once_and_kept(data_bin, tmp_path, name):
    output = tmp_path / "found.json"
    line = [sys.executable, "-m", "benchmark.stability", data_bin, "--only", name, "--output", output]
    shape = ["--updates", "6", "--rows", "2", "--tokens", "32", "--processes", "1"]
    first = run([*line, *shape])
    found = json.loads(output.read_text())["runs"][name]
    assert [point["update"] for point in found["curve"]] == [1, 2, 3, 4, 5, 6] and 0 < found["curve"][-1][
        "fixed_auc"
    ] < 1
    assert first.stdout.splitlines()[-1] == run([*line, *shape]).stdout.splitlines()[-1]
    assert json.loads(output.read_text())["runs"][name] == found
    other = run([*line, *shape, "--updates", "7"], check=False)
    assert other.returncode == 2 and "name another --output" in other.stderr
