"""Cells end with the process that started them, also where it is killed."""

import os
import signal
import subprocess
import time

from fairseq_electra.comparison import schedule
from fairseq_electra.comparison.cell import Maker
from fairseq_electra.comparison.plan import Cell, read_plan
from tests.helpers.plans import plan_file


def test_the_budgets_of_a_run_are_made_one_after_the_other():
    small, large, other = Cell("electra", 4e6, 1), Cell("electra", 12e6, 1), Cell("mlm", 12e6, 1)
    assert schedule.next_cell([small, large, other], []) == small
    assert schedule.next_cell([large, other], [small]) == other
    assert schedule.next_cell([large], [small, other]) is None
    rates = [Cell("electra", 4e6, 0, lr) for lr in (1e-3, 2e-3)]  # runs of their own
    assert schedule.next_cell(rates[1:], rates[:1]) == rates[1]


def test_a_cell_ends_when_its_parent_is_killed(tmp_path, monkeypatch):
    """The child process of this test stands for the command, and is killed as soon as its cell runs."""
    endless = schedule.CODE.replace("sys.exit(main())", "import time; time.sleep(600)")
    monkeypatch.setattr(schedule, "CODE", endless)
    plan = plan_file(tmp_path)
    child = os.fork()
    if child == 0:
        maker = Maker(read_plan(plan), tmp_path / "out", on_cpu=True)
        process = schedule.Schedule(plan, maker, 1, 1, print).start(
            next(read_plan(plan).cells()), on_cpu=True
        )
        (tmp_path / "pid").write_text(f"{process.pid}\n")
        time.sleep(60)
        os._exit(0)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    number = int((tmp_path / "pid").read_text())
    while subprocess.run(["kill", "-0", str(number)], capture_output=True).returncode == 0:
        assert time.monotonic() < deadline, "the cell outlives its parent"
        time.sleep(0.05)
