"""A run that is stopped says in one line how to go on."""

import inspect
import io
import os
import signal
import sys
from pathlib import Path

import fairseq_cli.train
import pytest
from fairseq.trainer import Trainer
from omegaconf import OmegaConf
from torch.distributed import distributed_c10d
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException

from fairseq_electra import cli
from fairseq_electra.compat import stopping
from fairseq_electra.errors import print_last_line
from fairseq_electra.rank_notes import FOLDER
from fairseq_electra.resuming import NOTE, ResumeHint, read_note
from tests.helpers import forked
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import command, train_here

# fairseq-train that is sent SIGTERM in its fourth update
STOPPED = """
import os, signal
from fairseq_cli import train
import fairseq_electra

fairseq_electra.register()
from fairseq.trainer import Trainer

plain = Trainer.train_step

def train_step(self, samples):
    output = plain(self, samples)
    if self.get_num_updates() == 4:
        os.kill(os.getpid(), signal.SIGTERM)
    return output

Trainer.train_step = train_step
train.cli_main()
"""
OPTIONS = [*TINY_NET, "--disable-validation", "--max-update", "9", "--save-interval-updates", "3"]


def test_fairseq_train_still_says_nothing_when_it_is_stopped():
    text = Path(fairseq_cli.train.__file__).read_text(encoding="utf-8")
    assert "KeyboardInterrupt" not in text and "signal" not in text


def test_without_a_last_checkpoint_the_latest_is_named(tmp_path, data_bin):
    train_here(
        data_bin,
        tmp_path / "save",
        *OPTIONS,
        *["--max-update", 4, "--no-last-checkpoints", "--num-workers", "0"],
    )
    path = tmp_path / "save" / "checkpoint_1_3.pt"
    assert (
        path.is_file()
        and str(stopping._Run.hint) == f"the same command with --restore-file {path} resumes from update 3"
    )
    stopping.end()


def left(save) -> set[str]:
    return {path.name for path in save.iterdir() if path.suffix == ".pt" or path.name.startswith(".")}


def test_sigterm_ends_a_run_in_one_line_and_leaves_its_checkpoints(tmp_path, data_bin):
    save = tmp_path / "save"
    done = forked.run(
        [sys.executable, "-c", STOPPED, *command(data_bin, save, *OPTIONS, "--num-workers", "1")[3:]]
    )
    last = save / "checkpoint_last.pt"
    sentence = f"stopped by SIGTERM at update 4; the same command resumes from {last}, which has 3 updates"
    assert (
        done.stderr.splitlines()[-1] == f"fairseq_electra: {sentence}"
        and done.returncode == 128 + signal.SIGTERM
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert left(save) == {"checkpoint_last.pt", "checkpoint_1_3.pt"}


def test_ctrl_c_ends_a_run_in_one_line_and_leaves_its_checkpoints(tmp_path, data_bin, monkeypatch, capsys):
    plain, save = Trainer.train_step, tmp_path / "save"
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # of this process

    def train_step(self, samples):
        if self.get_num_updates() == 4:
            raise KeyboardInterrupt
        return plain(self, samples)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    with pytest.raises(SystemExit) as ended:
        try:
            train_here(data_bin, save, *OPTIONS, "--num-workers", "0")
        except KeyboardInterrupt as error:
            stopping.exit_if_stopped(error)
    last = save / "checkpoint_last.pt"
    sentence = f"stopped by Ctrl-C at update 4; the same command resumes from {last}, which has 3 updates"
    assert (
        ended.value.code == 130 and capsys.readouterr().err.splitlines()[-1] == f"fairseq_electra: {sentence}"
    )
    assert left(save) == {"checkpoint_last.pt", "checkpoint_1_3.pt"}


def test_the_last_line_is_not_lost_in_the_buffer_of_pytorchs_excepthook(monkeypatch):
    """Where processes train as one, PyTorch's hook calls the one before it so."""
    seen, buffer = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", seen)
    monkeypatch.setattr(sys, "stderr", buffer)
    print_last_line("the sentence")
    assert seen.getvalue() == "the sentence\n" and not buffer.getvalue()
    source = inspect.getsource(distributed_c10d.init_process_group)
    assert "sys.stderr = buf = io.StringIO()" in source and "old_hook(*args)" in source


def test_the_other_processes_of_a_run_say_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    given = {"distributed_rank": 1, "distributed_world_size": 2, "distributed_no_spawn": True}
    checkpoint = {"save_dir": str(tmp_path), "no_save": False, "restore_file": "checkpoint_last.pt"}
    stopping.start(OmegaConf.create({"checkpoint": checkpoint, "distributed_training": given}))
    with pytest.raises(SystemExit):
        stopping.exit_if_stopped(KeyboardInterrupt())
    stopping.end()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "there", "said"),
    [
        ({}, True, "the same command resumes from {}"),
        ({"saved": 1200}, True, "the same command resumes from {}, which has 1,200 updates"),
        (
            {},
            False,
            (
                "nothing was saved yet, so the same command starts from scratch; --save-interval-updates N"
                " saves every N updates"
            ),
        ),
        (
            {"restore_file": "a.pt"},
            False,
            (
                "nothing was saved yet, so the same command starts from a.pt again; --save-interval-updates N"
                " saves every N updates"
            ),
        ),
        (
            {"saved": 1200, "path": "b.pt"},
            False,
            "the same command with --restore-file b.pt resumes from update 1,200",
        ),
        (
            {"saved": 1200, "path": "b.pt", "restore_file": "a.pt"},
            False,
            "the same command with --restore-file b.pt resumes from update 1,200",
        ),
        ({"no_save": True}, True, "nothing is saved with --no-save, so the same command starts from scratch"),
        ({"restore_file": "a.pt"}, True, "the same command without --restore-file resumes from {}"),
    ],
)
def test_how_to_go_on(tmp_path, changes, there, said):
    last = tmp_path / "checkpoint_last.pt"
    if there:
        last.write_text("")
    hint = ResumeHint(
        **{"save_dir": str(tmp_path), "no_save": False, "restore_file": "checkpoint_last.pt"} | changes
    )
    assert str(hint) == said.format(last)
    (tmp_path / f"0.{NOTE}").write_text(hint.as_note())
    assert read_note(tmp_path) == str(hint)


def test_an_error_that_is_none_of_a_stopped_training_is_left_alone():
    stopping.end()
    stopping.exit_if_stopped(KeyboardInterrupt())
    stopping.exit_if_stopped(ValueError())


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_stopped_launch_ends_in_one_line(tmp_path, monkeypatch, capsys, number, name):
    monkeypatch.setenv(FOLDER, "")  # which the command changes

    def main(arguments):
        Path(os.environ[FOLDER], f"0.{NOTE}").write_text(
            ResumeHint(str(tmp_path), False, "checkpoint_last.pt", 7).as_note()
        )
        raise SignalException("stopped", sigval=number)

    (tmp_path / "checkpoint_last.pt").write_text("")
    monkeypatch.setattr(torchrun, "main", main)
    with pytest.raises(SystemExit) as ended:
        cli.main(["launch", "-n", "1", "--", "fairseq-train", str(tmp_path)])
    assert ended.value.code == 128 + number
    sentence = (
        f"stopped by {name}; the same command resumes from {tmp_path}/checkpoint_last.pt, which has 7 updates"
    )
    assert capsys.readouterr().err == f"fairseq-electra launch: {sentence}\n"


def test_a_launch_that_is_stopped_before_its_processes_train_says_so(tmp_path):
    assert read_note(tmp_path) == "the same command resumes from the last checkpoint, if one was saved"


def test_any_command_that_is_stopped_ends_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(
        "fairseq_electra.cli.user_dir.run", lambda args: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["user-dir"])
    assert ended.value.code == 130
    assert (
        capsys.readouterr().err
        == "fairseq-electra user-dir: stopped by Ctrl-C; the same line can be given again\n"
    )
