"""Processes gather, broadcast and sum without a GPU, or without waiting for it (distributed/utils.py)."""

import functools

import torch


def gather_without_gpu() -> None:
    """Gather objects of any size, also without a GPU.

    distributed/utils.py::all_gather_list, ``torch.cuda.ByteTensor(buffer_size)``, fails without a GPU, and a
    process can send 16 kB at most. It gathers the predictions that MCC, F1 and correlations are computed
    from.
    """
    from fairseq.distributed import utils
    from fairseq.utils import move_to_cpu

    def all_gather_list(data, group=None, max_size=16384):
        group = group or utils.get_global_group()
        gathered = [None] * utils.get_world_size(group)
        torch.distributed.all_gather_object(gathered, move_to_cpu(data), group=group)
        return gathered

    utils.all_gather_list = all_gather_list


def broadcast_checkpoints() -> None:
    """Broadcast checkpoints to the other processes of a run.

    distributed/utils.py::_broadcast_object_slow, ``torch.load(buffer)``, refuses fairseq's own placeholders
    and options, so no run of several processes can start from a checkpoint. The bytes come from another
    process of the same run and not from a file, so here they are unpickled.
    """
    from fairseq.distributed import utils

    def _broadcast_object_slow(obj, src_rank, group, dist_device):
        objects = [obj]
        torch.distributed.broadcast_object_list(objects, src=src_rank, group=group, device=dist_device)
        return objects[0]

    utils._broadcast_object_slow = _broadcast_object_slow


def sum_stats_without_waiting() -> None:
    """Sum the figures of all processes without waiting for the device.

    distributed/utils.py::all_reduce_dict, ``torch.cat(...).to(device=device)``, waits for the device in every
    update: it copies the numbers that the host knows (tokens, rows) from memory that the device cannot read
    by itself. A copy from pinned memory needs no wait. The copied numbers are summed together with those that
    are on the device already, in one reduction instead of two.
    """
    from fairseq.distributed import utils

    plain = utils.all_reduce_dict

    @functools.wraps(plain)
    def all_reduce_dict(data, device, group):
        numbers = {name: float(value) for name, value in data.items() if not torch.is_tensor(value)}
        packed = torch.tensor([*numbers.values()], dtype=torch.double, pin_memory=device.type == "cuda")
        moved = dict(zip(numbers, packed.to(device, non_blocking=True).unbind(), strict=True))
        return plain({name: moved.get(name, value) for name, value in data.items()}, device, group)

    utils.all_reduce_dict = all_reduce_dict
