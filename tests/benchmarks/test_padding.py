"""The comparison of fine-tuning with and without padding."""

import argparse

from benchmark import padding
from fairseq_electra.pretraining.wordpiece import PAD_ID
from tests.helpers.commands import electra


def test_batches_are_as_long_as_a_tasks_rows(tmp_path, vocabulary, corpus_lines):
    lines = [line for line in corpus_lines if line][:80]
    rows = [f"{' '.join(line.split()[: 3 + i % 2 * 30])}\t{i % 3 % 2}" for i, line in enumerate(lines)]
    (tmp_path / "train.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    files = [each for split in ("--train", "--valid") for each in (split, tmp_path / "train.tsv")]
    columns = ["--text", "text", "--label", "label"]
    electra("prepare", "--vocab", vocabulary, "--destdir", tmp_path / "task", *columns, *files)

    made = padding.batches(tmp_path / "task", rows=8, number=2)
    assert [len(each) for each in made] == [8, 8]
    lengths = [(each != PAD_ID).sum(1) for each in made]
    assert all(each.shape[1] == length.max() for each, length in zip(made, lengths, strict=True))
    found = padding.compare(
        tmp_path / "task", argparse.Namespace(size="tiny", rows=8, rounds=1, autocast="none")
    )
    assert 0 < found["filled"] < 1 and found["task"] == "task"
    report = {
        "machine": {"processor": "a processor", "torch": "2.13"},
        **{"size": "tiny", "rows": 8, "autocast": "none"},
        "found": [found],
    }
    assert f"| task | {found['filled']:.0%} | " in padding.markdown(report)
