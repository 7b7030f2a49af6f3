"""Several processes can train on CPUs, when torchrun or ``fairseq-electra launch`` starts them.

distributed/utils.py::call_main fails without a GPU, or ends with status 0 without having trained:
``cfg.device_id = cfg.distributed_rank % torch.cuda.device_count()`` divides by zero under torchrun,
``nprocs=min(torch.cuda.device_count(), ...)`` starts no process, and ``--ddp-backend c10d`` gives DDP the
name of a GPU. Here each process reads its rank from torchrun's environment. A way of starting that would
train nothing is refused. This is also where a run's start and end are noted (compat/stopping.py) and its
folder is unlocked (compat/save_folder.py).
"""

import logging
import os

import torch

from fairseq_electra.compat import save_folder, stopping
from fairseq_electra.errors import InputError
from fairseq_electra.rank_notes import FOLDER, note

logger = logging.getLogger(__name__)


def start_processes_on_cpus() -> None:
    """Change distributed/utils.py::call_main and distributed_init."""
    from fairseq.distributed import utils

    plain_main, plain_init = utils.call_main, utils.distributed_init

    def call_main(cfg, main, **kwargs):
        read_rank(cfg)
        if "override_args" not in kwargs:  # else it is fairseq-validate, which saves nothing
            stopping.start(cfg)
        try:
            result = plain_main(cfg, main, **kwargs)
        finally:
            save_folder.release()
        stopping.end()
        return result

    def distributed_init(cfg):
        rank = plain_init(cfg)
        logger.info(f"{torch.distributed.get_world_size()} processes have joined")
        note("joined")
        return rank

    utils.call_main, utils.distributed_init = call_main, distributed_init


def read_rank(cfg) -> None:
    """Read this process's rank from torchrun's environment into fairseq's configuration.

    Args:
        cfg: fairseq's configuration, which is changed.

    Raises:
        InputError: The run would train nothing, or this process has no GPU.
    """
    options, processes = cfg.distributed_training, int(os.environ.get("WORLD_SIZE", 1))
    on_cpu = cfg.common.cpu or not torch.cuda.is_available()
    if FOLDER in os.environ or (processes > 1 and "RANK" in os.environ and "MASTER_ADDR" in os.environ):
        options.distributed_init_method = "env://"
        options.distributed_world_size = processes
        options.distributed_rank = int(os.environ["RANK"])
        options.device_id = 0 if on_cpu else int(os.environ["LOCAL_RANK"])
        options.distributed_no_spawn = True
        if on_cpu:
            options.distributed_backend, options.ddp_backend = "gloo", "legacy_ddp"
        elif options.device_id >= torch.cuda.device_count():
            raise InputError(
                f"process {options.distributed_rank} has no GPU: this machine has"
                f" {torch.cuda.device_count()}; start as many processes"
            )
    elif on_cpu and not options.distributed_no_spawn and _asks_for_several(options):
        world = options.distributed_world_size
        raise InputError(
            f"fairseq starts no processes on CPUs (--distributed-world-size {world}): use fairseq-electra "
            "launch "
            f"-n {max(world, 2)} -- fairseq-train ..., or --distributed-world-size 1 for a single process"
        )


def _asks_for_several(options) -> bool:
    return options.distributed_world_size > 1 or bool(options.distributed_init_method)
