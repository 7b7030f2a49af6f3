"""What the project says of itself in several files agrees."""

import re
import tomllib

import fairseq_electra
from tests.helpers.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_has_one_place_and_citation_follows():
    assert "version" in PYPROJECT["project"]["dynamic"] and "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "fairseq_electra.__version__"}
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)", citation, re.M) == [fairseq_electra.__version__]
    assert f"## {fairseq_electra.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_ci_tries_the_versions_of_python_that_are_named():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tried = set(re.findall(r'"(3\.\d+)"', workflow))
    named = {
        kind.rpartition(" ")[2]
        for kind in PYPROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", kind)
    }
    assert tried == named


def test_one_of_the_versions_of_transformers_that_ci_tries_is_the_constraint():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    constraints = (ROOT / "scripts" / "constraints.txt").read_text(encoding="utf-8")
    for package in ("transformers", "tokenizers"):
        (constrained,) = re.findall(rf"^{package}==(.*)", constraints, re.M)
        tried = re.findall(rf'{package}: \[?"(.*?)"', workflow)
        assert constrained in tried and len(set(tried)) == 2


def test_readme_is_short_and_names_the_folder_by_the_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 135 and "--user-dir fairseq_electra" not in readme
