"""An update that does not wait for the device gives the weights and the log of one that does.

It also ends in the same way if a gradient is not finite.
"""

import inspect
import json
import re
import time
import traceback
import types

import pytest
import torch
from fairseq import checkpoint_utils, trainer
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import metrics
from fairseq_cli import train as train_cli
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_electra.compat import gradient_checks, nonfinite_rows, speeds
from fairseq_electra.compat.nonfinite_rows import RAISED_BY_ALL
from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetection
from fairseq_electra.errors import DeviceFaultError
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, train_here, weights

RUN = [
    *TINY_NET,
    *["--num-workers", "0", "--no-epoch-checkpoints", "--rows", "blocks", "--dropout", "0.1"],
    "--disable-validation",
]
BAD = 2  # the update whose loss is not finite


class Slow:
    """A report of the device that arrives only when it is waited for."""

    def query(self):
        return False

    def synchronize(self):
        pass


@pytest.fixture
def looking_later(monkeypatch):
    """Let a CPU do what a GPU does, and report as late as can be."""
    monkeypatch.setattr(gradient_checks, "would_wait", lambda trainer: True)
    monkeypatch.setattr(gradient_checks, "_copy_to_host", lambda flag: (flag, Slow()))


@pytest.fixture
def break_update(monkeypatch):
    """Spoil the loss of the rows of one update, whenever they are read."""
    rows, seen = [], []
    plain = ReplacedTokenDetection.forward

    def forward(self, model, sample, reduce=True):
        if not rows and len(seen) == BAD:
            rows.extend(sample["id"].tolist())
        seen.append(len(rows))
        loss, sample_size, log = plain(self, model, sample, reduce)
        return (loss * float("nan") if sample["id"].tolist() == rows else loss), sample_size, log

    def start():
        monkeypatch.setattr(ReplacedTokenDetection, "forward", forward)
        rows.clear()
        seen.clear()
        return rows, seen

    return start


def ends_in_nan(data, save_dir, *options):
    with pytest.raises(FloatingPointError, match="gradients are Nan/Inf"):
        train_here(data, save_dir, *RUN, *options)
    return json.loads((save_dir / "nonfinite_rows.json").read_text())


def of(log, name):
    return [record[name] for record in log.records if record["subset"] == "train_inner"]


def test_the_same_weights_and_log(tmp_path, data_bin, monkeypatch):
    options = [
        *RUN,
        *["--max-update", 6, "--clip-norm", "30", "--bias-correction", "off"],
        *["--adam-betas", "(0.9, 0.999)"],
    ]
    plain = train_here(data_bin, tmp_path / "plain", *options)
    monkeypatch.setattr(gradient_checks, "would_wait", lambda trainer: True)
    later = train_here(data_bin, tmp_path / "later", *options)
    assert_same_weights(weights(tmp_path / "plain"), weights(tmp_path / "later"))
    for name in ("loss", "gnorm", "gen_gnorm", "disc_gnorm", "clip"):
        assert of(plain, name) == of(later, name) and len(set(of(plain, name))) > 1, name
    assert of(plain, "clip") == [100.0 * (norm > 30) for norm in of(plain, "gnorm")]


@pytest.mark.parametrize(
    "options",
    [["--save-interval-updates", 4], ["--save-interval-updates", 100]],
    ids=["saves", "does not save"],
)
def test_a_gradient_that_is_not_finite_ends_the_run_before_anything_is_saved(
    tmp_path, data_bin, looking_later, break_update, monkeypatch, options
):
    monkeypatch.setattr(gradient_checks, "MAX_UNCHECKED", 4)
    rows, seen = break_update()
    report = ends_in_nan(data_bin, tmp_path / "later", "--max-update", 11, *options)
    assert report == {"update": BAD, "epoch": 1, "rows": rows} and len(rows) == 8
    assert not list((tmp_path / "later").glob("checkpoint*.pt"))
    # until it is seen the run goes on: to the checkpoint, or for so many updates
    # twice: once more, and for fairseq's report
    assert seen.index(8) == BAD and len(seen) - 2 == min(int(options[1]), BAD + 4 + 1)


def test_what_it_leaves_is_what_fairseq_leaves(tmp_path, data_bin, monkeypatch, break_update):
    break_update()
    plain = ends_in_nan(data_bin, tmp_path / "plain", "--max-update", 11)
    monkeypatch.setattr(gradient_checks, "would_wait", lambda trainer: True)
    monkeypatch.setattr(gradient_checks, "_copy_to_host", lambda flag: (flag, Slow()))
    break_update()
    later = ends_in_nan(data_bin, tmp_path / "later", "--max-update", 11)
    assert later == plain
    crashed = [torch.load(tmp_path / name / "crash.pt", weights_only=True) for name in ("plain", "later")]
    assert_same_weights(*(state["model"] for state in crashed))
    for one, other in zip(
        *(state["last_optimizer_state"]["state"].values() for state in crashed), strict=True
    ):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_compiled_run_ends_so_too(tmp_path, data_bin, without_code_generation, monkeypatch, caplog):
    plain = ReplacedTokenDetection.loss_of

    def loss_of(self, output, batch, training):
        loss, log = plain(self, output, batch, training)
        return loss * (float("nan") if torch.compiler.is_compiling() else 1.0), log

    monkeypatch.setattr(ReplacedTokenDetection, "loss_of", loss_of)
    report = ends_in_nan(data_bin, tmp_path / "save", "--max-update", 3, "--compile")
    assert report["update"] == 0 and len(report["rows"]) == 8
    assert "finite without --compile" in caplog.text


def test_a_compiled_run_logs_the_norms(tmp_path, data_bin, without_code_generation, break_update, caplog):
    break_update()
    assert ends_in_nan(data_bin, tmp_path / "save", "--max-update", 11, "--compile")["update"] == BAD
    assert "Detected nan/inf grad norm" in caplog.text and "finite without --compile" not in caplog.text


@pytest.mark.parametrize("end", [["--max-update", 5], ["--max-epoch", 1]], ids=["update", "epoch"])
def test_a_run_that_saves_nothing_ends_so_too(tmp_path, data_bin, looking_later, break_update, end):
    break_update()
    assert ends_in_nan(data_bin, tmp_path / "save", "--no-save", *end)["update"] == BAD


def test_it_is_seen_before_a_validation(tmp_path, data_bin, looking_later, break_update, caplog):
    break_update()
    options = [option for option in RUN if option != "--disable-validation"]
    with pytest.raises(FloatingPointError):
        train_here(
            data_bin, tmp_path / "save", *options, "--validate-interval-updates", 4, "--max-update", 11
        )
    assert "at update 2;" in caplog.text and 'begin validation on "valid"' not in caplog.text


def test_an_update_that_cannot_be_repeated_ends_the_run_all_the_same(
    tmp_path, data_bin, looking_later, break_update
):
    rows, _ = break_update()
    plain = gradient_checks.Gradients.clip

    def clip(self, max_norm):
        norm = plain(self, max_norm)
        if self.drop_nonfinite and self.dropped:
            rows.clear()
            rows.append(-1)
        return norm

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(DeviceFaultError, match="at update 2, but not when"),
    ):
        patch.setattr(gradient_checks.Gradients, "clip", clip)
        train_here(data_bin, tmp_path / "save", *RUN, "--max-update", 11)


class Reads(TorchDispatchMode):
    """Note where a tensor's value is asked for; on a GPU the host would wait there."""

    def __init__(self):
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            frames = [frame for frame in traceback.extract_stack() if "/torch/" not in frame.filename][:-1]
            self.places.append(f"{frames[-1].filename}::{frames[-1].name}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("options", [[], ["--clip-norm", "0"], ["--update-freq", "2", "--pack"]])
def test_the_host_reads_nothing_in_an_update(tmp_path, data_bin, monkeypatch, options):
    """Metrics apart, which have tests of their own."""
    monkeypatch.setattr(gradient_checks, "would_wait", lambda trainer: True)
    plain, reads = trainer.Trainer.train_step, []

    def train_step(self, *args, **kwargs):
        with Reads() as found:
            output = plain(self, *args, **kwargs)
        reads.append(
            [
                place
                for place in found.places
                if not re.search(r"/pretraining/(meters|score_histogram)\.py", place)
            ]
        )
        return output

    monkeypatch.setattr(trainer.Trainer, "train_step", train_step)
    train_here(data_bin, tmp_path / "save", *RUN, "--max-update", 4, "--no-save", *options)
    # fairseq's question whether the norm is finite, of a number that the host has made itself
    assert reads[1:] == 3 * [[f"{trainer.__file__}::train_step"]]


def test_a_checkpoint_holds_metrics_as_numbers_and_a_resumed_run_averages_over_both(tmp_path, data_bin):
    options = [*RUN, "--log-interval", "100", "--max-epoch", "1"]
    whole = train_here(data_bin, tmp_path / "whole", *options)
    train_here(data_bin, tmp_path / "parts", *options, "--max-update", 3)
    state = torch.load(tmp_path / "parts" / "checkpoint_last.pt", weights_only=True)["extra_state"]["metrics"]
    saved = {name: meter for _, name, _, meter in state["train"]}
    assert (
        isinstance(saved["gnorm"]["sum"], float)
        and isinstance(saved["gen_gnorm"]["val"], float)
        and saved["gnorm"]["count"] == 3
    )
    parts = train_here(data_bin, tmp_path / "parts", *options)
    for name in ("gnorm", "gen_gnorm", "disc_gnorm", "clip"):
        of_whole, of_parts = (
            float(re.findall(f'"train_{name}": "([^"]+)"', log.text)[-1]) for log in (whole, parts)
        )
        assert of_parts == pytest.approx(of_whole, abs=2e-3) and of_whole > 0, name


def test_the_model_walks_over_its_modules_where_the_mode_changes(make_task, make_model):
    model = make_model(make_task())
    assert model.train() is model and model.training
    assert not model.eval().training and not any(module.training for module in model.modules())
    assert model.train().training and all(module.training for module in model.modules())
    assert not any(hasattr(module, "set_num_updates") for module in model.modules() if module is not model)


def test_time_spent_on_validation_does_not_count_as_training(make_task):
    task = make_task()
    metrics.reset()
    with metrics.aggregate("train"):
        for _ in range(2):  # fairseq's clock starts at the first
            for name in ("mfu", "wps", "another"):
                metrics.log_speed(name, 1.0)
    task.begin_valid_epoch(1, None)
    for _ in range(2):  # two sets
        time.sleep(0.15)
        task.post_validate(None, {"loss": 1.0}, None)
    meters = metrics.get_meters("train")
    assert meters["another"].elapsed_time >= 0.3
    for name in ("mfu", "wps"):
        assert 0 < meters[name].elapsed_time <= meters["another"].elapsed_time - 0.3


def test_time_spent_on_saving_does_not_count_as_training(monkeypatch):
    monkeypatch.setattr(checkpoint_utils, "save_checkpoint", lambda seconds: time.sleep(seconds) or "saved")
    speeds.exclude_saving_time()
    mended = checkpoint_utils.save_checkpoint
    metrics.reset()
    with metrics.aggregate("train"):
        for _ in range(2):
            for name in ("ups", "another"):
                metrics.log_speed(name, 1.0)
    assert mended(0.15) == "saved"
    meters = metrics.get_meters("train")
    assert 0 < meters["ups"].elapsed_time <= meters["another"].elapsed_time - 0.15


def test_fairseqs_train_still_saves_between_two_updates():
    """Within the time that its speeds divide by."""
    assert "checkpoint_utils.save_checkpoint(" in inspect.getsource(train_cli.validate_and_save)
    assert checkpoint_utils.save_checkpoint.__code__.co_filename == speeds.__file__


@pytest.mark.parametrize(
    ("said", "expected"),
    [(RAISED_BY_ALL[0], [3, 4, 7]), (RAISED_BY_ALL[1] + ".", [3, 4, 7]), ("else", [3, 4])],
)
def test_the_rows_of_all_processes_are_written_by_the_first(tmp_path, monkeypatch, said, expected):
    """As the first of two processes; gathered only where fairseq raises the error in both."""
    gathered = []
    monkeypatch.setattr(
        distributed_utils,
        "all_gather_list",
        lambda rows, group: gathered.append((rows, group)) or [rows, [7]],
    )

    class Process:
        data_parallel_world_size, data_parallel_process_group, is_data_parallel_master = 2, "both", True
        cfg = OmegaConf.create(
            {"checkpoint": {"save_dir": str(tmp_path)}, "dataset": {"train_subset": "train"}}
        )
        task = types.SimpleNamespace(datasets={})

        def get_num_updates(self):
            return 5

    def plain(self, samples, raise_oom=False):
        raise FloatingPointError(said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", plain)
        nonfinite_rows.write_rows_of_nonfinite_losses()
        mended = trainer.Trainer.train_step
    process = Process()
    with pytest.raises(FloatingPointError):
        mended(process, [{"id": torch.tensor([3, 4])}, {}])
    path = tmp_path / "nonfinite_rows.json"
    assert json.loads(path.read_text()) == {"update": 5, "epoch": None, "rows": expected}
    assert gathered == ([([3, 4], "both")] if len(expected) == 3 else [])
    path.unlink()
    process.is_data_parallel_master = False
    with pytest.raises(FloatingPointError):
        mended(process, [{"id": torch.tensor([3, 4])}])
    assert path.exists() == (said == "else")
