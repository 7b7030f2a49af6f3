#!/usr/bin/env bash
# Check that two commits compute the same numbers: check both out, run them on this machine and compare bit by bit.
#
#   bash scripts/same_numbers.sh OLD [NEW] [--work DIR]
#
# NEW is by default the last commit of this checkout. Compared are pre-training (plain, packed, bfloat16, compiled), three
# fine-tunings, predictions and exported files of small models on the built-in corpus; then NEW resumes and validates the
# checkpoints of OLD. It takes seven minutes on two cores. DIR (default: a temporary folder) gets a JSON file with the numbers
# of each commit. The exit status is 1 if any number differs.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
old="" new=HEAD work=""
while [ $# -gt 0 ]; do
  case "$1" in
    --work) work=$2; shift 2 ;;
    *) if [ -z "$old" ]; then old=$1; else new=$1; fi; shift ;;
  esac
done
[ -n "$old" ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
bash "$root/scripts/setup.sh"
work=${work:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
packages=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

# check out a commit and make an environment with the packages of .venv and the fairseq_electra of that commit
check_out() {
  [ -e "$work/$1" ] || git -C "$root" worktree add --quiet --detach "$work/$1" "$2"
  "$root/.venv/bin/python" -m venv --without-pip "$work/$1/.venv"
  printf '%s\n%s\n' "$packages" "$work/$1" > "$work/$1/.venv/lib/$(basename "$(dirname "$packages")")/site-packages/both.pth"
}
trap 'for each in old new; do git -C "$root" worktree remove --force "$work/$each" 2>/dev/null || true; done' EXIT
check_out old "$old"
check_out new "$new"
cd "$work"
"old/.venv/bin/python" "$root/tests/same_numbers.py" run old-files --output old.json
"new/.venv/bin/python" "$root/tests/same_numbers.py" run new-files --output new.json
"new/.venv/bin/python" "$root/tests/same_numbers.py" resume old-files --output resumed.json
exec "$root/.venv/bin/python" "$root/tests/same_numbers.py" compare old.json new.json resumed.json
