#!/usr/bin/env bash
# Set up, pre-train, fine-tune and compare within minutes. Arguments go to `fairseq-electra quickstart`.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS
bash scripts/setup.sh
ready=$SECONDS
.venv/bin/fairseq-electra quickstart "$@"
echo "set-up: $((ready - start)) s; the rest: $((SECONDS - ready)) s"
