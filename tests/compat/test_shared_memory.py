"""Without room in shared memory a run with workers ends with a sentence; it used to wait for ever."""

import multiprocessing.queues
import subprocess

import pytest
import torch
from fairseq.data import iterators
from torch.utils.data import DataLoader

from fairseq_electra.compat.mistakes import input_error
from fairseq_electra.compat.shared_memory import SharedByWorkers
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
    assert all(tensor.is_shared() for tensor in (batch["id"], parts, zeros))


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
