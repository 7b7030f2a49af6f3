"""A run prints only important lines before its first update; the rest goes to a file, or needs --verbose."""

import inspect
import logging
import warnings

import fairseq_cli.train
import pytest
from fairseq import checkpoint_utils, options

from fairseq_electra.compat import quiet
from fairseq_electra.compat.quiet import FILE, Details
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here


def record(text, level=logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("fairseq.trainer", level, "trainer.py", 1, text, None, None)


@pytest.fixture
def details():
    made = Details()
    yield made
    made.start(False)


def test_ten_lines_precede_the_first_update_and_the_rest_lies_beside_the_checkpoints(tmp_path, data_bin):
    log = train_here(data_bin, tmp_path / "save", *TINY_NET, "--warmup-updates", "0", "--max-update", "1")
    lines = log.text.replace(str(tmp_path), "").replace(str(data_bin), "").splitlines()
    first = next(i for i, line in enumerate(lines) if "| train_inner | {" in line)
    assert first <= 9  # and fairseq's advice on tensorboardX, which comes before this package is imported
    assert max(map(len, lines[:first])) < 200
    for text in (
        "num. shared model params",
        "rows of up to",
        "No existing checkpoint",
        f"save/{FILE}; --verbose prints them",
    ):
        assert any(text in line for line in lines[:first])
    kept = (tmp_path / "save" / FILE).read_text()
    for text in ("'tokens_per_sample': 64", "ElectraModel(", "begin training epoch 1"):
        assert text in kept and text not in log.text
    assert {record["subset"] for record in log.records} == {"train_inner", "valid"}


def test_a_run_without_checkpoints_writes_no_file(tmp_path, data_bin):
    log = train_here(
        data_bin, tmp_path / "save", *TINY_NET, "--max-update", "1", "--disable-validation", "--no-save"
    )
    assert log.updates == 1 and not (tmp_path / "save" / FILE).exists()


def test_a_warning_and_what_matters_are_always_printed(details):
    assert details.filter(record("careful", logging.WARNING)) and details.filter(
        record("Loaded checkpoint a.pt (epoch 1 @ 2 updates)")
    )
    assert not details.filter(record("Preparing to load checkpoint a.pt")) and not details.filter(
        record({"a": "configuration"})
    )
    assert not details.filter(record("Error when composing. Overrides: [...]", logging.ERROR))
    assert len(details.waiting) == 3


def test_lines_wait_for_the_folder_and_are_added_to_what_is_there(details, tmp_path):
    (tmp_path / FILE).write_text("before\n")
    details.filter(record("one"))
    details.write_to(str(tmp_path))
    details.filter(record("two"))
    before, one, two = (tmp_path / FILE).read_text().splitlines()
    assert before == "before" and one.endswith("| INFO | fairseq.trainer | one") and two.endswith("| two")


def test_verbose_prints_what_has_waited_and_all_that_comes(details, caplog):
    details.filter(record("one"))
    with caplog.at_level(logging.INFO):
        details.start(True)
    assert caplog.messages == ["one"] and details.filter(record("two")) and not details.waiting
    parser = options.get_training_parser()
    quiet.add_option(parser)
    quiet.add_option(parser)
    assert parser.parse_known_args(["--verbose"])[0].verbose


def test_only_known_warnings_of_libraries_are_kept_back(monkeypatch):
    monkeypatch.setattr(quiet, "details", Details())
    seen: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *rest: seen.append(str(message)))
    monkeypatch.setattr(fairseq_cli.train.Trainer, "begin_epoch", lambda self, epoch: None)
    monkeypatch.setattr(checkpoint_utils, "verify_checkpoint_directory", lambda save_dir: None)
    quiet.hide_details()
    warnings.showwarning(
        UserWarning("hydra.experimental.compose() is no longer experimental"), UserWarning, "compose.py", 1
    )
    warnings.showwarning(UserWarning("of another library"), UserWarning, "other.py", 1)
    assert seen == ["of another library"] and len(quiet.details.waiting) == 1


def test_fairseq_still_prints_its_configuration_and_the_network():
    source = inspect.getsource(fairseq_cli.train.main)
    assert "logger.info(cfg)\n" in source and "logger.info(model)\n" in source
