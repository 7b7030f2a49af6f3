"""Training on two ranks, each a process of its own."""

import socket
import subprocess

from tests.helpers import forked
from tests.helpers.training import command, read


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def train_on_two_ranks(data, save_dir, *arguments):
    port = free_port()
    processes = [
        subprocess.Popen(
            command(
                data,
                save_dir,
                *arguments,
                *["--distributed-world-size", 2, "--distributed-rank", rank, "--distributed-no-spawn"],
                *["--distributed-init-method", f"tcp://127.0.0.1:{port}", "--distributed-backend", "gloo"],
                *["--ddp-backend", "legacy_ddp"],
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=forked.environment(),
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs[0][-3000:] + outputs[1][-3000:]
    return read(outputs[0], save_dir, 0)
