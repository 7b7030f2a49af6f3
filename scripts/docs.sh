#!/usr/bin/env bash
# Build the documentation into site/, without the network once MkDocs is installed. Arguments go to `mkdocs build`.
#
#   bash scripts/docs.sh
#   python3 -m http.server --directory site      # to read it: search works over http, not from files
#
# Pages of options and of the API are made from the code (docs/make/). Then every page is searched for what a browser would fetch from
# elsewhere, and every link for its target; status 1 where one is found.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
python=.venv/bin/python
if ! "$python" -c 'import material, mkdocs, mkdocstrings_handlers.python' 2>/dev/null; then
  # the extra's packages alone: with the package, pip would install torchaudio again, which setup.sh removes
  "$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' |
    xargs -d '\n' "$python" -m pip --disable-pip-version-check -q install --constraint scripts/constraints.txt
fi
# NO_MKDOCS_2_WARNING: no advertisement of the theme's authors
PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH} NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build --strict --clean "$@"
"$python" -m docs.make.check site
