"""What the modules of tests import."""

import ast

from tests.helpers.paths import ROOT

SHARED = ("tests.helpers", "tests.reference")


def imported(path) -> list[str]:
    """Return the names that a file imports, also inside functions."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    of_modules = [
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return of_modules + [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]


def test_imported_of_tests_is_helpers_alone():
    """A module of tests can then be read, run, renamed and removed alone."""
    found = [
        (path.name, name)
        for path in (ROOT / "tests").rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] == "tests"
    ]
    assert len(found) > 100 and [(path, name) for path, name in found if not name.startswith(SHARED)] == []
