"""A run starts from the checkpoint that was asked for, and one that has ended is not trained on."""

from types import SimpleNamespace

import fairseq_cli.train
import pytest
import torch
from fairseq import checkpoint_utils, trainer

from fairseq_electra.compat import patience
from fairseq_electra.compat.quiet import FILE
from fairseq_electra.compat.starts import NothingLeft, check_start, reason_to_end
from fairseq_electra.errors import InputError
from tests.helpers.fairseq_source import stock_source
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import command, configuration, refusal, run_configured, train_here

RUN = [*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints"]
VALIDATED = [*RUN, "--validate-interval-updates", "1", "--lr", "0"]


def options(folder, **given):
    """fairseq's options of checkpoints."""
    plain = {
        "save_dir": str(folder / "save"),
        "restore_file": "checkpoint_last.pt",
        "finetune_from_model": None,
        "continue_once": None,
    }
    plain |= dict.fromkeys(
        ("reset_optimizer", "reset_lr_scheduler", "reset_meters", "reset_dataloader"), False
    )

    class Options(SimpleNamespace):
        def __getitem__(self, name):
            return getattr(self, name)

    return Options(**(plain | given))


def test_fairseq_still_trains_from_nothing_where_the_file_is_not_there():
    assert "bexists = PathManager.isfile(filename)" in stock_source(trainer)
    assert 'logger.info("No existing checkpoint found {}".format(filename))' in stock_source(trainer)
    text = stock_source(checkpoint_utils)
    assert (
        "checkpoint_path = cfg.continue_once" in text
        and "if PathManager.exists(cfg.finetune_from_model):" in text
    )


@pytest.mark.parametrize("option", ["restore_file", "continue_once", "finetune_from_model"])
def test_a_checkpoint_to_start_from_that_is_not_there_is_named(tmp_path, option):
    name = f"--{option.replace('_', '-')}"
    with pytest.raises(InputError, match=rf"no such checkpoint: .*chekpoint\.pt \({name}\); check the path"):
        check_start(options(tmp_path, **{option: str(tmp_path / "chekpoint.pt")}), "")
    with pytest.raises(
        InputError,
        match=rf"{name} \S+ is a folder: \S+ holds no checkpoint_best\.pt or checkpoint_last\.pt; give a",
    ):
        check_start(options(tmp_path, **{option: str(tmp_path)}), "")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        InputError,
        match=r"last\.pt; a folder of transformers becomes one with fairseq-electra import; give a",
    ):
        check_start(options(tmp_path, **{option: str(tmp_path)}), "")
    (tmp_path / "checkpoint_last.pt").write_bytes(b"")
    with pytest.raises(
        InputError, match=rf"{name} \S+ is a folder; give a checkpoint in it, such as \S+checkpoint_last\.pt"
    ):
        check_start(options(tmp_path, **{option: str(tmp_path)}), "")
    (tmp_path / "checkpoint1.pt").write_bytes(b"")
    check_start(options(tmp_path, **{option: str(tmp_path / "checkpoint1.pt")}), "")


def test_a_name_without_its_folder_is_understood(tmp_path):
    (tmp_path / "save").mkdir()
    best = tmp_path / "save" / "checkpoint_best.pt"
    best.write_bytes(b"")
    with pytest.raises(
        InputError,
        match=rf"no such checkpoint: checkpoint_best\.pt \(--restore-file\); did you mean {best}\?",
    ):
        check_start(options(tmp_path, restore_file="checkpoint_best.pt"), "")


def test_the_first_start_of_a_run_needs_no_checkpoint_and_later_ones_need_the_last_alone(tmp_path):
    check_start(options(tmp_path), "")
    (tmp_path / "save").mkdir()
    last = tmp_path / "save" / "checkpoint_last.pt"
    last.write_bytes(b"")
    check_start(options(tmp_path, continue_once="gone.pt"), "")
    check_start(options(tmp_path, finetune_from_model="gone.pt"), "")
    with pytest.raises(InputError, match="no such checkpoint: gone"):
        check_start(options(tmp_path, finetune_from_model="gone.pt"), "-shard0")
    last.unlink()
    last.symlink_to("checkpoint_3_2000.pt")
    with pytest.raises(InputError, match=r"no such checkpoint: .*checkpoint_last\.pt \(--save-dir\)"):
        check_start(options(tmp_path), "")


def test_two_ways_to_start_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(
        InputError,
        match="--finetune-from-model and --restore-file both name a checkpoint to start from; leave out one",
    ):
        check_start(options(tmp_path, finetune_from_model="a.pt", restore_file="b.pt"), "")
    with pytest.raises(
        InputError, match=r"--finetune-from-model loads only the weights, .* leave --reset-lr-scheduler out"
    ):
        check_start(options(tmp_path, finetune_from_model="a.pt", reset_lr_scheduler=True), "")


@pytest.mark.parametrize("option", ["--restore-file", "--finetune-from-model"])
def test_nothing_is_trained_in_place_of_an_absent_checkpoint(tmp_path, data_bin, option):
    said = refusal(
        data_bin,
        tmp_path / "save",
        *RUN,
        *["--disable-validation", "--max-update", 1, option, "pretrained/chekpoint.pt"],
    )
    assert said == f"no such checkpoint: pretrained/chekpoint.pt ({option}); check the path"
    assert not list((tmp_path / "save").iterdir())


def test_fairseq_still_looks_whether_a_run_has_ended_behind_an_update():
    text = stock_source(fairseq_cli.train)
    assert text.index("log_output = trainer.train_step(samples)") < text.index(
        "if num_updates >= max_update:"
    )
    assert "while epoch_itr.next_epoch_idx <= max_epoch:" in text
    assert not any(NothingLeft.next_epoch_idx <= last for last in (1, float("inf")))


def test_a_run_that_has_ended_is_not_trained_on_and_goes_on_with_a_larger_number(tmp_path, data_bin):
    save = tmp_path / "save"
    assert len(train_here(data_bin, save, *RUN, "--max-update", 2).losses) == 2
    before = {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in save.iterdir() if path.is_file()
    }
    again = train_here(data_bin, save, *RUN, "--max-update", 2)
    assert (
        "already at 2 of 2 updates (--max-update): nothing is left to train" in again.text
        and not again.records
    )
    assert {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in save.iterdir() if path.is_file()
    } == before
    assert len(train_here(data_bin, save, *RUN, "--max-update", 3).losses) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"max_update": 7}, "already at 7 of 7 updates"),
        ({"max_update": 8}, ""),
        ({"max_update": 5}, "already at 7 of 5 updates"),
        ({"max_epoch": 2}, "already at the end of 2 of 2 epochs"),
        ({"max_epoch": 3}, ""),
        ({"stop_time_hours": 1.5}, "already trained for 2.00 of 1.5 hours"),
        ({"stop_time_hours": 2.5}, ""),
    ],
)
def test_every_end_of_a_run_is_known(changes, sentence):
    optimization = {"max_update": 0, "max_epoch": 0, "stop_time_hours": 0} | changes
    run = SimpleNamespace(
        cfg=SimpleNamespace(
            optimization=SimpleNamespace(**optimization), checkpoint=SimpleNamespace(patience=-1)
        ),
        get_num_updates=lambda: 7,
        _previous_training_time=2 * 3600,
    )
    found = reason_to_end(run, SimpleNamespace(next_epoch_idx=3))
    assert found.startswith(sentence) and bool(found) == bool(sentence)
    run.get_num_updates = lambda: 0  # as after --finetune-from-model
    assert reason_to_end(run, SimpleNamespace(next_epoch_idx=3)) == ""


def test_hours_count_as_updates_do(tmp_path, data_bin):
    """From nothing in a fine-tuning; --continue-once goes on with both."""
    train_here(data_bin, tmp_path / "save", *RUN, "--max-update", 1, "--disable-validation")
    last = tmp_path / "save" / "checkpoint_last.pt"
    state = torch.load(last, weights_only=True)
    state["extra_state"]["previous_training_time"] = 5 * 3600
    torch.save(state, last)
    given = [*RUN, "--disable-validation", "--no-save", "--stop-time-hours", 1, "--max-update", 3]
    assert train_here(data_bin, tmp_path / "new", *given, "--finetune-from-model", last).updates == 3
    log = train_here(data_bin, tmp_path / "new", *given, "--continue-once", last)
    assert "already trained for 5.00 of 1 hours (--stop-time-hours)" in log.text and not log.updates


def test_fairseq_still_counts_for_patience_within_a_process():
    assert "should_stop_early.num_runs += 1" in stock_source(fairseq_cli.train)
    assert "num_runs" not in stock_source(checkpoint_utils) + stock_source(trainer)


def test_patience_counts_the_validations_before_a_restart(tmp_path, data_bin):
    """The learning rate is 0: the first validation is the best, and the run ends three validations later."""
    given = [*VALIDATED, "--patience", 3]
    assert train_here(data_bin, tmp_path / "save", *given, "--max-update", 2).updates == 2
    resumed = train_here(data_bin, tmp_path / "save", *given, "--max-update", 20)
    assert resumed.updates == 4 and "hasn't improved for last 3 runs" in resumed.text
    again = train_here(data_bin, tmp_path / "save", *given, "--max-update", 20)
    assert (
        "already 3 validations without a better loss (--patience): nothing is left to train" in again.text
        and not again.losses
    )
    assert (
        len(train_here(data_bin, tmp_path / "save", *VALIDATED, "--patience", 4, "--max-update", 20).losses)
        == 1
    )


def test_the_runs_of_a_sweep_know_nothing_of_each_other(tmp_path, data_bin):
    """In one process, configured before the first starts, as in hydra; the second cannot be better."""
    rates = {"good": 1e-3, "worse": 0}
    given = [*RUN, "--validate-interval-updates", 1, "--max-update", 2, "--patience", 3]
    read = {
        name: configuration(command(data_bin, tmp_path / name, *given, "--lr", rate)[3:])
        for name, rate in rates.items()
    }
    for name, cfg in read.items():
        log = run_configured(cfg, tmp_path / name)
        assert log.updates == 2 and (tmp_path / name / "checkpoint_best.pt").is_file()
        kept = (tmp_path / name / FILE).read_text()
        assert f"'lr': [{float(rates[name])}]" in kept and kept.count("begin training epoch") == 1
    best = [
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)["extra_state"]["best"]
        for name in rates
    ]
    assert best[0] < best[1]


def run_of(metric="loss", maximize=False, text="text", length=64, **more):
    checkpoint = {
        "best_checkpoint_metric": metric,
        "maximize_best_checkpoint_metric": maximize,
        "patience": 3,
        "reset_optimizer": False,
    }
    groups = {"checkpoint": SimpleNamespace(**(checkpoint | more))}
    groups["task"] = SimpleNamespace(tokens_per_sample=length)
    return SimpleNamespace(
        cfg=SimpleNamespace(**groups), is_data_parallel_master=True, _validation_data=[text]
    )


@pytest.fixture
def counted(monkeypatch):
    """What fairseq's function has counted."""
    found = {"best": 3.5, "num_runs": 2}
    monkeypatch.setattr(patience, "_counters", lambda: found)
    return found


def test_the_best_score_of_another_metric_is_forgotten(counted, caplog):
    state = {"extra_state": {"best": 3.5}}
    patience.write_counters(run_of(), state)
    counted.clear()
    patience.read_counters(run_of("disc_auc", maximize=True), state["extra_state"], False)
    assert "best" not in state["extra_state"] and not counted
    assert "the best score so far is of loss, not of --best-checkpoint-metric disc_auc" in caplog.text


@pytest.mark.parametrize("other", [{"text": "other"}, {"length": 128}])
def test_the_best_score_on_other_text_is_forgotten(counted, caplog, other):
    state = {"extra_state": {"best": 3.5}}
    patience.write_counters(run_of(), state)
    patience.read_counters(run_of(), state["extra_state"], False)
    assert state["extra_state"]["best"] == 3.5 and counted["num_runs"] == 2
    counted.clear()
    patience.read_counters(run_of(**other), state["extra_state"], False)
    assert "best" not in state["extra_state"] and not counted
    assert "the best score so far is of other validation text, or rows of another length" in caplog.text


def test_checkpoints_that_record_the_metric_alone_keep_their_best_score(counted):
    state = {"best": 3.5, "best_metric": {"name": "loss", "maximize": False}}
    patience.read_counters(run_of(), state, False)
    assert state["best"] == 3.5


@pytest.mark.parametrize(
    ("reset_meters", "reset_optimizer", "kept"),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_what_is_reset_is_not_counted(counted, reset_meters, reset_optimizer, kept):
    state = {"extra_state": {"best": 3.5}}
    patience.write_counters(run_of(), state)
    counted.clear()
    patience.read_counters(run_of(reset_optimizer=reset_optimizer), state["extra_state"], reset_meters)
    assert counted == ({"best": 3.5, "num_runs": 2} if kept else {}) and state["extra_state"]["best"] == 3.5


def test_older_checkpoints_are_gone_on_from(counted):
    before, extra_state = dict(counted), {"best": 3.5}
    patience.read_counters(run_of(), extra_state, False)
    assert counted == before and extra_state == {"best": 3.5}
