"""scripts/tables.sh runs the commands of the pages, in order, and resumes where it was stopped.

The commands that it runs are replaced here.
"""

import re
import shutil
import subprocess

import pytest

from tests.helpers.paths import ROOT

SCRIPT = ROOT / "scripts" / "tables.sh"
# records its arguments, and makes the folder that --destdir or --output gives
STUB = """#!/usr/bin/env bash
[ "$*" = user-dir ] && exec echo USER_DIR
echo "$(basename "$0") $*" >> "$CALLS"
while [ $# -gt 0 ]; do case $1 in --destdir | --output) mkdir -p "$2";; esac; shift; done
"""


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\\\n", " "))


@pytest.mark.parametrize("page", ["glue", "ner", "squad"])
def test_the_pages_have_its_commands_word_for_word(page):
    text = (ROOT / "examples" / page / "README.md").read_text(encoding="utf-8")
    text = text[
        text.index("## The table of the main page" if page == "glue" else "## Many models and seeds") :
    ]
    studies = [one_line(each) for each in re.findall(r"^fairseq-electra finetune (?:.*\\\n)*.*", text, re.M)]
    assert len(studies) == {"glue": 1, "ner": 1, "squad": 2}[page] and all(
        each in one_line(SCRIPT.read_text()) for each in studies
    )
    assert all("--seeds 5" in each and "--lr 1e-4 3e-4 1e-3 3e-3" in each for each in studies)
    if page == "glue":
        pretraining = one_line(text[text.index("OMP_NUM_THREADS=1 fairseq-train") : text.index('"${@:3}"')])
        assert pretraining in one_line(SCRIPT.read_text()) and "pretrain electra 19850" in SCRIPT.read_text()


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Run the script with commands that only write down how they were called; returns these calls."""
    for name in ("scripts", ".venv/bin", "text", "glue", "ner/wnut17", "ner/ncbi_disease", "squad"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "scripts" / "tables.sh")
    (tmp_path / "scripts" / "setup.sh").write_text("")
    for task, ending in (("wnut17", "conll"), ("ncbi_disease", "tsv")):
        for split in ("train", "dev", "test"):
            (tmp_path / "ner" / task / f"{split}.{ending}").touch()
    for name in ("fairseq-electra", "fairseq-train"):
        (tmp_path / ".venv" / "bin" / name).write_text(STUB)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))

    def run(*folders: str) -> tuple[int, list[str]]:
        (tmp_path / "calls").write_text("")
        done = subprocess.run(
            ["bash", "scripts/tables.sh", *folders], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, (tmp_path / "calls").read_text().splitlines()

    return run


def test_it_pretrains_two_nets_prepares_all_tasks_and_studies_them_and_goes_on_with_what_is_left(
    tmp_path, script
):
    folders = ("text", "glue", "ner", "squad", "out")
    status, calls = script(*folders)
    assert status == 0 and [" ".join(call.split()[:2]) for call in calls if "finetune" not in call] == [
        *(
            "fairseq-electra vocab",
            "fairseq-electra encode",
            "fairseq-train wiki-bin",
            "fairseq-train wiki-bin",
        ),
        *["fairseq-electra prepare"] * 5,
    ]
    ner = next(call for call in calls if "ncbi_disease --conll" in call)
    for option, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
        assert f"--{option} {tmp_path}/ner/ncbi_disease/{name}.tsv" in ner
    assert sum("finetune" in call for call in calls) == 4
    status, again = script(*folders)
    assert status == 0 and {*again} == {
        call for call in calls if "finetune" in call or "fairseq-train" in call
    }
    assert script(*folders[:4])[0] == 2


def test_a_step_that_was_killed_is_done_again(tmp_path, script):
    """A killed command leaves its folder behind."""
    killed = STUB.replace("while [", 'all="$*"; while [') + 'case "$all" in "encode "*) kill -9 $$;; esac\n'
    electra = tmp_path / ".venv" / "bin" / "fairseq-electra"
    electra.write_text(killed)
    folders = ("text", "glue", "ner", "squad", "out")
    status, _ = script(*folders)
    assert status != 0 and (tmp_path / "out" / "wiki-bin").is_dir()
    electra.write_text(STUB)
    status, calls = script(*folders)
    assert status == 0 and not any(call.startswith("fairseq-electra vocab") for call in calls)
    assert sum("encode" in call for call in calls) == 1


def test_it_ends_where_one_of_the_two_nets_fails(tmp_path, script):
    failing = STUB.replace("while", 'case "$*" in *"--objective mlm"*) exit 1;; esac\nwhile')
    (tmp_path / ".venv" / "bin" / "fairseq-train").write_text(failing)
    status, calls = script("text", "glue", "ner", "squad", "out")
    assert status != 0 and not any("finetune" in call for call in calls)
