#!/usr/bin/env bash
# Set up (nothing to do the second time), then lint, types and tests. Arguments go to pytest: -k masking, -m "" for the long ones too, ...
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest "$@"
