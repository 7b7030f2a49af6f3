"""What stands behind the scores of a study."""

import subprocess

from fairseq_electra.finetuning.results import commit_of


def git(folder, *words):
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *named, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_commit_of_names_only_the_packages_own_checkout(tmp_path):
    """Not that of a repository in which it was installed into a virtual environment."""
    own, installed = tmp_path / "fairseq_electra", tmp_path / ".venv" / "site-packages" / "fairseq_electra"
    for folder in (own, installed):
        folder.mkdir(parents=True)
        assert commit_of(folder) == ""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    assert (
        commit_of(own) == git(tmp_path, "rev-parse", "--short", "HEAD") != "" and commit_of(installed) == ""
    )
