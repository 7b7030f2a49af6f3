"""Makes all cells of a plan, several at a time, each in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fairseq_electra.comparison.cell import LOGS, Maker
from fairseq_electra.comparison.plan import Cell
from fairseq_electra.errors import InputError

POLL_SECONDS = 0.5
CODE = """
import sys
from fairseq_electra.cli import main
from fairseq_electra.speedrun.one_run import end_with_parent
end_with_parent()
sys.exit(main())
"""


class Schedule:
    """Runs ``fairseq-electra compare PLAN --cell NAME`` for each cell that is not done.

    Args:
        plan: the file of the plan.
        maker: knows the files of the cells.
        processes: the number of cells at a time.
        threads: CPU threads of each.
        say: takes a line of progress.
    """

    def __init__(self, plan: Path, maker: Maker, processes: int, threads: int, say: Callable[[str], None]):
        self.plan, self.maker, self.processes, self.threads, self.say = plan, maker, processes, threads, say

    def make(self, cells: Iterable[Cell], on_cpu: bool) -> None:
        """Make cells in their order.

        Raises:
            InputError: a cell failed; those that run beside it are ended.
        """
        waiting = [cell for cell in cells if not self.maker.is_done(cell)]
        number, running, busy = len(waiting), dict[str, subprocess.Popen](), dict[str, Cell]()
        try:
            while waiting or running:
                while len(running) < self.processes and (cell := next_cell(waiting, busy.values())):
                    waiting.remove(cell)
                    running[cell.name], busy[cell.name] = self.start(cell, on_cpu), cell
                time.sleep(POLL_SECONDS)
                for name, process in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[name], busy[name]
                    if process.returncode:
                        raise InputError(
                            f"cell {name} failed: {self.last_line(name)}; its log is {self.log(name)}"
                        )
                    self.say(f"{number - len(waiting) - len(running)} of {number}: {name}")
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()

    def start(self, cell: Cell, on_cpu: bool) -> subprocess.Popen:
        """Start the process of a cell."""
        path = self.log(cell.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", CODE, "compare", str(self.plan), "--output", str(self.maker.output)]
        command += ["--cell", cell.name, *(["--cpu"] if on_cpu else [])]
        with open(path, "a", encoding="utf-8") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # closed when this process ends, in whatever way
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            )

    def log(self, name: str) -> Path:
        """Return the log of a cell."""
        return self.maker.output / LOGS / f"{name}.log"

    def last_line(self, name: str) -> str:
        """Return the last line that a cell has printed."""
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def next_cell(waiting: Sequence[Cell], busy: Iterable[Cell]) -> Cell | None:
    """Return the first cell that shares its run with none that is being made; None: all must wait.

    The budgets of a run continue it one after the other, the smaller ones first.
    """
    runs = {cell._replace(budget=0) for cell in busy}
    return next((cell for cell in waiting if cell._replace(budget=0) not in runs), None)
