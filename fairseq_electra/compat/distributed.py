"""Changes to fairseq's way of starting several processes and of gathering what they found."""

import logging
import os

import torch

from fairseq_electra.compat import save_folder, stopping
from fairseq_electra.errors import InputError
from fairseq_electra.rank_notes import FOLDER, note

logger = logging.getLogger(__name__)


def distribute_on_cpus() -> None:
    """distributed/utils.py::call_main: without a GPU it crashes, or ends with status 0 having trained nothing.

    ``cfg.device_id = cfg.distributed_rank % torch.cuda.device_count()`` divides by zero under torchrun,
    ``nprocs=min(torch.cuda.device_count(), ...)`` starts no process, and ``--ddp-backend c10d`` names a GPU to DDP.
    """
    from fairseq.distributed import utils

    plain = utils.call_main
    if getattr(plain, "distributes_on_cpus", False):
        return

    def call_main(cfg, main, **kwargs):
        take_rank(cfg)
        if "override_args" not in kwargs:  # else fairseq-validate, which saves nothing
            stopping.begin(cfg)
        try:
            result = plain(cfg, main, **kwargs)
        finally:
            save_folder.release()
        stopping.end()
        return result

    call_main.distributes_on_cpus = True  # type: ignore[attr-defined]
    utils.call_main = call_main

    plain_init = utils.distributed_init

    def distributed_init(cfg):
        rank = plain_init(cfg)
        logger.info(f"{torch.distributed.get_world_size()} processes have joined")
        note("joined")
        return rank

    utils.distributed_init = distributed_init


def take_rank(cfg) -> None:
    """Take this process's place from torchrun's environment, or refuse a way of starting that would train nothing."""
    options, ranks = cfg.distributed_training, int(os.environ.get("WORLD_SIZE", 1))
    on_cpu = cfg.common.cpu or not torch.cuda.is_available()
    if FOLDER in os.environ or (ranks > 1 and "RANK" in os.environ and "MASTER_ADDR" in os.environ):
        options.distributed_init_method = "env://"
        options.distributed_world_size = ranks
        options.distributed_rank = int(os.environ["RANK"])
        options.device_id = 0 if on_cpu else int(os.environ["LOCAL_RANK"])
        options.distributed_no_spawn = True
        if on_cpu:
            options.distributed_backend, options.ddp_backend = "gloo", "legacy_ddp"
        elif options.device_id >= torch.cuda.device_count():
            raise InputError(
                f"process {options.distributed_rank} has no GPU: this machine has {torch.cuda.device_count()}; start as many processes"
            )
    elif on_cpu and not options.distributed_no_spawn and (options.distributed_world_size > 1 or options.distributed_init_method):
        world = options.distributed_world_size
        raise InputError(
            f"fairseq starts no processes on CPUs (--distributed-world-size {world}): "
            f"use fairseq-electra launch -n {max(world, 2)} -- fairseq-train ..., or --distributed-world-size 1 for a single one"
        )


def gather_without_gpu() -> None:
    """distributed/utils.py::all_gather_list, ``torch.cuda.ByteTensor(buffer_size)``: crashes without a GPU, and holds 16 kB a process.

    It is what gathers the predictions that MCC, F1 and correlations are computed from.
    """
    from fairseq.distributed import utils
    from fairseq.utils import move_to_cpu

    if getattr(utils.all_gather_list, "needs_no_gpu", False):
        return

    def all_gather_list(data, group=None, max_size=16384):
        group = group or utils.get_global_group()
        found = [None] * utils.get_world_size(group)
        torch.distributed.all_gather_object(found, move_to_cpu(data), group=group)
        return found

    all_gather_list.needs_no_gpu = True  # type: ignore[attr-defined]
    utils.all_gather_list = all_gather_list


def broadcast_checkpoints() -> None:
    """distributed/utils.py::_broadcast_object_slow, ``torch.load(buffer)``: refuses fairseq's own placeholders and options.

    So no run of several processes could start from a checkpoint. These are bytes from another process of this run, not a file.
    """
    from fairseq.distributed import utils

    if getattr(utils._broadcast_object_slow, "sends_bytes", False):
        return

    def _broadcast_object_slow(obj, src_rank, group, dist_device):
        found = [obj]
        torch.distributed.broadcast_object_list(found, src=src_rank, group=group, device=dist_device)
        return found[0]

    _broadcast_object_slow.sends_bytes = True  # type: ignore[attr-defined]
    utils._broadcast_object_slow = _broadcast_object_slow


def sum_stats_without_waiting() -> None:
    """distributed/utils.py::all_reduce_dict, ``torch.cat(...).to(device=device)``: waits for the device in every update.

    It copies the numbers that the host knows (tokens, rows) out of memory that the device cannot read by itself. From pinned memory
    the copy needs no wait, and the numbers travel with those that lie on the device already, in one reduction instead of two.
    """
    from fairseq.distributed import utils

    plain = utils.all_reduce_dict
    if getattr(plain, "sums_without_waiting", False):
        return

    def all_reduce_dict(data, device, group):
        numbers = {name: float(value) for name, value in data.items() if not torch.is_tensor(value)}
        packed = torch.tensor([*numbers.values()], dtype=torch.double, pin_memory=device.type == "cuda")
        moved = dict(zip(numbers, packed.to(device, non_blocking=True).unbind(), strict=True))
        return plain({name: moved.get(name, value) for name, value in data.items()}, device, group)

    all_reduce_dict.sums_without_waiting = True  # type: ignore[attr-defined]
    utils.all_reduce_dict = all_reduce_dict
