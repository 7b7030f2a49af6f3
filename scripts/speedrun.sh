#!/usr/bin/env bash
# Set up, then go from raw text to a table of scores. Arguments go to `fairseq-electra speedrun`; paths are relative to the
# current folder.
#
#   bash scripts/speedrun.sh --minutes 5 TEXT...
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/fairseq-electra" speedrun "$@"
