"""A fairseq-train in a child process: its lines, its errors, and its end together with the parent."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.log import read_log, read_record
from fairseq_electra.speedrun.one_run import follow
from tests.helpers.paths import ROOT
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import COMMON


def arguments(data, folder, updates):
    options = [word for word in COMMON if word not in COMMON[:2]]
    more = f"--max-update {updates} --total-num-update {updates} --num-workers 0"
    return [str(data), *options, *TINY_NET, "--save-dir", str(folder), *more.split()]


def test_lines_come_with_their_times_and_go_to_the_log_until_the_generator_is_closed(data_bin, tmp_path):
    log, entries = tmp_path / "log", []
    with contextlib.closing(follow(arguments(data_bin, tmp_path / "save", 10**6), log)) as lines:
        for entry in lines:
            entries.append(entry)
            if '"num_updates": "3"' in entry[1]:
                break
    seconds = [each for each, _ in entries]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert log.read_text().splitlines() == [line for _, line in entries]
    records = [record for _, line in entries if (record := read_record(line))]
    assert records == read_log(log) and [record["num_updates"] for record in records] == [1, 2, 3]


def test_a_failure_is_reported_with_its_own_sentence(data_bin, tmp_path):
    with pytest.raises(InputError, match=r"fairseq-train failed: --mask-prob must lie .*; its log is .*log"):
        list(follow([*arguments(data_bin, tmp_path / "save", 3), "--mask-prob", "2"], tmp_path / "log"))


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the process in /proc")
def test_the_child_ends_when_its_parent_is_killed(data_bin, tmp_path):
    program = f"""
from pathlib import Path
from fairseq_electra.speedrun.one_run import follow
for _, line in follow({arguments(data_bin, tmp_path / "save", 10**6)!r}, Path({str(tmp_path / "log")!r})):
    print(line, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    )
    next(line for line in parent.stdout if "train_inner" in line)
    child = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()[0])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline, f"process {child} is still running"
        time.sleep(0.1)
