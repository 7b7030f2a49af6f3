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
  "$python" -m pip --disable-pip-version-check -q install --no-build-isolation -e '.[docs]' --constraint scripts/constraints.txt
fi
# NO_MKDOCS_2_WARNING: no advertisement of the theme's authors
PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH} NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build --strict --clean "$@"
"$python" -m docs.make.check site
