import csv

import numpy as np
import pytest
import torch

from fairseq_electra.cli import inspect, main, plot
from fairseq_electra.pretraining.corpus import Document
from tests.helpers.commands import electra
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train_here


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin):
    folder = tmp_path_factory.mktemp("trained")
    log = train_here(data_bin, folder / "save", *TINY_NET, "--max-update", "5", "--num-workers", "0")
    (folder / "train.log").write_text(log.text)
    return folder


def test_inspect_shows_pairs_short_rows_and_padding(trained, data_bin):
    shown = electra("inspect", trained / "save" / "checkpoint_last.pt", data_bin, "--width", "100").stdout
    heads = [line for line in shown.splitlines() if line.startswith("row ")]
    assert len(heads) == 3
    assert any("2 segments, 0 of padding" in head for head in heads) and any(
        "1 segment," in head for head in heads
    )
    assert any(not head.endswith(" 0 of padding") for head in heads) and "<pad> x" in shown
    assert max(map(len, shown.splitlines())) <= 100
    for label in ("original", "masked", "sampled", "replaced", "p(replaced)"):
        assert shown.count(f"\n{label} ") >= 3
    assert "<mask>" in shown and " yes" in shown


def test_inspect_shows_what_the_model_computed(trained, data_bin, make_task):
    """What is printed is what the loader masked: the originals are the text's own tokens."""
    shown = electra(
        "inspect", trained / "save" / "checkpoint_last.pt", data_bin, "--rows", "2", "--width", "100000"
    ).stdout.splitlines()
    task = make_task()
    dataset = task.load_dataset("valid")
    rows = dataset.rows
    ids = dataset.corpus.ids[rows.start[2] : rows.start[2] + rows.num_ids[2]]
    words = [task.dictionary[int(i)] for i in ids if i != 2]
    original = next(line for line in shown if line.startswith("original")).split()[1:]
    first = int(rows.first_length[2])
    row = ["<s>", *words[:first], "</s>", *words[first:], *(["</s>"] if rows.second_length[2] else [])]
    assert original[: len(row)] == row


def test_inspect_shows_packed_rows_with_all_their_documents(make_task, make_model):
    task = make_task(pack=True, rows="blocks", tokens_per_sample=128)
    dataset = task.load_dataset("valid")
    rows = inspect.telling_rows(dataset)
    numbers = np.diff(dataset.packing.bounds)
    assert (
        numbers[rows[0]] == numbers.max() > 1
        and numbers[rows[1]] == numbers.min()
        and len(set(rows)) == len(rows)
    )
    assert any(dataset.sizes[row] == dataset.sizes.min() for row in rows)
    sample, model = dataset.collater(rows), make_model(task, max_position_embeddings=128).eval()
    with torch.no_grad():
        output = model(**sample["net_input"])
    for index, row in enumerate(rows):
        heading = inspect.describe(sample, index)
        documents = "1 document" if numbers[row] == 1 else f"{numbers[row]} documents"
        assert heading == f"{dataset.sizes[row]} tokens in {documents}, {128 - dataset.sizes[row]} of padding"
        originals = [cells[0] for cells in inspect.columns(sample, output, index, task.dictionary.symbols)]
        assert originals.count("<s>") == numbers[row] and "<mask>" not in originals


def test_inspect_reads_a_checkpoint_of_any_precision_and_packing(tmp_path, data_bin, capsys):
    """What it was trained with need not work on the machine where it is looked at."""
    train_here(
        data_bin,
        tmp_path / "save",
        *TINY_NET,
        *["--max-update", "1", "--num-workers", "0", "--pack", "--disable-validation"],
    )
    path = tmp_path / "save" / "checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    state["cfg"]["task"] |= {"autocast": "none", "fp16": True, "memory_efficient_fp16": True, "cpu": False}
    torch.save(state, path)
    assert main(["inspect", str(path), str(data_bin), "--width", "100"]) == 0
    shown = capsys.readouterr().out
    assert (
        shown.count("tokens in ") >= 2
        and " documents, " in shown
        and max(map(len, shown.splitlines())) <= 100
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pt", "DATA"], "no such checkpoint"),
        (["CHECKPOINT", "absent"], "no such data folder"),
        (["CHECKPOINT", "DATA", "--split", "absent"], "absent.idx"),
        (["CHECKPOINT", "DATA", "--rows", "99999"], "--rows must lie between 0 and"),
    ],
)
def test_inspect_refuses_bad_input(trained, data_bin, arguments, message):
    known = {"CHECKPOINT": trained / "save" / "checkpoint_last.pt", "DATA": data_bin}
    done = electra("inspect", *[known.get(a, a) for a in arguments], check=False)
    assert done.returncode == 1 and message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_plot_draws_and_writes_the_numbers(trained, tmp_path):
    electra("plot", trained / "train.log", "--output", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((tmp_path / "curves.csv").open()))
    assert [row["subset"] for row in rows] == ["train_inner"] * 5 + ["valid"]
    assert float(rows[0]["masked_lm_loss"]) > 5 and 0 <= float(rows[-1]["disc_auc"]) <= 1


@pytest.mark.filterwarnings("error")
def test_plot_tells_languages_apart_and_leaves_out_a_panel_without_curves(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figures = {"masked_lm_loss": 7.0, "disc_auc": 0.6, "fixed_auc": 0.5, "disc_recall": 1.0}
    records = [{"subset": each, "num_updates": 9, **figures} for each in ("en/valid", "ko/valid", "valid")]
    plot.draw(records, tmp_path / "curves.png", "")
    losses, _, areas, speed = pyplot.gcf().axes
    pyplot.close()
    assert [line.get_marker() for line in losses.lines] == ["o", "s", "^"]
    assert len(areas.lines) == 6 and not speed.get_visible() and losses.get_visible()


def test_plot_takes_logs_of_runs_that_were_killed_and_resumed(trained, tmp_path):
    whole = (trained / "train.log").read_text().splitlines()
    records = [index for index, line in enumerate(whole) if "train_inner" in line]
    # update 4 is not finished, and the resumed run begins again behind update 2
    cut = whole[records[3]][:-20]
    log = tmp_path / "train.log"
    # as behind `| tee -a`: the cut line has no end, so the first line of the resumed run stands behind it
    log.write_text(
        "\n".join([*whole[: records[3]], cut + whole[records[2]], *whole[records[2] + 1 :]]) + "\n"
    )
    electra("plot", log, "--output", tmp_path / "curves.svg")
    rows = list(csv.DictReader((tmp_path / "curves.csv").open()))
    assert [int(float(row["num_updates"])) for row in rows] == [1, 2, 3, 4, 5, 5]


def test_plot_leaves_out_what_a_resumed_run_overtook(tmp_path):
    def lines(*updates, loss):
        return [
            f'now | INFO | {subset} | {{"{prefix}loss": "{loss}", "{prefix}num_updates": "{number}"}}\n'
            for number in updates
            for subset, prefix in (("train_inner", ""), ("valid", "valid_"))
        ]

    log = tmp_path / "train.log"
    log.write_text("".join(lines(100, 200, 300, 400, loss=5) + lines(250, 300, loss=8)))
    found = [(each["num_updates"], each["loss"]) for each in plot.records_of([log])]
    assert found == [
        (number, loss) for number, loss in ((100, 5), (200, 5), (250, 8), (300, 8)) for _ in "ab"
    ]


def test_output_that_cannot_be_written_is_named(trained, tmp_path, monkeypatch):
    done = electra("plot", trained / "train.log", "--output", tmp_path / "curves.csv", check=False)
    assert done.returncode == 1 and "names no picture" in done.stderr
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        "fairseq_electra.pretraining.corpus.builtin_documents", lambda: [Document("topic", ("a text",))]
    )
    done = electra("corpus", "--output", tmp_path / "file", check=False)
    assert done.returncode == 1 and "check the path" in done.stderr and "Traceback" not in done.stderr


def test_plot_refuses_a_log_without_records(tmp_path):
    (tmp_path / "a.log").write_text("nothing here\n")
    done = electra("plot", tmp_path / "a.log", check=False)
    assert done.returncode == 1 and "--log-format json" in done.stderr


def test_user_dir_and_version_are_printed():
    assert electra("user-dir").stdout.strip() == str(USER_DIR)
    assert "fairseq_electra 0.1.0" in electra("--version").stdout


@pytest.mark.long
def test_corpus_splits_by_file_and_labels_half(tmp_path, monkeypatch):
    from fairseq_electra.pretraining import corpus
    from fairseq_electra.pretraining.corpus import builtin_documents, fingerprint, swap_examples

    documents = builtin_documents()  # seconds, here alone
    monkeypatch.setattr(corpus, "builtin_documents", lambda: documents)
    done = electra("corpus", "--output", tmp_path)
    assert fingerprint(documents) in done.stdout
    by_split = {
        split: {d.source for d in documents if d.split == split} for split in ("train", "valid", "test")
    }
    assert not by_split["train"] & by_split["test"] and not by_split["train"] & by_split["valid"]
    train_text = (tmp_path / "train.txt").read_text()
    examples = swap_examples(documents, "test")
    assert len(examples) > 800
    assert 0.45 < sum(e.swapped for e in examples) / len(examples) < 0.55
    assert not any(e.sentence + " " in train_text for e in examples if not e.swapped)
    rows = [line.split("\t") for line in (tmp_path / "test.swap.tsv").read_text().splitlines()]
    assert rows == [[str(int(e.swapped)), e.sentence] for e in examples]
