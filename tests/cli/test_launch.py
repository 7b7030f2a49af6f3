import argparse
import os
import re
import signal
import statistics
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import DistNetworkError
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import get_args_parser

from fairseq_electra import cli
from fairseq_electra.cli.launch import add_arguments, placement, run, run_torchrun
from fairseq_electra.errors import DivergedError, InputError, RunCollapsedError
from fairseq_electra.rank_notes import FOLDER
from tests.helpers.commands import electra_process, fairseq
from tests.helpers.ranks import free_port
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import COMMON, command, read, train

FIFTY = [
    *TINY_NET,
    *["--max-update", "50", "--no-epoch-checkpoints", "--num-workers", "0", "--batch-size", "4"],
    *["--validate-interval-updates", "25"],
]


def launch(ranks, data, save_dir, *arguments, options=(), check=True):
    given = ["fairseq-train", str(data), *COMMON, "--save-dir", str(save_dir), *map(str, arguments)]
    done = electra_process("launch", "-n", ranks, *options, "--", *given, check=check)
    return done if not check else read(done.stdout + done.stderr, save_dir, 0)


def validations(log):
    return [record["loss"] for record in log.records if record["subset"] == "valid"]


@pytest.mark.long
def test_one_two_and_four_processes_train_alike(tmp_path, data_bin):
    """Fifty updates of 16 rows each: one process in four parts, two in two parts, four in one.

    Sums of other parts round otherwise, and on some processors that decides a few of the generator's samples,
    from which runs drift apart: most of the first updates are alike, and all stay near each other.
    """
    one = train(data_bin, tmp_path / "1", *FIFTY, "--update-freq", 4)
    assert one.updates == 50 and len(validations(one)) >= 2
    for ranks in (1, 2, 4):
        several = launch(ranks, data_bin, tmp_path / f"ranks{ranks}", *FIFTY, "--update-freq", 4 // ranks)
        assert f"{ranks} processes have joined" in several.text
        apart = [abs(left / right - 1) for left, right in zip(one.losses, several.losses, strict=True)]
        assert len(apart) == 50 and statistics.median(apart[:10]) < 1e-5 and max(apart) < 0.05
        assert validations(several) == pytest.approx(validations(one), rel=0.05)


@pytest.mark.long
def test_launch_prints_an_error_once_with_status_1(tmp_path, data_bin):
    done = launch(2, data_bin, tmp_path / "save", "--mask-prob", "2", check=False)
    assert done.returncode == 1
    assert done.stderr.count("--mask-prob must lie between 0 and 1") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize(("status", "ended"), [(1, "ended with status 1"), (-9, "was ended by signal 9")])
def test_run_torchrun_tells_how_a_process_ended(tmp_path, monkeypatch, status, ended):
    failed = ChildFailedError("train", {1: ProcessFailure(1, 4711, status, str(tmp_path / "error.json"))})

    def main(arguments):
        raise failed

    monkeypatch.setattr("torch.distributed.run.main", main)
    assert f"process 1 {ended}, so all were stopped; the reason is above" in run_torchrun([], tmp_path)


@pytest.mark.parametrize(("before", "handled"), [(signal.SIG_IGN, False), (signal.SIG_DFL, True)])
def test_a_hangup_that_nohup_ignores_stays_ignored(tmp_path, monkeypatch, before, handled):
    found = []

    def main(arguments):
        found.append(get_args_parser().parse_args([*arguments, "script"]).signals_to_handle)

    monkeypatch.setattr("torch.distributed.run.main", main)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    ours = signal.signal(signal.SIGHUP, before)
    try:
        run_torchrun([], tmp_path)
    finally:
        signal.signal(signal.SIGHUP, ours)
    assert ("SIGHUP" in found[0]) == handled and "SIGTERM" in found[0]


def test_machines_that_do_not_meet_end_in_a_sentence(tmp_path, monkeypatch):
    def main(arguments):
        raise DistNetworkError("the port is in use\nand more")

    monkeypatch.setattr("torch.distributed.run.main", main)
    with pytest.raises(InputError, match=r"do not meet \(the port is in use\); check --master-addr"):
        run_torchrun([], tmp_path)


@pytest.mark.long
def test_launch_ends_all_processes_if_one_dies(tmp_path, data_bin):
    done = launch(2, data_bin, tmp_path / "save", "--num-workers", "-1", check=False)
    assert done.returncode == 1 and "ended with status 1, so all were stopped" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-n", "0", "--", "fairseq-train", "data"], "-n must be at least 1, got 0"),
        (["-n", "2", "--", "python", "train.py"], "launch runs fairseq-train, .* got python"),
        (
            ["-n", "2", "--", "fairseq-train", "data", "--distributed-world-size", "2"],
            "--distributed-world-size: launch sets this itself",
        ),
        (
            ["-n", "2", "--", "fairseq-hydra-train", "distributed_training.distributed_world_size=2"],
            "launch sets this itself",
        ),
        (
            ["-n", "2", "--nodes", "2", "--", "fairseq-train", "data"],
            "give --master-addr and --node-rank 0 to 1",
        ),
        (
            ["-n", "2", "--", "fairseq-train", "data", "--user-dir", "fairseq_electr"],
            "--user-dir fairseq_electr: no such folder; give",
        ),
        (["-n", "2", "--", "fairseq-train", "absent"], "no such data folder: absent; check the path"),
        (
            ["-n", "2", "--", "fairseq-train", ".", "--finetune-from-model", "absent.pt"],
            "no such checkpoint: absent.pt",
        ),
    ],
)
def test_launch_refuses_bad_arguments(arguments, sentence, capsys):
    assert cli.main(["launch", *arguments]) == 1
    said = capsys.readouterr().err
    assert re.search(sentence, said), said


def test_launch_refuses_a_second_copy_of_this_package(tmp_path, capsys):
    (tmp_path / "fairseq_electra").mkdir()
    assert (
        cli.main(
            [
                *["launch", "-n", "2", "--", "fairseq-train", "data", "--user-dir"],
                str(tmp_path / "fairseq_electra"),
            ]
        )
        == 1
    )
    assert "two copies" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--distributed-init-method", "tcp://127.0.0.1:29511"]])
def test_fairseq_train_alone_starts_no_processes_on_cpus(tmp_path, data_bin, options):
    """The second ended with status 0."""
    done = fairseq(
        "train",
        *command(data_bin, tmp_path / "save", "--distributed-world-size", 2, *options)[3:],
        check=False,
    )
    assert done.returncode == 1 and "fairseq-electra launch -n 2" in done.stderr.splitlines()[-1]


def place(monkeypatch, *options, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return placement(parser.parse_args(["-n", "8", *options, "--", "fairseq-train"]))


def test_placement_reads_slurms_machines(tmp_path, monkeypatch):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$3" = "node[07-08]" ] && printf "node07\\nnode08\\n"\n')
    scontrol.chmod(0o755)
    slurm = {
        "SLURM_STEP_NODELIST": "node[07-08]",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NODEID": "1",
    }
    found = place(monkeypatch, PATH=f"{tmp_path}:{os.environ['PATH']}", **slurm)
    assert found == "--nnodes 2 --node-rank 1 --master-addr node07 --master-port 29500".split()
    with pytest.raises(InputError, match="16 tasks on 2 machines"):
        place(monkeypatch, SLURM_STEP_NUM_TASKS="16")
    scontrol.write_text("#!/bin/sh\n")
    with pytest.raises(InputError, match=r"scontrol names no machine for .*give --master-addr"):
        place(monkeypatch, SLURM_STEP_NUM_TASKS="2")


@pytest.mark.parametrize("port", [0, 70000])
def test_placement_refuses_a_port_that_there_is_not(monkeypatch, port):
    options = f"--nodes 2 --node-rank 0 --master-addr host --master-port {port}"
    with pytest.raises(InputError, match=f"between 1 and 65535, got {port}"):
        place(monkeypatch, *options.split())


@pytest.mark.parametrize(
    "options", [["--node-rank", "1"], ["--master-addr", "host"], ["--nodes", "1", "--node-rank", "0"]]
)
def test_a_machine_does_not_train_by_itself_when_it_is_told_of_others(monkeypatch, options):
    with pytest.raises(InputError, match="would train by itself; give --nodes too"):
        place(monkeypatch, *options)
    assert place(monkeypatch) == place(monkeypatch, "--nodes", "1") == ["--standalone"]
    with pytest.raises(InputError, match="--nodes is the number of machines, got 0"):
        place(monkeypatch, "--nodes", "0")


@pytest.mark.long
def test_launch_joins_two_machines_in_one_run(tmp_path, data_bin):
    """Both on this machine: as torchrun sees it, two."""
    port = str(free_port())
    given = [
        str(data_bin),
        *COMMON,
        *TINY_NET,
        "--max-update",
        "2",
        "--save-dir",
        str(tmp_path / "save"),
        "--num-workers",
        "0",
    ]
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(
                electra_process,
                *(
                    f"launch -n 1 --nodes 2 --node-rank {rank}"
                    f" --master-addr 127.0.0.1 --master-port {port} --"
                ).split(),
                "fairseq-train",
                *given,
                check=False,
            )
            for rank in range(2)
        ]
        done = [run.result() for run in runs]
    assert [d.returncode for d in done] == [0, 0], done[0].stderr[-2000:]
    assert "2 processes have joined" in done[0].stdout + done[0].stderr


@pytest.mark.parametrize(
    ("notes", "kind", "said"),
    [
        ({"0.DivergedError": "losses overflow"}, DivergedError, "losses overflow"),
        ({"1.NotWrittenError": "disk full", "0.joined": ""}, InputError, "disk full"),
        ({"0.InputError": "a", "1.RunCollapsedError": "collapsed"}, RunCollapsedError, "collapsed"),
    ],
)
def test_launch_ends_with_what_a_process_has_noted(monkeypatch, notes, kind, said):
    def noted(arguments, folder):
        for name, text in notes.items():
            (folder / name).write_text(text)
        return "process 0 ended"

    for name in (FOLDER, "OMP_NUM_THREADS"):  # which run() sets: for this test alone
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr("fairseq_electra.cli.launch.run_torchrun", noted)
    monkeypatch.setattr("fairseq_electra.cli.launch.require_training_paths", lambda given: None)
    arguments = types.SimpleNamespace(
        command=["fairseq-train", "x"], processes=1, nodes=None, node_rank=None, master_addr=None
    )
    monkeypatch.setattr("fairseq_electra.cli.launch.placement", lambda args: [])
    with pytest.raises(InputError, match=said) as caught:
        run(arguments)
    assert type(caught.value) is kind
