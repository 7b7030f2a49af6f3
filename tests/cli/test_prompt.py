"""fairseq-electra prompt: the table, the file of results, and what is refused."""

import argparse
import json

import pytest

from fairseq_electra.cli.prompt import add_arguments
from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.probes import prompt_results
from fairseq_electra.probes.few_shot import FewShot
from fairseq_electra.probes.prompt_results import in_words, table
from fairseq_electra.probes.prompt_scores import PROMPT_SCORES
from fairseq_electra.probes.prompting import prompt
from tests.helpers.commands import electra

TEMPLATE = 'template: "{text} It is {label}."\nverbalizers: {short: "a name", long: value}\n'
LINES = "".join(f"A name {'of a class ' * (i % 2)}{i}\t{('short', 'long')[i % 2]}\n" for i in range(12))


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(prompt_results, "SAMPLES", 20)


@pytest.fixture(scope="module")
def task(tmp_path_factory, vocabulary):
    folder = tmp_path_factory.mktemp("task")
    (folder / "train.tsv").write_text(f"text\tlabel\n{LINES}")
    (folder / "test.tsv").write_text("text\nA name\n")
    electra(
        *["prepare", "--vocab", vocabulary, "--destdir", folder / "lengths", "--text", "text"],
        *["--label", "label", "--train", folder / "train.tsv", "--valid", folder / "train.tsv"],
        *["--test", folder / "test.tsv"],
    )
    return folder / "lengths"


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return path


def test_prompt_prints_the_table_and_writes_every_run(checkpoint, task, template, tmp_path):
    output = tmp_path / "new" / "prompt.json"
    few_shot = ["--shots", "2", "--seeds", "2", "--updates", "3", "--lr", "1e-3", "1e-2"]
    done = electra("prompt", checkpoint, task, "--template", template, *few_shot, "--output", output)
    found = json.loads(output.read_text())
    assert done.stdout == f"{table(found)}\n\n{in_words(found)}\nresults: {output}\n" and not done.stderr
    settings = FewShot(2, (1, 2), (1e-3, 1e-2), 3)
    expected = prompt(
        ElectraHubInterface(load_checkpoint(checkpoint)), task, template, "valid", None, settings
    )
    assert list(found["zero_shot"]) == list(expected.zero_shot) == ["generator", "discriminator"]
    for score, scores in expected.zero_shot.items():
        right = 100 * (scores.argmax(1) == expected.target).mean()
        assert found["zero_shot"][score]["metrics"]["accuracy"]["value"] == pytest.approx(right)
    for score, runs in expected.runs.items():
        written = found["few_shot"]["scores"][score]["runs"]
        assert [run["lr"] for run in written] == [run.lr for run in runs]
        rights = [100 * (run.scores.argmax(1) == expected.target).mean() for run in runs]
        assert [run["metrics"]["accuracy"] for run in written] == pytest.approx(rights)
    alone = electra("prompt", checkpoint, task, "--template", template, "--scores", "discriminator").stdout
    assert "discriminator, zero-shot" in alone and "generator" not in alone and "per label" not in alone


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shots", "0"], "--shots must be 1 or more, got 0"),
        (["--seeds", "0"], "--seeds must be 1 or more, got 0"),
        (["--updates", "-1"], "--updates must be 1 or more, got -1"),
        (["--lr", "1e-4", "0"], "--lr must lie between 0 and 1, got 0"),
        (["--lr", "1e-4", "1e-4"], "--lr 0.0001 is given twice"),
        (["--lr", "nan"], "--lr must lie between 0 and 1, got nan"),
        (["--seeds", "3"], "--seeds is for --shots, the fine-tuning on a few examples; add it"),
        (["--updates", "7"], "--updates is for --shots"),
        (["--lr", "1e-3", "1e-2"], "--lr is for --shots"),
        (["--shots", "2", "--split", "train"], "--shots draws its examples from train"),
        (["--output", "."], "--output . is a folder; name a file, such as ./prompt.json"),
        (["--vocab", "absent"], "no such folder of a vocabulary: absent"),
        (["--template", "absent"], "no such template: absent"),
    ],
)
def test_prompt_refuses_options_before_it_loads_anything(tmp_path, task, options, said):
    done = electra("prompt", tmp_path, task, *options, check=False)
    assert done.returncode == 1 and f"fairseq-electra prompt: {said}" in done.stderr


def test_prompt_refuses_tasks_that_it_cannot_score_and_writes_nothing(checkpoint, task, template, tmp_path):
    output = tmp_path / "prompt.json"

    def said(*options) -> str:
        done = electra("prompt", checkpoint, task, *options, "--output", output, check=False)
        assert done.returncode == 1 and not done.stdout and not output.exists()
        return done.stderr

    assert "there is no template for the task 'lengths', only for CoLA" in said()
    given = ["--template", template]
    assert "has no split 'dev'; it has train, valid, test" in said(*given, "--split", "dev")
    assert "the split 'test' of" in said(*given, "--split", "test")
    assert "8 examples of each label were asked for, and train has 6" in said(*given, "--shots", "8")
    assert "shorten it" in said("--template", _long(tmp_path))


def _long(folder):
    path = folder / "long.yaml"
    path.write_text(TEMPLATE.replace("It is", "It is " * 200))
    return path


def test_prompt_refuses_a_task_of_another_vocabulary(checkpoint, task, template, tmp_path, corpus_lines):
    from fairseq_electra.pretraining.wordpiece import save_vocabulary, train_wordpiece

    save_vocabulary(train_wordpiece(corpus_lines[:50], 300), tmp_path / "vocab")
    (tmp_path / "train.tsv").write_text(f"text\tlabel\n{LINES}")
    files = ["--train", tmp_path / "train.tsv", "--valid", tmp_path / "train.tsv"]
    electra(
        *["prepare", "--vocab", tmp_path / "vocab", "--destdir", tmp_path / "other", "--text", "text"],
        *["--label", "label", *files],
    )
    done = electra("prompt", checkpoint, tmp_path / "other", "--template", template, check=False)
    assert done.returncode == 1 and "was prepared with another vocabulary than the model's" in done.stderr


def test_prompt_offers_every_score():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (scores,) = (action for action in parser._actions if action.dest == "scores")
    assert scores.choices == list(PROMPT_SCORES)


def test_prompt_refuses_energies(pretrained, task, template):
    with pytest.raises(InputError, match="a model trained with --objective electric gives energies"):
        prompt(ElectraHubInterface(pretrained(objective="electric")), task, template)
