"""fairseq-electra generate: what it writes, and what it refuses."""

import json
from types import SimpleNamespace

import pytest

from fairseq_electra.cli.generate import _scores
from fairseq_electra.generation.generate import Generated
from fairseq_electra.pretraining.pieces import BytePieces
from tests.helpers.commands import electra


def refusal(*arguments, **kwargs) -> str:
    done = electra("generate", *arguments, check=False, **kwargs)
    assert done.returncode == 1 and not done.stdout and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_generate_writes_a_text_per_line_and_the_same_for_a_seed(checkpoint, tmp_path):
    command = ["generate", checkpoint, "--samples", "3", "--length", "4:9", "--steps", "3"]
    done = electra(*command)
    assert len(done.stdout.splitlines()) == 3 and not done.stderr
    output = tmp_path / "new" / "texts.txt"
    assert electra(*command, "--output", output, "--batch-size", "1").stdout == f"3 texts: {output}\n"
    assert output.read_text() == done.stdout
    assert electra(*command, "--seed", "2").stdout != done.stdout


def test_generate_writes_tokens_and_scores_as_json(checkpoint, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("The name\nA <mask*3> is\n")
    command = ["generate", checkpoint, "--input", prompts, "--samples", "2", "--length", "5", "--steps", "3"]
    answers = [json.loads(line) for line in electra(*command, "--json", "--critic").stdout.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["The name"] * 2 + ["A <mask*3> is"] * 2
    for answer in answers:
        tokens = answer["tokens"]
        assert sum(token["generated"] for token in tokens) == (3 if "<" in answer["prompt"] else 5)
        assert all(("logprob" in token) == token["generated"] for token in tokens)
        mean = sum(token["logprob_original"] for token in tokens) / len(tokens)
        assert answer["score"] == pytest.approx(mean)
    plain = electra(*command, "--critic").stdout.splitlines()
    assert plain == [answer["text"] for answer in answers]
    assert all(text.startswith("the name") for text in plain[:2])
    other = electra(*command, "--critic", "--critic-from", checkpoint.parent).stdout.splitlines()
    assert other == plain
    without = json.loads(electra(*command, "--json").stdout.splitlines()[0])
    assert "score" not in without and "logprob_original" not in without["tokens"][0]


def test_generate_writes_byte_pieces_as_their_text():
    model = SimpleNamespace(symbols=["\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}quick"], pieces=BytePieces())
    (token,) = _scores(Generated((0,), (False,), (0.0,)), model)["tokens"]
    assert token == {"id": 0, "token": " quick", "generated": False}


def test_generate_says_what_the_vocabulary_does_not_know(checkpoint):
    done = electra("generate", checkpoint, "--prompt", "a \N{SNOWMAN}", "--length", "2")
    assert "WARNING: the prompts: " in done.stderr


def test_generate_refuses_a_length_that_no_prompt_needs(checkpoint):
    done = electra("generate", checkpoint, "--prompt", "a <mask*2> b", "--length", "2", check=False)
    assert done.returncode == 1 and "--length is of prompts without <mask>" in done.stderr
    assert electra("generate", checkpoint, "--prompt", "a <mask*2> b").stdout


def test_generate_refuses_bad_options_before_it_loads_the_model(tmp_path):
    """There is no such checkpoint."""
    for arguments, message in (
        (["--steps", "0"], "--steps must be 1 or more, got 0"),
        (["--length", "0"], "--length 0 is no length"),
        (["--length", "9:5"], "--length 9:5 is no length"),
        (["--length", "many"], "--length many is no length"),
        (["--samples", "0"], "--samples must be 1 or more"),
        (["--batch-size", "0"], "--batch-size must be 1 or more"),
        (["--critic-from", "other"], "--critic-from is for --critic and --candidates"),
        (["--output", tmp_path], "is a folder; name a file"),
        ([], "no such checkpoint: nowhere"),
    ):
        assert message in refusal("nowhere", *arguments)


def test_generate_refuses_bad_prompts_and_writes_nothing(checkpoint, tmp_path):
    output, prompts = tmp_path / "texts.txt", tmp_path / "prompts.txt"
    for text, message in (
        ("a name\na [MASK]\n", "line 2: '[MASK]' is no symbol for a gap"),
        ("name " * 600, "line 1: 600 given tokens and 5 to generate are more than"),
        ("a\n\nb\n", "line 2 is blank; give a prompt in each line"),
        ("", "is empty; give a prompt per line"),
    ):
        prompts.write_text(text)
        assert message in refusal(checkpoint, "--input", prompts, "--length", "5", "--output", output)
    for name in ("prompts.tsv", "prompts.jsonl"):
        prompts = prompts.rename(tmp_path / name)
        assert f"{name} is a table" in refusal(checkpoint, "--input", prompts, "--output", output)
    said = refusal(checkpoint, "--generator", tmp_path, "--prompt", "a")
    assert "is for a folder of transformers, and" in said and "leave it out" in said
    assert not output.exists()
