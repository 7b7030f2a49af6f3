#!/usr/bin/env bash
# Make the virtual environment .venv with everything that fairseq_electra needs. A second run does nothing.
#
#   bash scripts/setup.sh
#
# PYTHON       the Python to use, 3.11 or newer (default: python3.11, then python3)
# TORCH_INDEX  a package index for torch only, for example PyTorch's index of CPU builds, since pip's default is the CUDA build
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
# torch first and without build isolation, because the build of fairseq would otherwise download a second torch
pip install pip setuptools wheel cython ninja numpy
pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
say "torch is installed; building fairseq"
pip install --no-build-isolation fairseq-fixed
pip install seqeval # with build isolation, because its setup.py needs setuptools_scm
pip install --no-build-isolation -e '.[dev]'
# fairseq requires torchaudio, which is not used here; there is no build of it for CPU builds of torch, and transformers then
# fails to import it
if ! .venv/bin/python -c 'import torchaudio' 2>/dev/null; then .venv/bin/python -m pip -q uninstall -y torchaudio; fi
.venv/bin/fairseq-electra --version
echo "$wanted" > "$stamp"
say "done"
