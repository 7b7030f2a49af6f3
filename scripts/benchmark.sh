#!/usr/bin/env bash
# Compare speed with that of other programs; the variants are interleaved on one machine.
#
#   bash scripts/benchmark.sh [options]          training step and loader
#   bash scripts/benchmark.sh NAME [options]     one of updates, trainer, bookkeeping, packing, scaling, text, inference,
#                                                prediction, questions, windows, layers, padding, long_rows, gpu,
#                                                stability, summary; fine_tuning compares scores
#
# updates compares the training step with the trainer, on a CPU or, with --device cuda, on a GPU. --help lists the options of
# each. All use one thread, except text and scaling (all cores), prediction and questions (two) and gpu; --threads changes the
# number for updates, trainer and the training step.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
name=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then name=".$1"; shift; fi
PYTHONPATH=examples OMP_NUM_THREADS=1 exec .venv/bin/python -m "benchmark$name" "$@"
