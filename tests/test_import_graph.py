"""No modules import each other in a circle, and each floor imports only lower ones, also in functions."""

import ast
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import fairseq_electra

PACKAGE = "fairseq_electra"
# from the ground up; of several names that fit a module the longest one counts, and "" is the package itself
FLOORS = (
    (
        *("errors", "locks", "memory", "originals", "paths", "precision", "progress", "rank_notes"),
        *("resuming", "versions"),
    ),
    ("files",),
    ("electra",),
    ("checkpoints", "pretraining"),
    ("corpus_report",),
    ("finetuning",),
    ("hub", "interchange"),
    ("generation", "probes"),
    ("compat", "criterions", "models", "optim", "tasks"),
    # what runs fairseq, or makes what it saves
    (
        *["", "finetuning.runs", "finetuning.study", "interchange.checkpoint"],
        *["interchange.import_transformers", "rank"],
    ),
    ("adaptation", "cli", "comparison", "speedrun"),
)
PURE = ("electra", "files")  # neither they nor what they import know fairseq and its configuration
FAIRSEQ = {"fairseq", "fairseq_cli", "hydra", "omegaconf"}
# the modules of fine-tuning that run fairseq's trainer, or read a checkpoint with fairseq
OF_THE_STUDY = ("finetuning.nets", "finetuning.runs", "finetuning.study")

Graph = Mapping[str, set[str]]


def modules_of(folder: Path) -> dict[str, Path]:
    """Find the file of each module of a package by its name within the package; the package itself is ""."""
    names = {path: path.relative_to(folder).with_suffix("").parts for path in sorted(folder.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def imported_names(path: Path, module: str) -> Iterator[str]:
    """Yield the full names that a file imports, anywhere in it."""
    package = (PACKAGE + "." + module).rstrip(".").split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def read_imports(folder: Path) -> tuple[Graph, Graph]:
    """Read for each module of a package which of its modules it imports, and which other packages."""
    modules = modules_of(folder)
    own: dict[str, set[str]] = {module: set() for module in modules}
    others: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for name in imported_names(path, module):
            top, _, within = name.partition(".")
            if top != PACKAGE:
                others[module].add(top)
                continue
            if within not in modules:  # a name of a module
                within = within.rpartition(".")[0]
            assert within in modules, f"{module} imports {within}, which is not there"
            own[module] |= {within} - {module}
    return own, others


def reachable(graph: Graph, start: str) -> set[str]:
    """Find what a module imports, and what that imports, and so on."""
    found, left = set[str](), [start]
    while left:
        for module in graph[left.pop()] - found:
            found.add(module)
            left.append(module)
    return found


def circles(graph: Graph) -> list[list[str]]:
    """Find the modules that import each other, in groups."""
    behind = {module: reachable(graph, module) for module in graph}
    groups = {frozenset(other for other in behind[module] if module in behind[other]) for module in graph}
    return sorted(sorted(group) for group in groups if group)


def floor_of(module: str) -> int:
    """Return the number of a module's floor, from the ground up."""
    floors = {name: number for number, names in enumerate(FLOORS) for name in names}
    parts = module.split(".")
    fitting = [name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in floors]
    assert fitting, f"{module} stands on no floor: put it, or its folder, into FLOORS"
    return floors[fitting[0]]


def upward(graph: Graph) -> set[tuple[str, str]]:
    """Find imports of a higher floor."""
    return {
        (module, other)
        for module, others in graph.items()
        for other in others
        if floor_of(other) > floor_of(module)
    }


@pytest.fixture(scope="module")
def package() -> tuple[Graph, Graph]:
    return read_imports(Path(fairseq_electra.__file__).parent)


@pytest.fixture(scope="module")
def own(package) -> Graph:
    """The package's own imports."""
    return package[0]


def test_no_modules_import_each_other(own):
    assert circles(own) == []


def test_each_floor_imports_only_floors_below(own):
    assert sorted(upward(own)) == []


@pytest.mark.parametrize("folder", PURE)
def test_pure_folders_know_nothing_of_fairseq(package, folder):
    own, others = package
    inside = [module for module in own if module.split(".")[0] == folder]
    assert inside
    found = {
        module: others[module] & FAIRSEQ for start in inside for module in (start, *reachable(own, start))
    }
    assert {module: names for module, names in found.items() if names} == {}


def test_fine_tuning_knows_fairseq_only_in_its_study(package):
    _, others = package
    found = {
        module: names & FAIRSEQ
        for module, names in others.items()
        if module.split(".")[0] in ("finetuning", "hub") and names & FAIRSEQ
    }
    assert set(found) == set(OF_THE_STUDY)


def test_circles_are_found_in_functions_and_for_types(tmp_path):
    files = {
        "__init__.py": "def register():\n    from fairseq_electra import cli\n",
        "errors.py": "import json\n",
        "files/__init__.py": "",
        "files/text.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fairseq_electra.files.lines import"
            " Line\n"
        ),
        "files/lines.py": "from .text import Text\nfrom ..errors import InputError\n",
        "electra/__init__.py": "import fairseq_electra.files.text\n",
        "cli/__init__.py": "import fairseq_electra\nimport omegaconf.errors\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    graph, others = read_imports(tmp_path)
    assert (
        graph["files.lines"] == {"files.text", "errors"}
        and graph["electra"] == {"files.text"}
        and graph["cli"] == {""}
    )
    assert circles(graph) == [["", "cli"], ["files.lines", "files.text"]] and others["cli"] == {"omegaconf"}
    assert upward({**graph, "files.text": {"electra"}}) == {("", "cli"), ("files.text", "electra")}
