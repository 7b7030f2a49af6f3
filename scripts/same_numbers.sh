#!/usr/bin/env bash
# Whether two commits compute the same numbers: both are checked out, run on this machine and compared, to the last bit.
#
#   bash scripts/same_numbers.sh OLD [NEW] [--work DIR]
#
# NEW is the working tree's last commit unless named. Pre-training (plain, packed, bfloat16, compiled), three fine-tunings, predictions and
# exported files of small networks on the built-in corpus; then NEW resumes and validates what OLD has saved. Seven minutes on two cores.
# The figures stay in DIR (default: a temporary folder), a JSON file for each commit. Status 1 where any differ.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
old="" new=HEAD work=""
while [ $# -gt 0 ]; do
  case "$1" in
    --work) work=$2; shift 2 ;;
    *) if [ -z "$old" ]; then old=$1; else new=$1; fi; shift ;;
  esac
done
[ -n "$old" ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
bash "$root/scripts/setup.sh"
work=${work:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
packages=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

# a checkout and an environment of its own: the packages are those of .venv, fairseq_electra is the checkout's
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
