"""The same 32 rows as one batch, as two of 16, and on two ranks: one gradient."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.criterions.replaced_token_detection import (
    ReplacedTokenDetection,
    ReplacedTokenDetectionConfig,
)
from fairseq_electra.electra.masking import Masking
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.finetuning.runs import PRELOADED
from fairseq_electra.models.electra import ElectraConfig, ElectraModel
from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.binarized import Binarized
from fairseq_electra.pretraining.rows import build_rows
from fairseq_electra.tasks._masked_share import MaskedShare
from tests.helpers.ranks import free_port, train_on_two_ranks
from tests.helpers.small_model import NET, TINY_NET, randomize_parameters
from tests.helpers.training import change, train, weights

ONE_UPDATE = [
    *TINY_NET,
    *("--rows", "blocks"),
    *["--max-update", "1", "--disable-validation", "--optimizer", "sgd", "--lr", "1.0"],
    *["--warmup-updates", "0", "--no-epoch-checkpoints"],
]


@pytest.mark.long
def test_one_batch_two_halves_and_two_ranks_take_the_same_step(tmp_path, rows32):
    train(rows32, tmp_path / "start", *ONE_UPDATE, "--batch-size", 32, "--lr", "0.0")
    one = train(rows32, tmp_path / "one", *ONE_UPDATE, "--batch-size", 32)
    halves = train(rows32, tmp_path / "halves", *ONE_UPDATE, "--batch-size", 16, "--update-freq", 2)
    ranks = train_on_two_ranks(rows32, tmp_path / "ranks", *ONE_UPDATE, "--batch-size", 16)
    for log in (halves, ranks):
        assert log.losses == pytest.approx(one.losses, rel=1e-5)
    begin = weights(tmp_path / "start")
    gradients = {name: change(begin, weights(tmp_path / name)) for name in ("one", "halves", "ranks")}
    for name in ("halves", "ranks"):
        assert (gradients[name] - gradients["one"]).norm() / gradients["one"].norm() < 1e-5, name


@pytest.mark.long
def test_three_batches_on_two_ranks_take_the_step_of_one_process(tmp_path, rows32):
    """One rank has an empty batch behind its real one."""
    options = [*ONE_UPDATE, "--batch-size", 11, "--required-batch-size-multiple", 1]
    train(rows32, tmp_path / "start", *options, "--lr", "0.0")
    one = train(rows32, tmp_path / "one", *options, "--update-freq", 3)
    ranks = train_on_two_ranks(rows32, tmp_path / "ranks", *options, "--update-freq", 2)
    assert ranks.losses == pytest.approx(one.losses, rel=1e-5)
    begin = weights(tmp_path / "start")
    expected, found = (change(begin, weights(tmp_path / name)) for name in ("one", "ranks"))
    assert (found - expected).norm() / expected.norm() < 1e-5


def gradient_on_rank(rank: int, port: int, results) -> None:
    """Compute this rank's half in float64, add the halves up as fairseq does, and hand the gradient back."""
    from fairseq.distributed import LegacyDistributedDataParallel

    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    model, criterion, dataset = toy()
    parallel = LegacyDistributedDataParallel(model, torch.distributed.group.WORLD)
    loss, masked, _ = criterion(parallel, dataset.collater(list(range(rank * 16, rank * 16 + 16))))
    loss.backward()
    parallel.all_reduce_grads()
    total = torch.tensor(masked, dtype=torch.float64)
    torch.distributed.all_reduce(total)
    if rank == 0:  # the wrapper averages over ranks, fairseq multiplies by their number
        results.put((torch.cat([p.grad.flatten() for p in model.parameters()]) * 2 / total).numpy())
    torch.distributed.destroy_process_group()


def toy():
    """A net in float64, its criterion and 32 rows of random ids, the same in every process."""
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    for i in range(95):
        dictionary.add_symbol(f"p{i}")
    dictionary.add_symbol("<mask>")
    task = SimpleNamespace(
        source_dictionary=dictionary,
        cfg=SimpleNamespace(tokens_per_sample=32),
        masked_share=MaskedShare(0.15),
        objective=OBJECTIVES["electra"],
    )
    config = {"model_size": "tiny", **NET}
    torch.manual_seed(0)
    model = ElectraModel.build_model(
        OmegaConf.merge(OmegaConf.structured(ElectraConfig), config), task
    ).double()
    randomize_parameters(model)
    rng = np.random.default_rng(0)
    sizes = rng.integers(6, 30, 32)
    ids = np.concatenate([[*rng.integers(4, 99, size), 2, 2] for size in sizes]).astype(np.uint16)
    line_sizes = np.array([[size + 1, 1] for size in sizes], np.int32).ravel()
    masking = Masking(0.15, 0.15, 0.0, mask_index=99, pad_index=1, first_piece=4)
    dataset = MaskedRows(
        Binarized(ids, line_sizes),
        build_rows(line_sizes, 32, pairs=False),
        masking,
        32,
        vocabulary_size=100,
        seed=1,
    )
    assert len(dataset) == 32
    return model, ReplacedTokenDetection(OmegaConf.structured(ReplacedTokenDetectionConfig), task), dataset


def test_two_ranks_give_the_gradient_of_one_batch_in_float64():
    model, criterion, dataset = toy()
    loss, masked, _ = criterion(model, dataset.collater(list(range(32))))
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()]) / masked
    context = torch.multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)  # one such server for this and for the runs of studies
    results = context.Queue()
    processes = [
        context.Process(target=gradient_on_rank, args=(rank, port, results))
        for port in [free_port()]
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    found = torch.from_numpy(results.get(timeout=120))
    for process in processes:
        process.join()
    assert (found - expected).norm() / expected.norm() < 1e-10


@pytest.mark.long
def test_validation_metrics_are_the_same_on_two_ranks(tmp_path, data_bin):
    options = [*TINY_NET, "--max-update", "2", "--no-save"]
    single = train(data_bin, tmp_path / "single", *options, "--batch-size", 8, "--update-freq", 2)
    ranks = train_on_two_ranks(data_bin, tmp_path / "ranks", *options, "--batch-size", 8)
    for log in (single, ranks):
        assert any(record["subset"] == "valid" for record in log.records)
    one, two = ([r for r in log.records if r["subset"] == "valid"][-1] for log in (single, ranks))
    for key in one:
        if key.startswith(("masked", "mask_", "sampled", "replaced", "gen_", "disc_", "loss")):
            assert one[key] == pytest.approx(two[key], rel=1e-4), key
