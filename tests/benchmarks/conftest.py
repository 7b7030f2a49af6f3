"""Benchmarks that start themselves again find the package ``benchmark``, as by scripts/benchmark.sh."""

import os

import pytest

from tests.helpers.commands import ROOT


@pytest.fixture(autouse=True)
def benchmark_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'examples'}")
