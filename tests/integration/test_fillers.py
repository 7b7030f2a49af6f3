"""Batches that do not share out evenly over processes and micro-batches: the gradient is that of one process.

tests/integration/test_distributed.py has two real processes.
"""

import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq import tasks, trainer
from fairseq.data.iterators import GroupedIterator
from fairseq.logging import metrics, progress_bar
from fairseq.trainer import Trainer
from fairseq_cli import validate

from fairseq_electra.cli import main
from fairseq_electra.errors import InputError
from tests.helpers import tagging_task
from tests.helpers.fairseq_source import stock_source
from tests.helpers.paths import USER_DIR
from tests.helpers.question_task import WINDOWS, squad
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import command, configuration

SGD = [
    *["--optimizer", "sgd", "--lr", "1.0", "--clip-norm", "0", "--dropout", "0", "--num-workers", "0"],
    *["--batch-size", "8"],
]
PRETRAINING, PACKED, TAGGING, QUESTIONS, SENTENCES, CHOICES = (
    *["pretraining", "packed", "tagging", "questions", "sentences", "choices"],
)
OF_SENTENCES = "--init-token 0 --max-positions 128"
TASKS = {
    TAGGING: "--task token_classification --criterion token_classification",
    QUESTIONS: "--task question_answering --criterion question_answering",
    SENTENCES: f"--task sentence_prediction --criterion sentence_prediction --num-classes 2 {OF_SENTENCES}",
    CHOICES: f"--task sentence_ranking --criterion sentence_ranking --num-classes 4 {OF_SENTENCES}",
}


def prepared(kind: str, folder: Path, vocabulary: Path, lines: list[str]) -> Path:
    """Prepare a task with 32 rows of train or more."""
    if kind == TAGGING:
        tagging_task.write_sources(folder, lines)
        return tagging_task.prepare(folder, vocabulary)
    texts = [" ".join(line.split()[:20]).replace('"', "") for line in lines if len(line) > 40][:32]
    if kind == QUESTIONS:
        (folder / "train.json").write_text(json.dumps(squad(lines, "train", True)))
        source = ["--squad", *WINDOWS, "--train", folder / "train.json"]
    elif kind == SENTENCES:
        (folder / "train.tsv").write_text(
            "text\tlabel\n" + "".join(f"{text}\t{i % 2}\n" for i, text in enumerate(texts))
        )
        source = ["--text", "text", "--label", "label", "--train", folder / "train.tsv"]
    else:
        rows = "".join(f'0,"{text}",So,one,two,three,four,{i % 4}\n' for i, text in enumerate(texts))
        (folder / "train.csv").write_text(f",sent1,sent2,ending0,ending1,ending2,ending3,label\n{rows}")
        source = ["--swag", folder]
    assert (
        main(
            [str(word) for word in ["prepare", "--vocab", vocabulary, "--destdir", folder / "task", *source]]
        )
        == 0
    )
    return folder / "task"


@pytest.fixture(scope="module", params=[PRETRAINING, PACKED, TAGGING, QUESTIONS, SENTENCES, CHOICES])
def one_process(request, tmp_path_factory, data_bin, vocabulary, corpus_lines) -> Trainer:
    """A trainer of one process, which never takes a step by itself: its net stays the same."""
    folder = tmp_path_factory.mktemp("fillers")
    if request.param in TASKS:
        data, kind = prepared(request.param, folder, vocabulary, corpus_lines), TASKS[request.param].split()
        given = [
            data,
            "--user-dir",
            USER_DIR,
            "--cpu",
            *kind,
            "--arch",
            "electra_encoder",
            "--model-size",
            "tiny",
            *TINY_NET,
            *SGD,
        ]
        given += ["--save-dir", folder / "save", "--head-dropout", "0", "--disable-validation"]
    else:
        pack = ["--pack"] if request.param == PACKED else []
        given = command(data_bin, folder / "save", *TINY_NET, *SGD, "--tokens-per-sample", 32, *pack)[3:]
    metrics.reset()  # of other tasks
    cfg = configuration(given)
    task = tasks.setup_task(cfg.task)
    found = Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))
    found.task.optimizer_step = lambda *args, **kwargs: None
    found.get_train_iterator(1)
    return found


def updates_of_rank(trainer: Trainer, batches: int, ranks: int, rank: int, freq: int) -> list[list[dict]]:
    """What fairseq's iterators give a process of so many for each update of an epoch of so many batches."""
    task, name = trainer.task, trainer.cfg.dataset.train_subset
    itr = task.get_batch_iterator(
        task.dataset(name),
        max_sentences=8,
        num_shards=ranks,
        shard_id=rank,
        disable_iterator_cache=True,
        data_buffer_size=0,
    )
    itr._frozen_batches = itr.frozen_batches[:batches]
    return list(GroupedIterator(itr.next_epoch_itr(shuffle=False), freq))


def gradient(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.grad.double().flatten() for p in trainer.model.parameters() if p.grad is not None])


def contribution(trainer: Trainer, samples: list[dict], monkeypatch) -> tuple[torch.Tensor, SimpleNamespace]:
    """Return the undivided gradient that a process adds, and what it tells the other processes.

    It tells them its denominator and the numbers for the log, of which only the number of rows is kept here.
    """
    told = SimpleNamespace()

    def aggregate(self, logs, sample_size, ooms, seconds, ignore=False):
        told.sample_size, told.rows = sample_size, 0 if ignore else sum(log["nsentences"] for log in logs)
        return logs, (1.0, ooms, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_sync_stats", lambda self: True)
        patch.setattr(Trainer, "_aggregate_logging_outputs", aggregate)
        trainer.train_step(samples)
    return gradient(trainer), told


@pytest.mark.parametrize(
    ("batches", "ranks", "freq", "fillers"),
    [(4, 2, 2, 0), (3, 2, 2, 1), (4, 3, 2, 2), (1, 3, 2, 2)],
    ids=["none", "one", "two", "alone"],
)
def test_processes_with_empty_batches_behind_real_ones_give_the_gradient_of_one(
    one_process, monkeypatch, batches, ranks, freq, fillers
):
    shares = [updates_of_rank(one_process, batches, ranks, rank, freq) for rank in range(ranks)]
    assert (
        all(len(share) == 1 for share in shares)
        and sum(not sample for (samples,) in shares for sample in samples) == fillers
    )
    (everything,) = updates_of_rank(one_process, batches, 1, 0, batches)
    rows = sum(sample["nsentences"] for sample in everything)
    found = [contribution(one_process, samples, monkeypatch) for (samples,) in shares]
    assert sum(told.rows for _, told in found) == rows
    together = sum(added for added, _ in found) / sum(told.sample_size for _, told in found)
    one_process.train_step(everything)
    expected = gradient(one_process)
    assert expected.norm() > 0 and (together - expected).norm() / expected.norm() < 1e-5


def test_fairseq_still_takes_a_processs_whole_update_for_empty_where_its_last_batch_is():
    assert "if is_dummy_batch:\n            if torch.is_tensor(sample_size):" in stock_source(trainer)
    assert "dummy_batches" in inspect.getsourcefile(Trainer.train_step.__wrapped__)


def test_fairseq_validate_leaves_out_empty_batches():
    bar = validate.progress_bar.progress_bar(
        [{"id": 1}, {}, {"id": 2}, {}], log_format="none", default_log_format="none"
    )
    assert list(bar) == [{"id": 1}, {"id": 2}]
    bar.log({}, step=1)
    # the rest of the module is as it was
    assert validate.progress_bar.build_progress_bar is progress_bar.build_progress_bar


def test_fairseq_validate_refuses_fewer_batches_than_processes():
    bar = validate.progress_bar.progress_bar([{}], log_format="none", default_log_format="none")
    with pytest.raises(InputError, match="a process has no batch of the split; give a smaller --batch-size"):
        list(bar)


def test_fairseq_validate_prints_with_the_number_of_its_last_batch():
    """Else a process without batches had no need to end."""
    assert "progress.print(log_output, tag=subset, step=i)" in stock_source(validate)


def test_fairseq_validate_still_gives_a_task_every_batch_that_its_bar_yields():
    plain = stock_source(validate)
    assert (
        "for i, sample in enumerate(progress):" in plain
        and "_loss, _sample_size, log_output = task.valid_step(sample" in plain
    )
    assert "progress = progress_bar.progress_bar(" in plain
