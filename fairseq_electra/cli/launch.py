"""Run a fairseq command as several processes that train together, on CPUs or GPUs, on one machine or several.

# on one machine
fairseq-electra launch -n 4 -- fairseq-train data-bin ...
# on several: the same line on each, with --node-rank 1 on the second, and so on
fairseq-electra launch -n 4 --nodes 2 --node-rank 0 --master-addr HOST -- fairseq-train data-bin ...
# with slurm
srun --nodes 2 --ntasks-per-node 1 fairseq-electra launch -n 8 -- fairseq-train data-bin ...

Give the fairseq command as for one process, without --distributed-* options. The batch of an update is the
sum of all processes' batches.
"""

import argparse
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import fairseq_electra
from fairseq_electra.errors import DivergedError, InputError, RunCollapsedError
from fairseq_electra.paths import require_training_paths
from fairseq_electra.rank import TOOLS
from fairseq_electra.rank_notes import FOLDER
from fairseq_electra.resuming import read_note, signal_name

PORT = 29500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "-n",
        "--processes",
        type=int,
        required=True,
        help="number of processes on this machine; one per GPU",
    )
    parser.add_argument("--nodes", type=int, help="number of machines (default: slurm's, or 1)")
    parser.add_argument(
        "--node-rank", type=int, help="number of this machine, from 0 (default: slurm's, or 0)"
    )
    parser.add_argument("--master-addr", help="name or address of machine 0 (default: slurm's first)")
    parser.add_argument(
        "--master-port",
        type=int,
        default=PORT,
        help=f"a free port of machine 0, with several machines ({PORT})",
    )
    parser.add_argument(
        "command",
        nargs="+",
        metavar="-- COMMAND",
        help="fairseq-train, fairseq-hydra-train or fairseq-validate, and its arguments",
    )


def run(args: argparse.Namespace) -> None:
    """Start the processes, wait for them, and check that they joined one run."""
    tool, given = args.command[0], args.command[1:]
    check_command(tool, given)
    if args.processes < 1:
        raise InputError(f"-n must be at least 1, got {args.processes}")
    machine_arguments = placement(args)
    require_training_paths(given)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.processes)))
    with tempfile.TemporaryDirectory(prefix="fairseq-electra-") as folder:
        os.environ[FOLDER] = folder
        command = [
            *(*machine_arguments, "--nproc-per-node", str(args.processes), "-m", "fairseq_electra.rank"),
            *(tool, *given),
        ]
        failure = run_torchrun(command, Path(folder))
        with_status = {kind.__name__: kind for kind in (RunCollapsedError, DivergedError)}
        notes = sorted(
            Path(folder).glob("*.*Error"), key=lambda path: (path.suffix[1:] not in with_status, path.name)
        )
        if notes:
            raise with_status.get(notes[0].suffix[1:], InputError)(notes[0].read_text())
        if failure:
            raise InputError(failure)
        joined = len(list(Path(folder).glob("*.joined")))
        if joined != args.processes:
            raise InputError(
                f"only {joined} of {args.processes} processes joined the run, so {tool} trained nothing or "
                "separate copies; "
                "drop its own options of distribution"
            )


def run_torchrun(arguments: list[str], notes: Path) -> str:
    """Run torchrun in this process.

    Args:
        arguments: arguments of torchrun.
        notes: folder of the processes' notes.

    Returns:
        what went wrong; empty if nothing did.

    Raises:
        InputError: the machines do not meet.
        SystemExit: a signal stopped torchrun; how to resume is printed.
    """
    from torch.distributed import DistError
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for module in ("agent.server.api", "multiprocessing.api"):  # they warn about every process that they end
        logging.getLogger(f"torch.distributed.elastic.{module}").setLevel(logging.ERROR)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup's; torchrun would take it back
        os.environ.setdefault("PET_SIGNALS_TO_HANDLE", "SIGTERM,SIGINT,SIGQUIT")
    try:
        torchrun.main(arguments)
    except SignalException as error:
        print(
            f"fairseq-electra launch: stopped by {signal_name(error.sigval)}; {read_note(notes)}",
            file=sys.stderr,
        )
        raise SystemExit(128 + error.sigval) from None
    except DistError as error:
        raise InputError(
            f"the machines do not meet ({str(error).splitlines()[0]}); check --master-addr, or give another"
            " --master-port"
        ) from error
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        ended = (
            f"was ended by signal {-first.exitcode}"
            if first.exitcode < 0
            else f"ended with status {first.exitcode}"
        )
        return (
            f"process {rank} {ended}, so all were stopped; the reason is above, and the same command resumes"
            " from the last checkpoint"
        )
    return ""


def check_command(tool: str, given: list[str]) -> None:
    """Refuse commands that would train separate copies, or use another copy of this package."""
    if tool not in TOOLS:
        raise InputError(f"launch runs {', '.join(TOOLS)}, got {tool}; name one of these after --")
    for word in given:
        if re.match(r"--distributed-|distributed_training\.(distributed_|device_id)|--device-id", word):
            raise InputError(f"{word.split('=')[0]}: launch sets this itself; drop this option")
    for i, word in enumerate(given):
        named = re.match(r"(?:--user-dir|common\.user_dir)(?:=(.*))?$", word)
        if named:
            check_user_dir(named[1] or (given[i + 1] if i + 1 < len(given) else ""))


def check_user_dir(named: str) -> None:
    """Refuse a folder that does not exist, and a second copy of this package."""
    package, other = Path(fairseq_electra.__file__).parent.resolve(), Path(named).resolve()
    if not other.exists():
        raise InputError(f'--user-dir {named}: no such folder; give --user-dir "$(fairseq-electra user-dir)"')
    if other.name == package.name and other != package:
        raise InputError(
            f"this command is of {package}, --user-dir names {other}: two copies; give --user-dir "
            f'"$(fairseq-electra user-dir)", '
            "or install the other with pip install -e"
        )


def placement(args: argparse.Namespace) -> list[str]:
    """Return torchrun's arguments for this machine, from the options or from slurm's environment."""
    slurm = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST")
    nodes, rank, address = args.nodes, args.node_rank, args.master_addr
    if nodes is None and slurm:
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_JOB_NUM_NODES") or 1)
        tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS") or os.environ.get("SLURM_NTASKS") or nodes)
        if tasks != nodes:
            raise InputError(
                f"slurm started {tasks} tasks on {nodes} machines; launch starts the processes itself: use"
                " --ntasks-per-node 1"
            )
        rank = int(os.environ.get("SLURM_NODEID", 0)) if rank is None else rank
        address = address or (first_host(slurm) if nodes > 1 else None)
    if nodes is not None and nodes < 1:
        raise InputError(f"--nodes is the number of machines, got {nodes}; give 1 or more")
    if nodes in (None, 1):
        if args.node_rank is not None or args.master_addr is not None:
            raise InputError(
                "--node-rank and --master-addr are of a run on several machines, and this one would train by"
                " itself; give --nodes too, or leave them out"
            )
        return ["--standalone"]
    if rank is None or address is None or not 0 <= rank < nodes:
        raise InputError(
            f"with --nodes {nodes}, give --master-addr and --node-rank 0 to {nodes - 1}, got {address} and"
            f" {rank}"
        )
    if not 1 <= args.master_port <= 65535:
        raise InputError(f"--master-port must lie between 1 and 65535, got {args.master_port}")
    return [
        *("--nnodes", str(nodes), "--node-rank", str(rank)),
        *("--master-addr", address, "--master-port", str(args.master_port)),
    ]


def first_host(nodelist: str) -> str:
    """Return the first machine of slurm's abbreviated list."""
    try:
        shown = subprocess.run(
            ["scontrol", "show", "hostnames", nodelist], capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"cannot read slurm's machines {nodelist!r} with scontrol ({error}); give --master-addr"
        ) from error
    if not shown:
        raise InputError(f"scontrol names no machine for {nodelist!r}; give --master-addr")
    return shown[0]
