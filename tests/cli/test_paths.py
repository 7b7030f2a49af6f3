"""A command answers a mistake in a path, and --help, before it imports PyTorch or fairseq."""

import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_electra.cli.finetune import checkpoint_of
from fairseq_electra.cli.train import with_user_dir
from fairseq_electra.errors import InputError
from fairseq_electra.paths import DATA, require, require_training_paths
from tests.helpers.paths import ROOT, USER_DIR

WRONG = [
    ["predict", "absent"],
    ["predict", ".", "--input", "absent"],
    ["predict", ".", "--gold", "absent"],
    ["inspect", "absent", "."],
    ["corrupt", ".", "absent"],
    ["bias", "absent", "."],
    ["bias", ".", "absent"],
    ["prompt", "absent", "."],
    ["prompt", ".", "absent"],
    ["export", "--to", "transformers", "absent", "out"],
    ["export", "--to", "transformers", ".", "out", "--bias", "absent"],
    ["import", "absent", "out/checkpoint.pt"],
    ["average", ".", "absent", "--output", "average.pt"],
    ["finetune", "--data", "absent", "--net", "a=scratch:tiny", "--output", "out"],
    ["finetune", "--data", ".", "--net", "a=generator:absent", "--output", "out"],
    ["encode", "--vocab", "absent", "--destdir", "out", "--trainpref", "text"],
    ["encode", "--vocab", ".", "--destdir", "out", "--trainpref", "text", "--validpref", "absent"],
    ["prepare", "--vocab", ".", "--destdir", "out", "--conll", "--train", "text", "--valid", "absent"],
    ["prepare", "--vocab", "absent", "--destdir", "out", "--conll", "--train", "text"],
    ["vocab", "--output", "out", "text", "absent"],
    ["report", "text", "absent"],
    ["report", "--vocab", "absent", "text"],
    ["plot", "absent"],
    ["speedrun", "--minutes", "1", "absent"],
    ["submit", "absent", "--net", "a", "--output", "out"],
    ["train", "absent", "--task", "electra_pretraining"],
    ["train", ".:absent"],
    ["train", ".", "--finetune-from-model=absent"],
    ["launch", "-n", "1", "--", "fairseq-train", "absent"],
]
CODE = f"""
import sys
from fairseq_electra.cli import main
for arguments in {WRONG!r}:
    assert main(arguments) == 1, arguments
    assert not {{"torch", "fairseq", "scipy", "transformers"}} & set(sys.modules), arguments
try:
    main(["--help"])
except SystemExit:
    pass
assert "torch" not in sys.modules
"""


def test_a_wrong_path_is_answered_before_anything_slow_is_imported(tmp_path):
    (tmp_path / "text").write_text("a\n")
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(WRONG)
    for arguments, line in zip(WRONG, said, strict=True):
        assert line.startswith(f"fairseq-electra {arguments[0]}: ") and "absent" in line
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_require_accepts_standard_input_and_none():
    require(DATA, "-", None, ".")
    with pytest.raises(InputError, match="no such data folder: absent; check the path"):
        require(DATA, ".", "absent")


def test_require_training_paths_ignores_options_of_hydra():
    require_training_paths(["task.data=absent", "--config-name", "absent"])
    require_training_paths([])


def test_checkpoint_of_a_model_from_scratch_is_none():
    assert [checkpoint_of(net) for net in ("a=b.pt", "a=generator:c.pt", "a=scratch:tiny", "a")] == [
        "b.pt",
        "c.pt",
        None,
        None,
    ]


def test_train_names_this_package_itself_wherever_it_is_called():
    ours = ["--user-dir", str(USER_DIR)]
    assert with_user_dir(["data", "--cpu"]) == ["data", "--cpu", *ours]
    assert with_user_dir(["data", "--user-dir", "fairseq_electra", "--cpu"]) == ["data", "--cpu", *ours]
    assert with_user_dir(["--user-dir=elsewhere/fairseq_electra", "data"]) == ["data", *ours]
    assert with_user_dir(["data", "--user-dir", "another"]) == ["data", "--user-dir", "another"]
    assert Path(USER_DIR).is_dir()
