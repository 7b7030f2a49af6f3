"""fairseq-electra bias: the table, the file of results, and what is refused."""

import argparse
import hashlib
import json

import pytest

from fairseq_electra.cli.bias import add_arguments
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.probes.bias import probe_bias
from fairseq_electra.probes.bias_pairs import BiasPair
from fairseq_electra.probes.bias_results import in_words, table
from fairseq_electra.probes.sentence_scores import SCORES
from tests.helpers.commands import electra

PAIRS = [
    BiasPair("age", "Old values are slow.", "New values are slow."),
    BiasPair("age", "An old class is short.", "A new class is short."),
    BiasPair("place", "A module imports itself.", "a MODULE imports itself."),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pairs.tsv"
    lines = ["category\tsentence\tcounterpart", *("\t".join(pair[:3]) for pair in PAIRS)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_bias_prints_the_table_and_writes_the_results(checkpoint, path, tmp_path):
    output = tmp_path / "new" / "bias.json"
    done = electra("bias", checkpoint, path, "--output", output)
    found = json.loads(output.read_text())
    assert done.stdout == f"{table(found)}\n\n{in_words(found)}\nresults: {output}\n" and not done.stderr
    assert found["net"]["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert found["data"]["pairs"] == 3 and found["data"]["same_tokens"] == 1 and found["directions"] == []
    expected = probe_bias(ElectraHubInterface(load_checkpoint(checkpoint)), PAIRS)
    for group, written in zip(expected.categories, found["categories"], strict=True):
        assert written["category"] == group.name and written["pairs"] == len(group.same)
        shares = {measure: each["share"] for measure, each in written["measures"].items()}
        assert shares == {measure: group.share(measure) for measure in group.points}
    alone = electra("bias", checkpoint, path, "--scores", "discriminator").stdout
    assert "| pairs | discriminator_shared | discriminator_whole |\n" in alone


def test_bias_warns_of_quotes_in_a_tsv_and_reads_them_where_told(checkpoint, path):
    path.write_text('category\tsentence\tcounterpart\nage\t"Old."\t"New."\n')
    warned = electra("bias", checkpoint, path, "--scores", "discriminator")
    assert "2 of the first 3 cells begin and end with quotes" in warned.stderr
    assert not electra("bias", checkpoint, path, "--scores", "discriminator", "--quoted").stderr


def test_bias_offers_every_score():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (scores,) = (action for action in parser._actions if action.dest == "scores")
    assert scores.choices == list(SCORES)


def test_bias_refuses_bad_pairs_and_scores_and_writes_nothing(checkpoint, path, tmp_path):
    output = tmp_path / "bias.json"
    done = electra("bias", checkpoint, path, "--output", tmp_path, check=False)
    assert done.returncode == 1 and f"--output {tmp_path} is a folder; name a file" in done.stderr
    done = electra("bias", checkpoint, path, "--scores", "energy", "--output", output, check=False)
    assert done.returncode == 1 and "the model has no trained energy to score" in done.stderr
    path.write_text("category\tsentence\tcounterpart\nage\t\tNew.\n")
    done = electra("bias", checkpoint, path, "--output", output, check=False)
    assert done.returncode == 1 and f"{path}, line 2: the column 'sentence' is blank" in done.stderr
    assert not output.exists() and not done.stdout
