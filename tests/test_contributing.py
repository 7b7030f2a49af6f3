"""The examples of CONTRIBUTING.md each work in a copy of the package and touch as few files as promised."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.training import train_here

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# of one folder, a task's, any number
MOST_FILES = {"A masker": 3, "An objective": 3, "A size": 3, "A command": 3}


class Block(NamedTuple):
    """A block of code: its language, the file it is for, what it goes behind or replaces, and its text."""

    language: str
    file: str
    where: dict[str, str]
    text: str


def examples() -> dict[str, list[Block]]:
    """Read the sections of "How to add ..." that have code."""
    part = PAGE.partition("## How to add ...")[2].partition("\n## ")[0]
    found = {}
    for section in part.split("\n### ")[1:]:
        title, _, text = section.partition("\n")
        found[title] = list(blocks(text))
    return found


def blocks(text: str) -> Iterator[Block]:
    for language, info, body in re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        options = {
            name: value.replace('\\"', '"') for name, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', info)
        }
        yield Block(language, options.pop("title", ""), options, body)


EXAMPLES = examples()


def apply(block: Block, root: Path) -> None:
    """Make the change that a block describes."""
    path = root / block.file
    if not block.where:
        assert not path.exists(), f"{block.file} is there already"
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    ((kind, place),) = block.where.items()
    text = path.read_text(encoding="utf-8")
    assert text.count(place) == 1, f"{block.file} has {text.count(place)} times: {place}"
    if kind == "behind":
        end = text.index("\n", text.index(place)) + 1
        text = text[:end] + block.text + text[end:]
    else:
        assert kind == "replace"
        text = text.replace(place, block.text.strip("\n"))
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def copy(tmp_path) -> Path:
    shutil.copytree(
        ROOT / "fairseq_electra",
        tmp_path / "copy" / "fairseq_electra",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path / "copy"


def test_examples_are_seven():
    assert len(EXAMPLES) == 7 and all(blocks for blocks in EXAMPLES.values())


@pytest.mark.parametrize("title", EXAMPLES)
def test_apply_finds_every_place_and_python_can_read_the_result(copy, title):
    code = [block for block in EXAMPLES[title] if block.language == "python"]
    for block in code:
        apply(block, copy)
    for file in {block.file for block in code}:
        compile((copy / file).read_text(encoding="utf-8"), file, "exec")
    files = {block.file for block in code}
    assert len(files) <= MOST_FILES.get(title, len(files))
    if title == "A task":
        folders = {Path(file).parent.name for file in files}
        assert folders == {"smoothed", "finetuning"} and sum("kinds.py" in file for file in files) == 1


# those that reach furthest into the package; of the others every place is still looked for in a default run
IN_LONG_RUN = ("An objective", "A trait", "A task")
MARKED = [
    pytest.param(title, marks=pytest.mark.long if title in IN_LONG_RUN else pytest.mark.by_hand)
    for title in EXAMPLES
]


@pytest.mark.parametrize("title", MARKED)
def test_example_runs_in_a_copy(copy, tmp_path, data_bin, vocabulary, title):
    for block in EXAMPLES[title]:
        if block.language == "python":
            apply(block, copy)
    (copy / "data-bin").symlink_to(data_bin)
    (copy / "vocab").symlink_to(vocabulary)
    train_here(data_bin, copy / "checkpoints", "--max-update", 1, "--disable-validation")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in (
        ("fairseq-electra", "from fairseq_electra.cli import main; sys.exit(main())"),
        ("fairseq-train", "from fairseq_cli.train import cli_main; cli_main()"),
    ):
        (programs / name).write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
        (programs / name).chmod(0o755)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "python").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(copy)}
    for block in EXAMPLES[title]:
        if block.language == "bash":
            line = f"set -euo pipefail\n{block.text}"
            done = subprocess.run(
                ["bash", "-c", line], cwd=copy, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
            assert "Traceback" not in done.stderr
