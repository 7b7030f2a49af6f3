"""Preparing a task by a call and by the command."""

import argparse

from fairseq_electra import cli
from fairseq_electra.cli.prepare import add_arguments
from fairseq_electra.finetuning.info import read_task_info
from fairseq_electra.finetuning.prepare import SOURCES, options_of, prepare

ROWS = "sentence\tclass\na b c\tyes\nd e\tno\n"


def test_prepare_writes_what_the_command_writes_and_returns_what_the_task_is(tmp_path, vocabulary, capsys):
    (tmp_path / "a.tsv").write_text(ROWS)
    given = [
        *["--text", "sentence", "--label", "class", "--train"],
        str(tmp_path / "a.tsv"),
        "--valid",
        str(tmp_path / "a.tsv"),
    ]
    assert (
        cli.main(["prepare", "--vocab", str(vocabulary), "--destdir", str(tmp_path / "one" / "task"), *given])
        == 0
    )
    said, lines = capsys.readouterr().out, []
    options = {
        "text": ["sentence"],
        "label": "class",
        "train": tmp_path / "a.tsv",
        "valid": tmp_path / "a.tsv",
    }
    info = prepare("text", tmp_path / "two" / "task", vocabulary, **options, say=lines.append)
    assert info == read_task_info(tmp_path / "one" / "task") and lines == [
        said.replace("/one/", "/two/").rstrip("\n")
    ]
    folders = [tmp_path / name / "task" for name in ("one", "two")]
    files = [
        sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) for folder in folders
    ]
    assert files[0] == files[1] and len(files[0]) > 6
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in files[0])


def test_every_option_of_the_command_is_one_of_a_source_and_the_other_way_round():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    of_command = {action.dest for action in parser._actions} - {"help", "vocab", "destdir"} - set(SOURCES)
    of_sources = {name for source in SOURCES for name in options_of(source)} - {"say"} - set(SOURCES)
    assert of_command == of_sources
