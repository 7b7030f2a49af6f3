#!/usr/bin/env bash
# Speed of the training step and of the loader against others, in one process and in turn. Arguments go to the program; --help lists them.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
OMP_NUM_THREADS=1 exec .venv/bin/python -m fairseq_electra.benchmarks "$@"
