#!/usr/bin/env bash
# Which of today's tests fail on the code of an earlier commit: bash scripts/fails_on.sh COMMIT tests/electra/test_masking.py -k whole_word
# The tests of this checkout are laid over that commit in a temporary folder; what follows the commit goes to pytest. A test that fails by
# "Absent" needs a function that the commit lacks (tests/helpers/absent.py); the others fail by what the code there does.
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
