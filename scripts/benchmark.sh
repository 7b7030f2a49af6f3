#!/usr/bin/env bash
# Speed against others, in turn on one machine.
#
#   bash scripts/benchmark.sh [options]          training step and loader
#   bash scripts/benchmark.sh NAME [options]     packing, scaling, text, trainer, bookkeeping, inference, prediction, questions, gpu
#
# --help lists the options of each. One thread is used but by text, scaling (all cores), prediction, questions (two) and gpu.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
name=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then name=".$1"; shift; fi
OMP_NUM_THREADS=1 exec .venv/bin/python -m "fairseq_electra.benchmarks$name" "$@"
