"""Without room in shared memory a run with workers ends with a sentence; it used to wait for ever."""

import multiprocessing.queues
import subprocess
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

import pytest
import torch
from fairseq.data import iterators
from torch.utils.data import DataLoader

from fairseq_electra.compat.mistakes import input_error
from fairseq_electra.compat.shared_memory import SharedBatch, SharedByWorkers, tensors_of
from tests.helpers.fairseq_source import stock_source
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import command


def collate(samples):
    return {
        "id": torch.tensor(samples),
        "net_input": {"parts": [torch.ones(2), (torch.zeros(3), "text")]},
        "nsentences": len(samples),
    }


def test_pytorch_still_goes_on_where_a_batch_cannot_be_sent():
    assert "queue_sem.release()\n                    onerror(e, obj)" in stock_source(multiprocessing.queues)
    assert "torch.utils.data.DataLoader(" in stock_source(iterators) and "share_memory" not in stock_source(
        iterators
    )


def test_a_worker_says_that_there_is_no_room(monkeypatch):
    def fail(*args):
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
        )

    monkeypatch.setattr(torch.UntypedStorage, "share_memory_", fail)
    with pytest.raises(Exception) as raised:
        next(
            iter(
                DataLoader(
                    range(4), batch_size=2, num_workers=1, collate_fn=SharedByWorkers(collate), timeout=60
                )
            )
        )
    said = str(input_error(raised.value))
    assert said.startswith("no room for a batch in shared memory") and said.endswith(
        "(docker run --shm-size=1g), or --num-workers 0"
    )
    assert "which --num-workers 1 needs" in said


def test_batches_are_the_same_and_shared_by_workers_alone():
    shared = SharedByWorkers(collate)
    assert not shared([1, 2])["id"].is_shared()
    (batch,) = DataLoader(range(2), batch_size=2, num_workers=1, collate_fn=shared)
    parts, (zeros, text) = batch["net_input"]["parts"]
    assert batch["id"].tolist() == [0, 1] and batch["nsentences"] == 2 and text == "text"
    assert parts.tolist() == [1, 1] and zeros.tolist() == [0, 0, 0]
    assert all(tensor.is_shared() for tensor in (batch["id"], parts, zeros))


class Pair(NamedTuple):
    first: int
    second: int


def tensors_of_all_kinds(samples):
    number = torch.arange(12).view(3, 4)
    return [
        {"transposed": number.t(), "scalar": torch.tensor(7), "none": torch.empty(0, 5), "nothing": None},
        {"bool": number > 5, "half": number.half(), "bfloat16": number.bfloat16(), "double": number.double()},
        (number, number, Pair(1, 2), torch.tensor([-3], dtype=torch.int8), number.to(torch.int16)),
    ]


def test_every_kind_of_tensor_arrives_as_it_was():
    (found,) = DataLoader(
        range(1), batch_size=1, num_workers=1, collate_fn=SharedByWorkers(tensors_of_all_kinds)
    )
    expected = tensors_of_all_kinds([])
    pairs = list(zip(tensors_of(found), tensors_of(expected), strict=True))
    assert len(pairs) == 11
    for one, other in pairs:
        assert one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
    assert found[0]["nothing"] is None and found[2][2] == Pair(1, 2)
    assert found[2][0].data_ptr() == found[2][1].data_ptr()  # sent once


def test_a_batch_needs_one_file(make_task):
    dataset = make_task().load_dataset("train")
    pickled = ForkingPickler.dumps(SharedBatch(dataset.collater(range(8))))
    assert bytes(pickled).count(b"rebuild_storage") == 1


@pytest.mark.parametrize("pack", [False, True], ids=["rows", "packed"])
def test_workers_send_the_batches_that_one_process_makes(make_task, pack):
    task = make_task(pack=pack)
    dataset = task.load_dataset("valid")

    def batches(workers):
        itr = task.get_batch_iterator(
            dataset, max_sentences=8, num_workers=workers, disable_iterator_cache=True
        )
        return list(itr.next_epoch_itr(shuffle=False))

    alone, sent = batches(0), batches(2)
    assert len(alone) == len(sent) > 2
    for one, other in zip(alone, sent, strict=True):
        assert list(one) == list(other) and list(one["net_input"]) == list(other["net_input"])
        assert all(map(torch.equal, tensors_of(one), tensors_of(other)))
        assert [one[name] for name in ("ntokens", "npairs")] == [
            other[name] for name in ("ntokens", "npairs")
        ]


def test_fairseqs_iterator_makes_its_batches_so(make_task):
    task = make_task()
    itr = task.get_batch_iterator(task.load_dataset("train"), max_sentences=8, num_workers=1)
    assert isinstance(itr.collate_fn, SharedByWorkers) and itr.first_batch["id"].shape == (8,)


@pytest.mark.long
def test_a_run_in_a_container_with_little_shared_memory_ends(tmp_path, data_bin):
    given = [
        *command(
            data_bin,
            tmp_path / "save",
            *TINY_NET,
            *["--max-update", "20", "--disable-validation", "--num-workers", "2"],
        )
    ]
    script = 'mount -t tmpfs -o size=64k tmpfs /dev/shm || exit 77; exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *given], capture_output=True, text=True, timeout=280
    )
    if "denied" in done.stderr or "not permitted" in done.stderr or done.returncode == 77:
        pytest.skip("a mount of its own needs root")
    assert done.returncode == 1
    assert (
        "no room for a batch in shared memory (/dev/shm: 0.0 of 0.1 MB free)"
        in done.stderr.strip().splitlines()[-1]
    )
