"""The options of fairseq's trainer do what they say, or are refused with a sentence."""

import re
import shutil

import pytest
import torch

from fairseq_electra.precision import cpu_has_bf16
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, change, refusal, train, train_here, weights

NET = [*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints"]
RUN = [*NET, "--disable-validation"]
VALIDATED = [*NET, "--validate-interval-updates", "1", "--lr", "1e-2"]


def of(log, subset, name):
    return [record[name] for record in log.records if record["subset"] == subset and name in record]


def fits_bfloat16(tensor):
    return torch.equal(tensor, tensor.bfloat16().float())


@pytest.mark.parametrize(
    ("options", "half_weights", "exact"),
    [
        (["--autocast", "bf16"], False, True),
        (["--bf16"], True, False),
        (["--memory-efficient-bf16"], True, True),
    ],
    ids=["autocast", "bf16", "memory-efficient-bf16"],
)
def test_half_precision_trains_like_float32_and_resumes(tmp_path, data_bin, options, half_weights, exact):
    plain = train_here(data_bin, tmp_path / "plain", *RUN, "--max-update", 6)
    half = train_here(data_bin, tmp_path / "half", *RUN, "--max-update", 6, *options)
    assert (half.losses != plain.losses) == ("--autocast" not in options or cpu_has_bf16())
    assert half.losses == pytest.approx(plain.losses, rel=0.02)
    state = torch.load(tmp_path / "half" / "checkpoint_last.pt", weights_only=True)
    # fairseq saves all in float32: what was bfloat16 has zeros behind its eighth bit
    assert fits_bfloat16(state["model"]["discriminator_head.dense.weight"]) == half_weights
    assert not any(
        fits_bfloat16(state["exp_avg"])
        for state in state["last_optimizer_state"]["state"].values()
        if state["exp_avg"].dim() > 1
    )
    train_here(data_bin, tmp_path / "two", *RUN, "--max-update", 3, *options)
    resumed = train_here(data_bin, tmp_path / "two", *RUN, "--max-update", 6, *options)
    # with --bf16, fairseq keeps float32 weights while it trains and saves their bfloat16 copies only
    assert (resumed.losses == half.losses[3:]) == exact and resumed.losses == pytest.approx(
        half.losses[3:], rel=5e-3
    )
    if exact:
        assert_same_weights(weights(tmp_path / "two"), weights(tmp_path / "half"))


def test_packed_rows_train_and_the_log_tells_the_share_of_the_machine_that_is_used(tmp_path, data_bin):
    log = train_here(data_bin, tmp_path / "save", *VALIDATED, "--pack", "--max-update", 6)
    assert "packed into" in log.text and len(log.losses) == 6
    peak = float(re.search(r"mfu: share of (\S+) TFLOP/s in float32 on each of 1 devices", log.text).group(1))
    for mfu, tflops in zip(of(log, "train_inner", "mfu"), of(log, "train_inner", "tflops"), strict=True):
        assert 0 <= mfu < 1 and mfu == pytest.approx(tflops / peak, abs=1.5e-4 + 1e-4 / peak)
    assert max(of(log, "train_inner", "mfu")) > 0 and not of(log, "valid", "mfu")


def test_clip_norm(tmp_path, data_bin):
    """Plain gradient descent with a rate of 1 moves the weights by the gradient."""
    descent = [*RUN, "--optimizer", "sgd", "--lr", "1.0", "--warmup-updates", "0", "--max-update", 1]
    train_here(data_bin, tmp_path / "start", *descent, "--lr", "0.0")
    log = train_here(data_bin, tmp_path / "clipped", *descent, "--clip-norm", "0.1")
    assert of(log, "train_inner", "gnorm")[0] > 1 and of(log, "train_inner", "clip") == [100.0]
    assert change(weights(tmp_path / "start"), weights(tmp_path / "clipped")).norm() == pytest.approx(
        0.1, rel=1e-3
    )


def test_patience(tmp_path, data_bin):
    log = train_here(
        data_bin, tmp_path / "save", *VALIDATED, "--lr", "0", "--max-update", 20, "--patience", 2
    )
    assert log.updates == 3 and "hasn't improved for last 2 runs" in log.text


def test_keep_best_checkpoints(tmp_path, data_bin):
    log = train_here(
        data_bin,
        tmp_path / "save",
        *VALIDATED,
        *["--max-update", 8, "--save-interval-updates", 1, "--keep-best-checkpoints", 2],
    )
    losses = of(log, "valid", "loss")
    kept = sorted(
        float(path.stem.rsplit("_", 1)[1][:-1])
        for path in (tmp_path / "save").glob("checkpoint.best_loss_*.pt")
    )
    assert len(set(losses)) > 2 and kept == pytest.approx(sorted(losses)[:2], abs=2e-3)
    best = torch.load(tmp_path / "save" / "checkpoint_best.pt", weights_only=True)
    assert best["extra_state"]["val_loss"] == pytest.approx(min(losses), abs=1e-3)


def test_save_and_keep_interval_updates(tmp_path, data_bin):
    train_here(
        data_bin,
        tmp_path / "save",
        *RUN,
        *["--max-update", 9, "--save-interval-updates", 1, "--keep-interval-updates", 2],
    )
    names = {path.name for path in (tmp_path / "save").glob("*.pt")}
    assert len(names) == 3 and "checkpoint_last.pt" in names


def test_several_validation_sets(tmp_path, data_bin):
    data = shutil.copytree(data_bin, tmp_path / "data")
    for kind in ("bin", "idx"):
        shutil.copy(data / f"train.{kind}", data / f"other.{kind}")
    log = train_here(data, tmp_path / "save", *VALIDATED, "--max-update", 2, "--valid-subset", "valid,other")
    valid, other = (of(log, name, "loss") for name in ("valid", "other"))
    assert len(valid) == len(other) >= 2 and valid != other
    best = torch.load(tmp_path / "save" / "checkpoint_best.pt", weights_only=True)["extra_state"]["best"]
    assert best == pytest.approx(min(valid), abs=1e-3)


@pytest.fixture(scope="module")
def two_updates(tmp_path_factory, data_bin):
    folder = tmp_path_factory.mktemp("two")
    whole = train_here(data_bin, folder / "whole", *RUN, "--max-update", 3)
    train_here(data_bin, folder / "save", *RUN, "--max-update", 2)
    path = folder / "save" / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    state["extra_state"]["best"] = 0.5
    torch.save(state, path)
    return whole, folder / "save"


@pytest.mark.parametrize(
    ("option", "first_update", "goes_on", "remembers"),
    [
        (None, 3, True, True),
        ("--reset-optimizer", 1, False, False),
        ("--reset-dataloader", 3, False, True),
        ("--reset-lr-scheduler", 3, True, True),
        ("--reset-meters", 3, True, False),
    ],
)
def test_reset(tmp_path, data_bin, two_updates, option, first_update, goes_on, remembers):
    """What is not reset goes on: update count and moments, the place in the data, the best score."""
    whole, folder = two_updates
    shutil.copytree(folder, tmp_path / "save")
    log = train_here(data_bin, tmp_path / "save", *RUN, "--max-update", 3, *([option] if option else []))
    assert "Loaded checkpoint" in log.text and of(log, "train_inner", "num_updates")[0] == first_update
    assert (log.losses == whole.losses[2:]) == goes_on
    state = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)
    assert (state["extra_state"].get("best") == 0.5) == remembers


@pytest.mark.parametrize("multiple", [1, 4])
def test_required_batch_size_multiple(tmp_path, data_bin, multiple):
    options = [
        *["--batch-size", "100", "--max-tokens", "350", "--required-batch-size-multiple", multiple],
        *["--max-update", "6"],
    ]
    sizes = of(train_here(data_bin, tmp_path / "save", *RUN, *options), "train_inner", "bsz")
    assert all(size % 4 == 0 for size in sizes) == (multiple == 4), sizes


def test_checkpoint_activations_gives_the_same_weights_and_keeps_less(tmp_path, data_bin):
    kept = {}
    for name, options in (("plain", []), ("less", ["--checkpoint-activations"])):
        kept[name] = 0

        def pack(tensor, name=name):
            kept[name] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            train_here(
                data_bin,
                tmp_path / name,
                *RUN,
                *["--max-update", 3, "--dropout", "0.1", "--attention-dropout", "0.1"],
                *options,
            )
    assert_same_weights(weights(tmp_path / "less"), weights(tmp_path / "plain"))
    assert kept["less"] < 0.7 * kept["plain"]


def test_folders_of_data_take_turns_and_a_run_resumes_in_the_second(tmp_path, data_bin):
    shards = [data_bin, tmp_path / "b"]
    shutil.copytree(data_bin, shards[1])
    for kind in ("bin", "idx"):
        shutil.copy(data_bin / f"valid.{kind}", shards[1] / f"train.{kind}")
    data = ":".join(map(str, shards))
    whole = train_here(data, tmp_path / "whole", *RUN, "--max-epoch", 4)
    read = re.findall(r"(\S+)/train: [\d,]+ lines", whole.text)
    assert read[:4] == [str(shards[number]) for number in (0, 1, 0, 1)]
    middle = int(max(r["num_updates"] for r in whole.records if r["epoch"] == 1)) + 1
    train_here(data, tmp_path / "two", *RUN, "--max-update", middle)
    resumed = train_here(data, tmp_path / "two", *RUN, "--max-epoch", 4)
    assert resumed.losses == whole.losses[middle:]
    assert_same_weights(weights(tmp_path / "two"), weights(tmp_path / "whole"))


def test_tensorboard(tmp_path, data_bin):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the package tensorboard"
    )
    log = train_here(
        data_bin, tmp_path / "save", *NET, "--max-update", 4, "--tensorboard-logdir", tmp_path / "board"
    )
    for subset, name in (("train_inner", "loss"), ("valid", "disc_auc")):
        events = accumulator.EventAccumulator(str(tmp_path / "board" / subset))
        events.Reload()
        assert [event.value for event in events.Scalars(name)] == pytest.approx(
            of(log, subset, name), abs=1e-3
        )


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tqdm", "simple"])
def test_other_logs(tmp_path, data_bin, kind):
    log = train(data_bin, tmp_path / "save", *NET, "--max-update", 2, "--log-format", kind)
    assert re.search(r"valid on 'valid' subset.*disc_auc", log.text) and re.search(
        r"masked_lm_loss[= ]\d", log.text
    )


def test_the_average_starts_from_the_weights_of_a_checkpoint_that_has_none(tmp_path, data_bin):
    train_here(data_bin, tmp_path / "save", *RUN, "--max-update", 2)
    log = train_here(
        data_bin, tmp_path / "save", *RUN, "--max-update", 3, "--store-ema", "--ema-decay", "0.9"
    )
    assert log.updates == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--fp16"], "--fp16 needs a GPU; on a CPU use --autocast bf16"),
        (["--memory-efficient-fp16"], "--fp16 needs a GPU"),
        (["--amp"], "--amp is not offered; use --autocast bf16"),
        (["--autocast", "bf16", "--bf16"], "two ways to the same end"),
        (["--cuda-graphs"], "--cuda-graphs needs --compile and a GPU"),
        (["--compile", "--pack", "--tokens-per-sample", "512"], "up to --tokens-per-sample 256, got 512"),
        (["--ddp-backend", "fully_sharded"], "needs fairscale"),
        (["--tpu"], "--tpu has not been tried"),
    ],
)
def test_refused(tmp_path, data_bin, options, sentence):
    assert sentence in refusal(data_bin, tmp_path / "save", *RUN, "--max-update", 1, *options)
