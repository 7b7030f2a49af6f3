"""Studies of sentence tasks that are refused, stopped or killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.nets import read_net
from fairseq_electra.finetuning.recipes import arguments, recipe_for
from fairseq_electra.finetuning.runs import train_all
from fairseq_electra.finetuning.study import Settings, study
from tests.helpers.commands import fairseq_process
from tests.helpers.sentence_tasks import (
    SINGLE,
    stock,
)
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train, weights


def test_plans_that_cannot_be_are_refused(tmp_path, sources):
    net = [read_net("scratch=scratch:tiny")]
    data = sources / "bin" / SINGLE
    shutil.copytree(data, tmp_path / "again")
    with pytest.raises(InputError, match="the tasks' names single, single must differ"):
        study(net, [data, tmp_path / "again"], tmp_path / "runs", Settings(), seeds=[1])
    with pytest.raises(InputError, match=r"--epochs RTTE=\.\.\.: no such task; there are single"):
        study(net, [data], tmp_path / "runs", Settings({"RTTE": 3}), seeds=[1])
    shutil.rmtree(tmp_path / "again" / "label")
    (tmp_path / "again" / "task.json").write_text(
        json.dumps({**json.loads((data / "task.json").read_text()), "examples": {"train": 4}})
    )
    with pytest.raises(InputError, match="has no valid; a task to fine-tune on needs both"):
        study(net, [tmp_path / "again"], tmp_path / "runs", Settings(), seeds=[1])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            ("--poolin", "mean"),
            "refuses what stands behind --: --poolin is not an option here; did you mean --pooling?",
        ),
        (
            ("--poolin", "a\u2028b"),
            "refuses what stands behind --: --poolin is not an option here; did you mean --pooling?",
        ),
        (
            ("--pooling", "maen"),
            "refuses what stands behind --: --pooling maen: there is no such name; did you mean mean?",
        ),
    ],
)
def test_options_behind_the_dashes_are_refused_before_anything_is_written(tmp_path, sources, extra, sentence):
    settings = Settings(extra=extra)
    with pytest.raises(InputError, match=re.escape(sentence)):
        study(
            [read_net("scratch=scratch:tiny")],
            [sources / "bin" / SINGLE],
            tmp_path / "runs",
            settings,
            seeds=[1],
        )
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_another_vocabulary_is_refused_before_anything_is_written(tmp_path, sources, checkpoint):
    shutil.copytree(sources / "bin" / SINGLE, tmp_path / "other")
    path = tmp_path / "other" / "input0" / "dict.txt"
    first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([second, first, *rest]) + "\n")
    with pytest.raises(InputError, match="other was prepared with another vocabulary than that of"):
        study(
            [read_net(f"ours={checkpoint}")], [tmp_path / "other"], tmp_path / "runs", Settings(), seeds=[1]
        )
    assert not (tmp_path / "runs").exists()


def test_a_killed_process_ends_the_study_in_a_sentence(tmp_path, sources):
    data = sources / "bin" / SINGLE
    own = [
        str(data),
        *arguments(read_task_info(data), recipe_for("tiny", ""), 1),
        "--model-size",
        "tiny",
        *TINY_NET,
        "--max-update",
        "1",
    ]
    with pytest.raises(InputError, match="was killed, perhaps for want of memory"):
        list(train_all({name: [*own, "--no-save"] for name in "ab"}, tmp_path, 1, then=kill_this_process))


def kill_this_process(name):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_study_that_is_stopped_leaves_no_run_behind(tmp_path, sources, how):
    folder = tmp_path / "runs" / "x" / SINGLE
    log = folder / "lr0.001-seed0.log"  # the seed that chooses
    line = [
        *["finetune", "--data", sources / "bin" / SINGLE, "--net", "x=scratch:tiny"],
        *["--output", tmp_path / "runs", "--epochs", "9999"],
    ]
    more = [
        *["--lr", "1e-3", "2e-3", "--seeds", "1", "--processes", "1", "--"],
        *TINY_NET,
        "--log-interval",
        "1",
    ]
    command = (
        "import signal, sys; from fairseq_electra.cli import main; signal.signal(signal.SIGINT,"
        " signal.default_int_handler); main()"
    )
    process = subprocess.Popen([sys.executable, "-c", command, *line, *more], stderr=subprocess.DEVNULL)
    wait_until(lambda: log.is_file() and "train_inner" in log.read_text())
    assert writers_of(log)
    process.send_signal(how)
    assert process.wait(60) != 0
    wait_until(lambda: not writers_of(log))
    assert [path.name for path in folder.glob("*.log")] == [log.name]


def wait_until(done, seconds=60):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def writers_of(log):
    """Processes whose output goes there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "fd" / "1").readlink() == log:
                found.append(process.name)
    return found


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        ("absent.pt", "no such checkpoint: absent.pt"),
        ("a/b=x", "give NAME=CHECKPOINT"),
        ("x=scratch:huge", f"no size 'huge'; choose from {', '.join(MODEL_SIZES)}"),
    ],
)
def test_nets_that_cannot_be(net, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_net(net if "=" in net else f"x={net}")


@pytest.mark.long
def test_a_checkpoint_without_a_discriminator_is_refused_and_its_generator_taken(tmp_path, data_bin, sources):
    train(
        data_bin, tmp_path / "mlm", *TINY_NET, "--generator-only", "--max-update", "2", "--disable-validation"
    )
    checkpoint = tmp_path / "mlm" / "checkpoint_last.pt"
    with pytest.raises(InputError, match=rf"holds no discriminator; give --net x=generator:{checkpoint}"):
        read_net(f"x={checkpoint}")
    done = fairseq_process("train", *stock(sources / "bin" / SINGLE, tmp_path / "a", checkpoint), check=False)
    assert done.returncode != 0 and "give --network generator" in done.stderr.splitlines()[-1]
    fairseq_process(
        "train",
        *stock(
            *[sources / "bin" / SINGLE, tmp_path / "b", checkpoint, "--network", "generator", "--lr", "0"],
            *["--max-update", "1"],
        ),
    )
    left, right = weights(tmp_path / "b"), weights(tmp_path / "mlm")
    assert torch.equal(left["encoder.layers.1.output.weight"], right["generator.layers.1.output.weight"])
