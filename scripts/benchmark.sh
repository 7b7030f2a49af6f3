#!/usr/bin/env bash
# Speed against others, in turn on one machine.
#
#   bash scripts/benchmark.sh [options]          training step and loader
#   bash scripts/benchmark.sh NAME [options]     updates, trainer, bookkeeping, packing, scaling, text, inference, prediction, questions, gpu; fine_tuning (scores)
#
# updates is the page from the step to the trainer, on a CPU or, with --device cuda, on a GPU. --help lists the options of each. One thread is
# used but by text, scaling (all cores), prediction, questions (two) and gpu; --threads changes it for updates, trainer and the step.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
name=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then name=".$1"; shift; fi
PYTHONPATH=examples OMP_NUM_THREADS=1 exec .venv/bin/python -m "benchmark$name" "$@"
