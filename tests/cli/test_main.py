"""Commands, and what fairseq's options name, are found by walking their folders."""

import importlib
import sys

import pytest
from fairseq.registry import REGISTRIES

from fairseq_electra import COMPONENTS
from fairseq_electra.cli import FOLDER, commands, main, summary_of
from tests.helpers.commands import electra_here


def test_commands_are_the_modules_of_the_folder(tmp_path):
    for name in ("__init__", "_helper", "tell", "user_dir", "import_"):
        (tmp_path / f"{name}.py").write_text('"""Tell 5 % of it. More.\n\nAnd more."""\n')
    found = commands(tmp_path)
    assert [*found] == ["import", "tell", "user-dir"] and summary_of(found["tell"]) == "Tell 5 % of it"
    assert {"vocab", "encode", "import", "user-dir"} < {*commands()} and not any(
        "_" in name for name in commands()
    )


@pytest.mark.parametrize(("name", "file"), commands().items())
def test_each_command_has_a_line_in_the_help_and_what_main_calls(name, file):
    assert 20 < len(summary_of(file)) <= 115 and summary_of(file)[0].isupper(), name
    text = file.read_text(encoding="utf-8")
    assert "\ndef run_with(" in text or ("\ndef add_arguments(" in text and "\ndef run(" in text)


def test_main_prints_help_with_a_per_cent_sign(tmp_path, monkeypatch, capsys):
    (tmp_path / "tell.py").write_text('"""Tell 5 % of it."""\n')
    monkeypatch.setattr("fairseq_electra.cli.commands", lambda: commands(tmp_path))
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "Tell 5 % of it" in capsys.readouterr().out


@pytest.mark.parametrize("folder", COMPONENTS)
def test_register_imports_every_module_of_a_folder_of_components(folder):
    names = {path.stem for path in (FOLDER.parent / folder).glob("*.py") if not path.stem.startswith("_")}
    assert names and all(f"fairseq_electra.{folder}.{name}" in sys.modules for name in names)
    wordpiece = importlib.import_module("fairseq_electra.tasks.electra_wordpiece").ElectraWordPiece
    assert REGISTRIES["bpe"]["registry"]["electra_wordpiece"] is wordpiece


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["finetune", "--data", "a", "--data", "b"], "--data is given twice; name all its values behind one"),
        (["finetune", "--seeds", "5", "--seeds", "5"], "--seeds is given twice; leave out all but one"),
        (["prepare", "--train", "a.tsv", "--valid", "b.tsv", "--train", "c.tsv"], "--train is given twice"),
    ],
)
def test_an_option_that_would_replace_itself_is_refused(given, said):
    status, _, error = electra_here(*given)
    assert status == 1 and said in error and len(error.splitlines()) == 1, error


def test_an_option_that_is_made_to_be_repeated_may_be(tmp_path):
    nets = ["--net", f"a={tmp_path}", "--net", "b=absent.pt"]
    status, _, error = electra_here("finetune", "--data", tmp_path, *nets, "--output", tmp_path / "out")
    assert status == 1 and "absent.pt" in error


def test_a_vocabulary_and_encoded_text_are_not_replaced(tmp_path, vocabulary):
    """A run may be reading them, and checkpoints may have these ids."""
    text = tmp_path / "text.txt"
    text.write_text("Some words of a text.\n" * 20)
    before = (vocabulary / "tokenizer.json").read_bytes()
    status, _, error = electra_here("vocab", "--size", 100, "--output", vocabulary, text)
    assert status == 1 and f"{vocabulary} holds a vocabulary already" in error
    assert (vocabulary / "tokenizer.json").read_bytes() == before
    given = ["encode", "--vocab", vocabulary, "--destdir", tmp_path / "bin"]
    assert electra_here(*given, "--trainpref", text)[0] == 0
    status, _, error = electra_here(*given, "--validpref", text, "--trainpref", text)
    assert status == 1 and f"{tmp_path / 'bin'} holds train already" in error
    assert not (tmp_path / "bin" / "valid.idx").exists()
    assert electra_here(*given, "--validpref", text)[0] == 0
