#!/usr/bin/env bash
# Set up (does nothing the second time), then run lint, type checks and tests. Arguments go to pytest, such as -k masking, or
# -m "" to include long tests.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
