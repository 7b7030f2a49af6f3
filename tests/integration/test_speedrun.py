"""A speedrun from text to table, killed in the middle of pre-training and resumed."""

import json
import os
import signal
import subprocess
import sys

import pytest

import fairseq_electra
from tests.helpers.paths import ROOT

MINUTES = 2


@pytest.fixture
def command(tmp_path, corpus_lines):
    """A command line on small files."""
    (tmp_path / "text.txt").write_text("".join(f"{line}\n" for line in corpus_lines))
    (tmp_path / "GLUE" / "RTE").mkdir(parents=True)
    for split in ("train", "dev"):
        lines = "".join(
            f"{i}\tA man eats.\tA man {'eats' if i % 2 else 'sleeps'}.\t{'' if i % 2 else 'not_'}entailment\n"
            for i in range(40)
        )
        (tmp_path / "GLUE" / "RTE" / f"{split}.tsv").write_text(
            "index\tsentence1\tsentence2\tlabel\n" + lines
        )
    program = "import sys; from fairseq_electra.cli import main; sys.exit(main())"
    given = [
        "speedrun",
        "--minutes",
        str(MINUTES),
        *["text.txt", "--output", "run", "--glue", "GLUE", "--tasks", "RTE", "--seeds", "2"],
    ]
    return [sys.executable, "-c", program, *given]


def begin(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


@pytest.mark.long
def test_from_text_to_table_with_a_kill_in_the_middle(command, tmp_path):
    first = begin(command, tmp_path)
    printed, validated = [], False
    for line in first.stdout:
        printed.append(line)
        if validated and " left   " in line:  # the checkpoint is written behind the validation
            break
        validated |= "held-out text after" in line
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL, "".join(printed)
    first.stdout.close()
    second = begin(command, tmp_path)
    said, _ = second.communicate(timeout=900)
    assert second.returncode == 0, said
    assert "resuming after update" in said and "measured in" not in said, said
    run = tmp_path / "run"
    found = json.loads((run / "results.json").read_text())
    assert (
        found["size"] == "tiny"
        and found["valid"]["num_updates"] == found["updates"]
        and found["glue"]["summary"][0]["seeds"] == [1, 2]
    )
    assert found["seconds"]["pretraining"] < 2 * 60 * MINUTES
    table = said[said.index("electra_tiny, pre-trained") :]
    assert table.partition("\n\nrun holds")[0] in (run / "README.md").read_text()
    for card in (run / "model_card.md", run / "transformers" / "README.md"):
        assert "| RTE, accuracy |" in card.read_text() and "RoFormerModel" in card.read_text()
    net = fairseq_electra.from_pretrained(run / "checkpoints")
    assert 0 < net.detect_replaced(["A man eats."])[0][1] < 1
    third = begin(command, tmp_path)
    again, _ = third.communicate(timeout=120)
    assert third.returncode == 0 and again.strip() == table.strip()
