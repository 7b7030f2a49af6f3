"""Real runs: a healthy one is left alone, one at ten times the rate is warned of and ended.

It ends with a status of its own.
"""

import sys

import pytest
import torch

from fairseq_electra.cli import config
from tests.helpers.commands import electra_process, run
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import COMMON, read, train, train_here

RUN = [
    *TINY_NET,
    *"--warmup-updates 20 --total-num-update 600 --log-interval 50 --num-workers 0 --no-epoch-checkpoints"
    " --disable-validation".split(),
]
TOO_FAST = [
    *RUN,
    *(
        "--lr 1e-2 --bias-correction off --adam-betas (0.9,0.999) --max-update 600 --stop-when-collapsed 300"
    ).split(),
]
TOO_FAST += "--save-interval-updates 200 --save-interval 1000".split()
ENDED = "update 300: the discriminator has been at chance since update 0 (disc_auc 0.50"


@pytest.mark.long
def test_a_healthy_run_is_not_warned_of(tmp_path, data_bin):
    log = train_here(data_bin, tmp_path / "save", *RUN, "--max-update", 350, "--stop-when-collapsed", 300)
    assert log.updates == 350 and "WARNING" not in log.text
    assert " at chance " not in log.text and "since update" not in log.text


def last_update(save_dir) -> int:
    """Of the checkpoint that the same line would go on from, where the run left no other."""
    assert not (save_dir / "crash.pt").exists()
    return torch.load(save_dir / "checkpoint_last.pt", weights_only=True)["optimizer_history"][-1][
        "num_updates"
    ]


def check(text: str, save_dir) -> None:
    sentence = next(line for line in text.splitlines() if ENDED in line)
    assert "--norm scaled" in sentence and sentence.endswith(
        "; ended by --stop-when-collapsed 300, checkpoints are as they were"
    )
    assert text.count(ENDED) == 1 and "Traceback" not in text
    assert last_update(save_dir) == 200


@pytest.mark.long
def test_a_run_at_ten_times_the_rate_is_ended_and_again_when_it_is_resumed(tmp_path, data_bin):
    """The second line goes on at update 200: it counts from update 0 all the same."""
    for start in (0, 200):
        log = train(data_bin, tmp_path / "save", *TOO_FAST, check=False)
        assert log.status == 3 and log.updates == 250 and len(log.losses) == (300 - start) // 50 - 1
        check(log.text, tmp_path / "save")


@pytest.mark.long
def test_a_run_at_ten_times_the_rate_is_warned_of(tmp_path, data_bin):
    log = train(data_bin, tmp_path / "save", *TOO_FAST, "--stop-when-collapsed", 0, "--max-update", 350)
    assert log.status == 0 and log.updates == 350 and log.text.count(ENDED) == 1 and "| WARNING |" in log.text


@pytest.mark.long
def test_two_processes_end_with_the_status_and_one_sentence(tmp_path, data_bin):
    save_dir = tmp_path / "save"
    line = [
        "fairseq-train",
        str(data_bin),
        *COMMON,
        "--save-dir",
        str(save_dir),
        *TOO_FAST,
        "--batch-size",
        "4",
    ]
    done = electra_process("launch", "-n", 2, "--", *line, check=False)
    assert done.returncode == 3 and done.stderr.splitlines()[-1].startswith(
        f"fairseq-electra launch: {ENDED}"
    )
    assert last_update(save_dir) == 200
    log = read(done.stdout + done.stderr, save_dir, done.returncode)
    assert log.updates == 250 and "2 processes have joined" in log.text


@pytest.mark.long
def test_hydra_ends_with_the_status_and_one_sentence(tmp_path, data_bin):
    line = [str(data_bin), *COMMON, "--save-dir", str(tmp_path / "save"), *TOO_FAST]
    (tmp_path / "fast.yaml").write_text(config.to_yaml(line))
    hydra = [
        *[sys.executable, "-m", "fairseq_cli.hydra_train", "--config-dir", tmp_path],
        *["--config-name", "fast"],
    ]
    done = run([*hydra, f"common.user_dir={USER_DIR}"], cwd=tmp_path, check=False)
    assert done.returncode == 3
    check(done.stdout + done.stderr, tmp_path / "save")
