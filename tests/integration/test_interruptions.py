"""A run killed ten times, and one with a full disk, end as the undisturbed run does, to the last bit."""

import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import forked
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, command, train, weights

RUN = [
    *TINY_NET,
    *(
        "--dropout 0.1 --max-update 600 --save-interval-updates 20"
        " --disable-validation --no-epoch-checkpoints"
    ).split(),
    *"--keep-interval-updates 1 --num-workers 0 --log-interval 20 --total-num-update 600".split(),
]


def kill(data, folder, log: Path, moment) -> list[str]:
    """Start the run, kill it without warning once ``moment()`` is true; returns what it was writing."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            command(data, folder, *RUN), stdout=stream, stderr=stream, env=forked.environment()
        )
        start = time.monotonic()
        while not moment():
            assert process.poll() is None and time.monotonic() - start < 120, log.read_text()[-2000:]
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it had ended before"
    return [path.name for path in folder.glob(".*.partial")]


def after_training_began(log: Path, seconds: float):
    began = []

    def moment() -> bool:
        if not began and "| train_inner |" in log.read_text():
            began.append(time.monotonic())
        return bool(began) and time.monotonic() - began[0] > seconds

    return moment


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_bin):
    folder = tmp_path_factory.mktemp("undisturbed") / "save"
    assert train(data_bin, folder, *RUN).updates == 600
    return weights(folder)


@pytest.mark.long
def test_ten_kills_two_of_them_in_the_middle_of_a_save(tmp_path, data_bin, undisturbed):
    folder, rng = tmp_path / "save", random.Random(0)
    in_a_save = [3, 7]
    for number in range(10):
        if number in in_a_save:
            # what an earlier kill left would be taken for this one's
            for path in folder.glob(".*.partial"):
                path.unlink()
            left = []
            while not left:  # until the blow falls before the rename
                left = kill(
                    data_bin, folder, tmp_path / f"{number}.log", lambda: any(folder.glob(".*.partial"))
                )
        else:
            log = tmp_path / f"{number}.log"
            kill(data_bin, folder, log, after_training_began(log, rng.uniform(0, 0.8)))
    last = train(data_bin, folder, *RUN)
    assert all("Loaded checkpoint" in (tmp_path / f"{number}.log").read_text() for number in range(4, 10))
    assert "Loaded checkpoint" in last.text
    assert_same_weights(weights(folder), undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small tmpfs needs root: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.long
def test_a_full_disk(small_disk, data_bin, undisturbed):
    folder = small_disk / "save"
    train(data_bin, folder, *RUN, "--max-update", 100)
    before = weights(folder)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 50_000))
    log = train(data_bin, folder, *RUN, check=False)
    assert log.status == 1
    said = log.text.strip().splitlines()[-1]
    assert re.search(
        r"cannot write .*checkpoint_\w+\.pt \(.*No space left on device; 0\.\d MB free\); make room; earlier"
        r" checkpoints",
        said,
    ), said
    assert "Traceback" not in log.text and not list(folder.glob(".*.partial"))
    assert_same_weights(weights(folder), before)
    ballast.unlink()
    assert "@ 100 updates" in train(data_bin, folder, *RUN).text
    assert_same_weights(weights(folder), undisturbed)
