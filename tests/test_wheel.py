"""Installed with pip from a wheel, and used from an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.small_model import NET, TINY_NET

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The bin folder of an environment with the wheel installed, beside this environment's other packages."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    source = shutil.copytree(
        ROOT, folder / "source", ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "__pycache__")
    )
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("fairseq_electra-*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    # as a plain entry, whose own .pth files (this checkout's) are not read
    (found,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (found / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "venv" / "bin"


def run(installed, folder, *command, check=True):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [installed / command[0], *map(str, command[1:])],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def fairseq(installed, folder, tool, *arguments, **kwargs):
    return run(installed, folder, "python", "-m", f"fairseq_cli.{tool}", *arguments, **kwargs)


def test_preprocess_train_validate_and_hydra_train_from_an_empty_folder(
    tmp_path, installed, vocabulary, corpus_lines
):
    (tmp_path / "train.txt").write_text("\n".join(corpus_lines[:120]))
    user_dir = run(installed, tmp_path, "fairseq-electra", "user-dir").stdout.strip()
    assert Path(user_dir).is_relative_to(installed.parent)
    with (tmp_path / "train.txt").open() as text, (tmp_path / "train.pieces").open("w") as pieces:
        encode = [installed / "fairseq-electra", "encode", "--vocab", vocabulary]
        subprocess.run(encode, stdin=text, stdout=pieces, check=True, cwd=tmp_path)
    task = ["--user-dir", user_dir, "--task", "electra_pretraining"]
    prefixes = ["--trainpref", "train.pieces", "--validpref", "train.pieces", "--destdir", "data-bin"]
    fairseq(
        installed,
        tmp_path,
        "preprocess",
        *task,
        "--only-source",
        "--srcdict",
        vocabulary / "dict.txt",
        *prefixes,
    )
    shape = ["--tokens-per-sample", 64, "--batch-size", 8, "--max-update", 2, "--cpu", "--lr", "1e-3"]
    names = (
        "--arch electra_tiny --criterion replaced_token_detection --optimizer electra_adam --lr-scheduler"
        " fixed".split()
    )
    trained = fairseq(installed, tmp_path, "train", "data-bin", *task, *names, *shape, *TINY_NET)
    assert "Saved checkpoint" in trained.stdout + trained.stderr
    checked = fairseq(
        installed,
        tmp_path,
        "validate",
        "data-bin",
        *task,
        *["--path", "checkpoints/checkpoint_last.pt", "--batch-size", 8, "--cpu"],
    )
    assert "disc_auc" in checked.stdout + checked.stderr
    changes = [f"++model.{name}={size}" for name, size in NET.items()]
    changes += [
        f"common.user_dir={user_dir}",
        "common.cpu=true",
        "optimization.max_update=2",
        "checkpoint.save_dir=hydra",
    ]
    config = ["--config-dir", f"{user_dir}/config/pretraining", "--config-name", "electra_tiny"]
    fairseq(installed, tmp_path, "hydra_train", *config, *changes)
    assert (tmp_path / "hydra" / "checkpoint_last.pt").is_file()


def test_a_checkout_beside_an_installed_copy_is_one_sentence(tmp_path, installed, data_bin):
    shutil.copytree(ROOT / "fairseq_electra", tmp_path / "fairseq_electra")
    names = (
        "--arch electra_tiny --criterion replaced_token_detection"
        " --optimizer electra_adam --lr 1e-3 --cpu".split()
    )
    task = ["--user-dir", "fairseq_electra", "--task", "electra_pretraining"]
    done = fairseq(installed, tmp_path, "train", data_bin, *task, *names, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(
        r"error: two copies of fairseq_electra: .* in use, and .*--user-dir", done.stderr.splitlines()[-1]
    )
