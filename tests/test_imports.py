"""What the modules of tests import."""

import ast

import pytest

from tests.helpers.paths import ROOT

MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py"))
SHARED = ("tests.helpers", "tests.reference")


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_no_tests_but_helpers(module):
    """A module of tests can then be read, run, renamed and removed alone."""
    nodes = list(ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))))
    imported = [f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    imported += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in imported if name.split(".")[0] == "tests" and not name.startswith(SHARED)] == []
