#!/usr/bin/env bash
# Show which current tests fail on the code of an earlier commit:
#
#   bash scripts/fails_on.sh COMMIT tests/electra/test_masking.py -k whole_word
#
# The commit is checked out in a temporary folder with the tests of this checkout; the arguments after the commit go to pytest.
# A test that fails with "Absent" needs a function that the commit lacks (tests/helpers/absent.py). The others fail because the
# code behaves differently.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=${1:?name a commit, then the tests as pytest takes them}
shift
python=$PWD/.venv/bin/python
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder"' EXIT
git worktree add --quiet --detach "$folder" "$commit"
rm -r "$folder/tests"
cp -r tests "$folder/tests"
cd "$folder"
PYTHONPATH=$folder "$python" -m pytest -q --no-header --tb=line -p tests.helpers.absent "$@" | grep -E "^(FAILED|ERROR)|(passed|failed|error).* in " || true
