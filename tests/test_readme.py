"""What the README says is what was measured, and its commands exist."""

import ast
import csv
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from fairseq import options

from fairseq_electra.benchmarks import inference, trainer
from fairseq_electra.benchmarks.__main__ import markdown
from fairseq_electra.cli.quickstart import table
from tests.conftest import ROOT, TINY_NET, USER_DIR, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples"
TRAIN_COMMANDS = [
    shlex.split(found.replace("\\\n", " "), comments=True)[1:]
    for found in re.findall(
        r"^fairseq-train (?:.*\\\n)*.*",
        "\n".join([README, *((EXAMPLES / name / "README.md").read_text(encoding="utf-8") for name in ("pretraining", "interchange"))]),
        re.M,
    )
]


def assert_says(text: str) -> None:
    for line in filter(None, text.splitlines()):
        assert line in README, f"README lacks: {line}"


def test_the_quick_starts_table():
    assert_says(table(json.loads((EXAMPLES / "quickstart" / "results.json").read_text())))


def test_the_speed_tables():
    assert_says(markdown(json.loads((EXAMPLES / "benchmark" / "benchmark.json").read_text())))


def test_the_table_of_the_trainer():
    assert_says(trainer.markdown(json.loads((EXAMPLES / "benchmark" / "trainer.json").read_text())))


def test_the_table_of_inference():
    assert_says(inference.markdown(json.loads((EXAMPLES / "benchmark" / "inference.json").read_text())))


@pytest.mark.long
def test_the_page_on_interchange_works_from_start_to_end(tmp_path):
    """All blocks of the page, in order, with a smaller net and fewer updates."""
    page = (EXAMPLES / "interchange" / "README.md").read_text(encoding="utf-8")
    page = page.replace("--max-update 300", f"--max-update 4 {' '.join(TINY_NET)}").replace("source .venv/bin/activate\n", "")
    page = page.replace("fairseq_electra --task", f"{USER_DIR} --task")
    printed = []
    folder = Path(sys.executable).parent
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", page, re.M | re.S):
        command = ["bash", "-euc", block] if language == "bash" else [sys.executable, "-c", block]
        printed.append(run(command, cwd=tmp_path, env={"PATH": f"{folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}).stdout)
    assert len(printed) == 5 and "largest difference from transformers" in printed[0]
    theirs, ours = ([ast.literal_eval(line) for line in text.splitlines() if line.startswith("[")] for text in printed[1:3])
    for left, right in zip(theirs[:2], ours[:2], strict=True):
        assert left == pytest.approx(right, abs=0.0011)
    assert [token.removeprefix("##") for token in theirs[2]] == [token.removeprefix("##") for token in ours[2]]


def test_the_figures_of_the_long_run():
    rows = list(csv.DictReader((EXAMPLES / "pretraining" / "curves.csv").open()))
    last = [row for row in rows if row["subset"] == "valid"][-1]
    for name in ("masked_lm_accuracy", "mask_token_accuracy", "disc_auc"):
        assert f"{name}` {float(last[name]):.3f}" in README.replace("\n", " "), name


@pytest.mark.parametrize("arguments", TRAIN_COMMANDS, ids=range(len(TRAIN_COMMANDS)))
def test_every_option_of_every_training_command_exists(arguments):
    pipe = arguments.index("|") if "|" in arguments else len(arguments)
    given = [str(USER_DIR) if word == "fairseq_electra" else word for word in arguments[:pipe]]
    parsed = options.parse_args_and_arch(options.get_training_parser(), input_args=given)
    assert parsed.task in ("electra_pretraining", "sentence_prediction")


def test_the_tests_that_the_table_of_options_names_exist():
    named = re.findall(r"`(tests/\S+)::(\w+)` \|", README)
    assert len(named) > 20
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), test


def test_there_are_training_commands():
    assert len(TRAIN_COMMANDS) >= 2
