"""fairseq-electra probe: the table, the file of results, and what is refused."""

import argparse
import hashlib
import json
from pathlib import Path

import pytest

from fairseq_electra.cli.probe import add_arguments
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.probes.blimp import probe
from fairseq_electra.probes.pairs import FIELDS, Pair, read_pairs
from fairseq_electra.probes.results import table, ties_in_words
from fairseq_electra.probes.sentence_scores import SCORES
from tests.helpers.commands import electra

PAIRS = [
    Pair("b", "syntax", "The name of a class is short.", "The name of a classes is short."),
    Pair("b", "syntax", "An object has a value.", "An object have a value."),
    Pair("b", "syntax", "A list is returned.", "A list are returned."),
    Pair("a", "binding", "A function calls itself.", "A function calls themselves."),
    Pair("a", "binding", "A module imports itself.", "a MODULE imports itself."),
]


@pytest.fixture
def blimp(tmp_path):
    path = tmp_path / "blimp.jsonl"
    path.write_text("".join(f"{json.dumps(dict(zip(FIELDS, pair, strict=True)))}\n" for pair in PAIRS))
    return path


def test_probe_prints_the_table_and_writes_every_paradigm(checkpoint, blimp, tmp_path):
    output = tmp_path / "new" / "blimp.json"
    done = electra("probe", checkpoint.parent, blimp, "--pairs", "2", "--output", output)
    found = json.loads(output.read_text())
    assert done.stdout == f"{table(found)}\n\n{ties_in_words(found)}\nresults: {output}\n" and not done.stderr
    best = checkpoint.with_name("checkpoint_best.pt")
    used = best if best.is_file() else checkpoint
    assert found["net"]["sha256"] == hashlib.sha256(used.read_bytes()).hexdigest()
    assert found["net"]["updates"] == 3 and found["net"]["objective"] == "electra"
    assert found["data"]["pairs"] == 4 and found["data"]["same_tokens"] == 1
    expected = probe(ElectraHubInterface(load_checkpoint(used)), read_pairs(blimp, 2))
    for paradigm, written in zip(expected, found["paradigms"], strict=True):
        assert written["UID"] == paradigm.name and written["pairs"] == 2
        assert written["accuracy"] == {score: paradigm.accuracy(score) for score in paradigm.points}
    alone = electra("probe", checkpoint, blimp, "--scores", "discriminator").stdout
    assert alone.startswith("| accuracy, % | paradigms | discriminator |") and "5 pairs, 1 of them" in alone


def test_probe_says_that_the_vocabulary_does_not_know_the_sentences(checkpoint, tmp_path):
    pair = Pair("b", "syntax", "이름은 짧다", "이름은 짧은다")
    path = tmp_path / "korean.jsonl"
    path.write_text(json.dumps(dict(zip(FIELDS, pair, strict=True))) + "\n")
    done = electra("probe", checkpoint, path)
    assert (
        done.stderr.startswith(f"WARNING: {path}: 100.00% of the ids are <unk>")
        and done.stderr.count("\n") == 1
    )
    assert "1 pairs, 1 of them with the same tokens" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pairs", "0"], "--pairs must be 1 or more, got 0"),
        (["--output", "."], "--output . is a folder; name a file"),
        (["--vocab", "absent"], "no such folder of a vocabulary: absent"),
    ],
)
def test_probe_refuses_options_before_it_loads_anything(tmp_path, blimp, options, said):
    done = electra("probe", tmp_path, blimp, *options, check=False)
    assert done.returncode == 1 and f"fairseq-electra probe: {said}" in done.stderr


def test_probe_does_not_write_over_what_it_reads(tmp_path, blimp):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_bytes(Path(blimp).read_bytes())
    done = electra("probe", tmp_path, pairs, "--output", pairs, check=False)
    assert done.returncode == 1 and "is a file that is read; name another" in done.stderr
    assert pairs.read_bytes() == Path(blimp).read_bytes()


def test_probe_offers_every_score():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (scores,) = (action for action in parser._actions if action.dest == "scores")
    assert scores.choices == list(SCORES)


def test_probe_refuses_bad_pairs_and_writes_nothing(tmp_path, checkpoint):
    path, output = tmp_path / "blimp.jsonl", tmp_path / "blimp.json"
    path.write_text('{"UID": "a"}\n')
    done = electra("probe", checkpoint, path, "--output", output, check=False)
    assert done.returncode == 1 and f"{path}, line 1: no 'linguistics_term'" in done.stderr
    assert not output.exists() and not done.stdout
    done = electra("probe", checkpoint, tmp_path / "absent", check=False)
    assert done.returncode == 1 and "no such file of pairs" in done.stderr
