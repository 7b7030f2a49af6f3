"""Pre-training ends in time and resumes after a kill, shown with a simulated fairseq-train and clock."""

import itertools
import json
import math
from pathlib import Path

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.speedrun import measuring, pretraining
from fairseq_electra.speedrun.machine import Machine
from fairseq_electra.speedrun.measuring import choose, pace_of
from fairseq_electra.speedrun.plan import Pace, Plan, make_plan
from fairseq_electra.speedrun.pretraining import NOTE, clock_time, pretrain
from fairseq_electra.speedrun.state import State

MACHINE = Machine("cpu", "simulated", True, 2)
PACE = Pace(start=8.0, update=0.2, close=2.0)


class Killed(BaseException):
    """Stands for a kill of the process."""


class Trainer:
    """Simulates fairseq-train: an update takes ``update(number)`` seconds; the last checkpoint is kept.

    ``clock`` is the total time of all runs.
    """

    def __init__(self, update, start=PACE.start, kill_at=math.inf):
        self.update, self.start, self.kill_at = update, start, kill_at
        self.saved, self.clock, self.runs, self.lr_at_end = 0, 0.0, [], None

    def __call__(self, arguments, log):
        given = dict(itertools.pairwise(arguments))
        last, every, interval = (
            int(given[f"--{name}"]) for name in ("max-update", "save-interval-updates", "log-interval")
        )
        assert given["--total-num-update"] == given["--max-update"]
        self.runs.append(last)
        now = self.start
        with open(log, "a") as stream:

            def line(text):
                stream.write(text + "\n")
                stream.flush()
                return now, text

            try:
                for done in range(self.saved + 1, last + 1):
                    now += self.update(done)
                    if done >= self.kill_at:
                        self.kill_at = math.inf
                        raise Killed
                    if done % interval == 0:
                        yield line(self.record("train_inner", done, wpb=2000.0, bsz=15.5, wps=9000.0))
                    if done % every == 0 or done == last:
                        now += PACE.close
                        yield line(self.record("valid", done, prefix="valid_", fixed_auc=0.5 + done / 1e5))
                        self.saved = done
                        yield line(
                            f"now | INFO | x | Saved checkpoint here (epoch 1 @ {done} updates, score 1)"
                            " (writing took 0 seconds)"
                        )
            finally:
                self.clock += now

    @staticmethod
    def record(subset, done, prefix="", **more):
        values = {"mask_token_accuracy": 10.0, "disc_auc": 0.6, **more}
        values = {prefix + name: str(value) for name, value in values.items()} | {
            f"{prefix}num_updates": str(done)
        }
        return f"now | INFO | {subset} | {json.dumps(values)}"


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Pre-train for five minutes with a simulated trainer; a second call in the same folder resumes."""

    def run(trainer, said=None):
        monkeypatch.setattr(pretraining, "follow", trainer)
        state = State(tmp_path / "run", {"--minutes": 5})
        plan = make_plan("tiny", 16, 300, PACE)
        say = (lambda line: None) if said is None else said.append
        try:
            return plan, pretrain(tmp_path, tmp_path / "run", plan, PACE, 300, MACHINE, state, say)
        finally:
            state.close()

    return run


def test_at_the_measured_pace_the_plan_is_kept(train):
    trainer, said = Trainer(lambda number: 0.2), []
    plan, result = train(trainer, said)
    assert trainer.runs == [plan.updates] and 285 <= trainer.clock <= 300
    assert result["plan"]["updates"] == result["valid"]["num_updates"] == plan.updates
    assert (
        result["device_seconds"] == pytest.approx(trainer.clock, abs=0.1)
        and result["tokens"] == 2000 * plan.updates
        and result["rows"] == round(15.5 * plan.updates)
    )
    assert said[0].startswith("    fairseq-train ") and "--user-dir fairseq_electra" in said[0]
    progress = [line for line in said if "left" in line]
    assert 18 <= len(progress) <= 20 and progress[-1].startswith("     96%") and "0:12 left" in progress[-1]
    assert said[-1].startswith(
        f"    held-out text after {plan.updates:,} updates: masked-token accuracy 10.0 %   disc_auc 0.600"
    )
    assert said[-1].endswith(f"fixed_auc {0.5 + plan.updates / 1e5:.3f}")
    assert "masked-token accuracy 10.0 %   disc_auc 0.600" in progress[0] and "fixed_auc" not in progress[0]
    assert f"fixed_auc {0.5 + 2 * plan.save_every / 1e5:.3f}" in progress[4]


@pytest.mark.parametrize("update", [0.1, 0.3, 0.5])
def test_at_another_pace_the_plan_changes_and_the_run_ends_in_time(train, update):
    trainer, said = Trainer(lambda number: update), []
    plan, result = train(trainer, said)
    assert len(trainer.runs) == 2 and (trainer.runs[1] < plan.updates) == (update > PACE.update)
    assert 270 <= trainer.clock <= 300
    # the second run trains to the end of its schedule
    assert result["plan"]["updates"] == result["valid"]["num_updates"] == trainer.runs[1]
    assert sum("restarting from the checkpoint" in line for line in said) == 1


def test_a_machine_that_slows_down_later_ends_in_time_too(train):
    trainer = Trainer(lambda number: 0.2 if number < 600 else 0.32)
    _, result = train(trainer)
    assert trainer.clock <= 300 * 1.03 and result["valid"]["num_updates"] == trainer.runs[-1] == trainer.saved


def test_after_a_kill_it_resumes_from_the_checkpoint_with_the_same_plan(train):
    trainer = Trainer(lambda number: 0.2, kill_at=700)
    with pytest.raises(Killed):
        train(trainer)
    assert 500 < trainer.saved < 700
    saved, said = trainer.saved, []
    plan, result = train(trainer, said)
    assert said[0] == f"    resuming after update {saved} of {plan.updates:,}"
    assert trainer.runs == [plan.updates] * 2 and result["valid"]["num_updates"] == plan.updates
    # the time of both runs without the updates that were lost
    assert result["device_seconds"] == pytest.approx(trainer.clock - (699 - saved) * 0.2, abs=0.5)


def test_a_changed_plan_is_kept_after_a_kill(train):
    trainer = Trainer(lambda number: 0.4)
    trainer.kill_at = 400
    with pytest.raises(Killed):
        train(trainer)
    first, second = trainer.runs
    assert second < first
    train(trainer)
    assert trainer.runs == [first, second, second] and trainer.saved == second


def test_a_run_that_was_killed_after_its_end_is_not_trained_again(train, tmp_path):
    trainer = Trainer(lambda number: 0.2)
    _, result = train(trainer)
    note = json.loads((tmp_path / "run" / "state.json").read_text())["notes"][NOTE]
    assert note["clock"]["updates"] == note["plan"]["updates"]
    assert train(trainer)[1] == result and len(trainer.runs) == 1


def test_only_the_last_checkpoint_stays(train, tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    State(tmp_path / "run", {"--minutes": 5}).close()
    folder.mkdir()
    for name in ("checkpoint_1_100.pt", "checkpoint_best.pt", "checkpoint_last.pt", "dict.txt"):
        (folder / name).write_text("")
    train(Trainer(lambda number: 0.2))
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint_last.pt", "dict.txt"]


def test_a_pace_is_worked_out_from_the_later_updates():
    # a start of 10 s, five slow updates, then a quarter of a second each, and 3 s to validate, save and end
    times = [(number, 10 + min(number, 5) * 1.0 + max(0, number - 5) * 0.25) for number in range(1, 31)]
    assert pace_of(times, times[-1][1] + 3) == Pace(start=10.75, update=0.25, close=3.0)
    # with only one update, its time is an upper bound
    assert pace_of([(1, 20.0)], 25.0) == Pace(start=0.0, update=20.0, close=5.0)


def measured(paces, said=None):
    calls = []

    def measure(size, rows):
        calls.append((size, rows))
        return paces(size, rows)

    return measure, calls


def test_a_laptop_measures_one_size_and_a_smaller_batch_for_a_short_run():
    measure, calls = measured(lambda size, rows: Pace(8, 0.012 * rows, 1))
    chosen = choose({"tiny": 2_000_000}, None, 300, measure, print)
    assert calls == [("tiny", 32), ("tiny", 16)] and (chosen.size, chosen.rows, chosen.pace.update) == (
        "tiny",
        16,
        0.012 * 16,
    )
    measure, calls = measured(lambda size, rows: Pace(8, 0.012 * rows, 1))
    assert choose({"tiny": 2_000_000}, 64, 300, measure, print).rows == 64 and calls == [("tiny", 64)]


def test_a_gpu_measures_the_larger_size_only_if_it_could_see_enough_tokens():
    speed = {"small": 2e6, "base": 5e5}
    sizes = {"small": 14_000_000, "base": 110_000_000}
    for minutes, expected, tried in (
        (9, "small", ["small"]),
        (30, "small", ["small", "base"]),
        (120, "base", ["small", "base"]),
    ):
        measure, calls = measured(lambda size, rows: Pace(60, rows * 128 / speed[size], 5))
        assert choose(sizes, None, 60 * minutes, measure, print).size == expected
        assert [size for size, _ in calls] == tried


def test_a_batch_that_does_not_fit_is_halved():
    def paces(size, rows):
        if rows > 64:
            raise InputError("fairseq-train failed: torch.OutOfMemoryError: CUDA out of memory; its log is x")
        return Pace(20, 0.02, 1)

    measure, calls = measured(paces)
    assert choose({"base": 110_000_000}, None, 3600, measure, print).rows == 64
    assert [rows for _, rows in calls] == [256, 128, 64]
    with pytest.raises(InputError, match="out of memory"):
        choose({"base": 110_000_000}, 128, 3600, measured(paces)[0], print)


def test_a_run_that_fails_for_another_reason_is_not_tried_again():
    def fail(size, rows):
        raise InputError("fairseq-train failed: no such file")

    with pytest.raises(InputError, match="no such file"):
        choose({"tiny": 1}, None, 300, fail, print)


def test_a_slow_cpu_ends_its_measurement(monkeypatch, tmp_path):
    given: list[str] = []
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / "measuring.log"

    def follow(arguments, log):
        assert not saved_in(arguments).exists()
        saved_in(arguments).mkdir()
        given.extend(arguments)
        yield 9.0, Trainer.record("train_inner", 1)
        yield 10.0, Trainer.record("train_inner", 2)
        yield 12.0, "the end"

    monkeypatch.setattr(measuring, "follow", follow)
    pace = measuring.measure(tmp_path, "tiny", 16, MACHINE, log)
    assert pace == Pace(8.0, 1.0, 2.0) and float(
        given[given.index("--stop-time-hours") + 1]
    ) * 3600 == pytest.approx(20, abs=0.1)
    # its checkpoints are on the disk that was checked, and are removed, as are those of a killed run
    assert saved_in(given).parent == log.parent and not saved_in(given).exists()
    saved_in(given).mkdir()
    assert measuring.measure(tmp_path, "tiny", 16, MACHINE, log) == pace and not saved_in(given).exists()


def test_a_gpu_is_measured_once_its_graphs_are_compiled(monkeypatch, tmp_path):
    compiles = [80.0, 0.0]  # seconds that each run takes longer to start

    def follow(arguments, log):
        longer, updates = compiles.pop(0), int(arguments[arguments.index("--max-update") + 1])
        for update in range(1, updates + 1):
            yield 10.0 + longer + update / 50, Trainer.record("train_inner", update)
        yield 10.0 + longer + updates / 50 + 3.0, "the end"

    monkeypatch.setattr(measuring, "follow", follow)
    gpu = Machine("cuda", "simulated", True, 2)
    pace = measuring.measure(tmp_path, "small", 128, gpu, tmp_path / "measuring.log")
    assert not compiles and (pace.start, pace.update, pace.close) == pytest.approx((10.0, 0.02, 3.0))


def saved_in(arguments):
    return Path(arguments[arguments.index("--save-dir") + 1])


def test_clock_time_formats_durations():
    assert [clock_time(seconds) for seconds in (0, 59.6, 61, 3600, 36_061)] == [
        *["0:00", "1:00", "1:01", "1:00:00", "10:01:01"],
    ]


def test_plan_survives_json():
    plan = Plan("tiny", 16, 1e-3, 5, 100, 10)
    assert Plan(**json.loads(json.dumps(plan.__dict__))) == plan
