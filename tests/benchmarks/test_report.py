"""The lock by which only one benchmark runs on a machine."""

import fcntl

import pytest

from benchmark.report import machine_lock
from fairseq_electra.errors import InputError

LOCK = "fairseq_electra.benchmark.lock"


def test_a_link_in_the_temporary_folder_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "victim").write_text("precious")
    for target in ("victim", "absent"):
        (tmp_path / LOCK).unlink(missing_ok=True)
        (tmp_path / LOCK).symlink_to(tmp_path / target)
        with (
            pytest.raises(
                InputError, match=r"benchmark\.lock is a link, where a file to lock should be; remove it"
            ),
            machine_lock(),
        ):
            pass
    assert (tmp_path / "victim").read_text() == "precious" and not (tmp_path / "absent").exists()


def test_only_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    for _ in range(2):
        with machine_lock(), open(tmp_path / LOCK) as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(tmp_path / LOCK) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
