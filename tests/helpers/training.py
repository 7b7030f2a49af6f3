"""Run fairseq-train in tests and read what it says."""

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fairseq_electra.pretraining.log import read_log
from tests.helpers import forked, process_end
from tests.helpers.paths import USER_DIR

COMMON = [
    *("--user-dir", str(USER_DIR)),
    *"--task electra_pretraining --arch electra_tiny --criterion replaced_token_detection --cpu".split(),
    *"--tokens-per-sample 64 --batch-size 8 --optimizer electra_adam --lr 1e-3 --clip-norm 1.0".split(),
    *"--lr-scheduler polynomial_decay --warmup-updates 2 --total-num-update 100 --log-format json"
    " --log-interval 1".split(),
]


@dataclass
class Log:
    """What a run printed."""

    text: str
    records: list[dict]
    status: int

    @property
    def losses(self) -> list[float]:
        return [record["loss"] for record in self.records if record["subset"] == "train_inner"]

    @property
    def updates(self) -> int:
        return max((int(record["num_updates"]) for record in self.records), default=0)


def command(data, save_dir, *arguments) -> list[str]:
    return [
        sys.executable,
        "-m",
        "fairseq_cli.train",
        str(data),
        *COMMON,
        "--save-dir",
        str(save_dir),
        *map(str, arguments),
    ]


def train(data, save_dir, *arguments, check=True, cwd=None) -> Log:
    done = forked.run(command(data, save_dir, *arguments), cwd=cwd, merged=True)
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return read(done.stdout, save_dir, done.returncode)


def train_here(data, save_dir, *arguments) -> Log:
    """Pre-train in this process, which saves its start; for options that need no process of their own."""
    return run_here(command(data, save_dir, *arguments)[3:], save_dir)


def run_here(arguments: list, save_dir) -> Log:
    """Run fairseq-train with all its arguments in this process."""
    with logged() as stream:
        main(configuration(arguments))
    return read(stream.getvalue(), save_dir, 0)


def run_configured(cfg, save_dir) -> Log:
    """Run fairseq-train in this process with what :func:`configuration` has read."""
    with logged() as stream:
        main(cfg)
    return read(stream.getvalue(), save_dir, 0)


def main(cfg) -> None:
    """Train, and end as fairseq-train does."""
    from fairseq_cli import train as fairseq_train

    try:
        fairseq_train.main(cfg)
    finally:
        process_end.end()


@contextlib.contextmanager
def logged():
    """Give a stream that takes all that is logged meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("now | %(levelname)s | %(name)s | %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def refusal(data, save_dir, *arguments) -> str:
    """Pre-train in this process until fairseq-train refuses; return the sentence that the user would read."""
    return refusal_here(command(data, save_dir, *arguments)[3:])


def refusal_here(arguments: list) -> str:
    """Run fairseq-train with all its arguments in this process until it refuses."""
    from fairseq_electra.compat.mistakes import input_error

    try:
        main(configuration(arguments))
    except Exception as error:
        found = input_error(error)
        assert found is not None, error
        return str(found)
    raise AssertionError("nothing was refused")


def configuration(arguments: list):
    """Read a command line as fairseq-train does."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    given = [str(word) for word in arguments]
    return convert_namespace_to_omegaconf(
        options.parse_args_and_arch(options.get_training_parser(), input_args=given)
    )


def read(text: str, save_dir, status: int) -> Log:
    path = Path(save_dir).parent / f"{Path(save_dir).name}.log"
    path.write_text(text)
    return Log(text, read_log(path), status)


def train_and_kill(data, save_dir, *arguments, at_update: int) -> None:
    """Start a run and kill it without warning once it has logged an update."""
    process = subprocess.Popen(
        command(data, save_dir, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=forked.environment(),
        start_new_session=True,
    )
    deadline = time.time() + 200
    for line in process.stdout:
        if f'"num_updates": "{at_update}"' in line and "train_inner" in line:
            break
        assert time.time() < deadline, line
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def weights(save_dir, name="checkpoint_last.pt") -> dict[str, torch.Tensor]:
    return torch.load(Path(save_dir) / name, weights_only=True)["model"]


def assert_same_weights(left: dict, right: dict) -> None:
    assert left.keys() == right.keys()
    for key, tensor in left.items():
        assert torch.equal(tensor, right[key]), key


def change(start: dict, end: dict):
    """What one step of plain gradient descent has added: minus the gradient."""
    return torch.cat(
        [(end[key] - start[key]).double().flatten() for key in start if start[key].is_floating_point()]
    )
