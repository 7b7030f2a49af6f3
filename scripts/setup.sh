#!/usr/bin/env bash
# Make the virtual environment .venv with all that fairseq_electra needs. A second run has nothing to do.
#
#   bash scripts/setup.sh
#
# PYTHON       the Python to use, 3.11 or newer (default: python3.11, then python3)
# TORCH_INDEX  another package index for torch alone, for example PyTorch's own index of CPU builds: plain pip brings the CUDA build
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.fairseq_electra
wanted=$(cat pyproject.toml scripts/setup.sh scripts/constraints.txt | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

python=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "setup: needs Python 3.11 or newer, found ${python:-none}; install it, or name it: PYTHON=/path/to/python bash scripts/setup.sh" >&2; exit 1
fi
if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
  echo "setup: needs a C++ compiler to build fairseq; install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++)" >&2; exit 1
fi

start=$SECONDS
say() { echo "setup: $* ($((SECONDS - start)) s)"; }
say "making .venv with $("$python" --version)"
"$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check -q "$@" --constraint scripts/constraints.txt; }
# torch first, and no build isolation: fairseq's build would else fetch a second torch
pip install pip setuptools wheel cython ninja numpy
pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
say "torch is there; building fairseq"
pip install --no-build-isolation fairseq-fixed
pip install seqeval # with build isolation: its setup.py asks for a version from setuptools_scm
pip install --no-build-isolation -e '.[dev]'
# fairseq asks for torchaudio, and nothing here uses it; there is no build of it for a torch without CUDA, and transformers trips over it
if ! .venv/bin/python -c 'import torchaudio' 2>/dev/null; then .venv/bin/python -m pip -q uninstall -y torchaudio; fi
.venv/bin/fairseq-electra --version
echo "$wanted" > "$stamp"
say "done"
