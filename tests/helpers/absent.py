"""Run today's tests on an earlier commit's code; a name that this code lacks is replaced by one that raises.

A plugin of pytest, for ``scripts/fails_on.sh``. A test that needs such a name is collected all the same. One
that fails by :class:`Absent` shows only that something is new; one that fails by its own assertion, or by a
message that differs, shows that the code of before did something else.
"""

import ast
import importlib
import sys
import types
from pathlib import Path


class Absent(Exception):  # noqa: N818 - it is no error of the test
    """The earlier code has no such name."""


class Stand:
    """Stands for an absent name; whatever is done with it raises."""

    def __init__(self, name):
        self.__dict__["name"] = name

    def __getattr__(self, attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise Absent(self.name)

    def __call__(self, *arguments, **options):
        raise Absent(self.name)

    def __iter__(self):
        raise Absent(self.name)


def module_named(name):
    """Import a module of the package; where there is none, make an empty one."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module = sys.modules[name] = types.ModuleType(name)
        parent, _, leaf = name.rpartition(".")
        setattr(module_named(parent), leaf, module)
        return module


def supply(path):
    """Supply what a file of tests imports from the package at its head."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fairseq_electra"):
            module = module_named(node.module)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if not hasattr(module, alias.name):
                    try:
                        importlib.import_module(name)
                    except ModuleNotFoundError:
                        setattr(module, alias.name, Stand(name))


# an editable install finds in today's package what the earlier one lacks
sys.meta_path[:] = [each for each in sys.meta_path if not each.__module__.startswith("__editable__")]
for file in sorted(Path("tests").rglob("*.py")):
    supply(file)
