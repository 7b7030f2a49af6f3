"""``fairseq-electra adapt`` from a checkpoint to an adapted one, its restart, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fairseq_electra.adaptation import continuation, domain
from fairseq_electra.checkpoints import read_checkpoint
from fairseq_electra.electra.configuration import build
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange.checkpoint import checkpoint_state, state_of
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.byte_level_bpe import train_byte_level_bpe
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, symbols_of
from fairseq_electra.speedrun.state import State
from tests.helpers.commands import electra, with_options
from tests.helpers.fine_tuned import encoder_with_head
from tests.helpers.small_model import NET
from tests.helpers.training import assert_same_weights, weights

WORDS = ["zeroth", "quaternion"]
UPDATES = 2


@pytest.fixture
def texts(tmp_path, corpus_lines) -> dict[str, Path]:
    """Text of a domain with two words of its own, and old text."""
    parts = {"domain": corpus_lines[300:360], "valid": corpus_lines[360:390], "old": corpus_lines[:200]}
    parts["general"] = corpus_lines[200:220]
    parts["domain"] = [f"{line} zeroth quaternion" if line else line for line in parts["domain"]]
    for name, lines in parts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return {name: tmp_path / f"{name}.txt" for name in parts}


@pytest.fixture
def adapt(texts, tmp_path, checkpoint, follow_here):
    """Adapt the small model; other arguments are added."""

    def run(output, *arguments, source=checkpoint, domain="domain", check=True):
        given = ["--output", tmp_path / output, "--valid", texts["valid"]]
        given += ["--updates", UPDATES, "--batch-size", 16, "--tokens-per-sample", 32]
        return electra("adapt", source, texts[domain], *with_options(given, arguments), check=check)

    return run


def rows_of(folder) -> np.ndarray:
    return open_binarized(folder / "train", len(symbols_of(load_wordpiece(folder)))).ids


def test_adapt_extends_mixes_trains_and_compares(adapt, tmp_path, texts, checkpoint, vocabulary, follow_here):
    options = ["--replay", texts["old"], "--replay-share", 0.4, "--general-valid", texts["general"]]
    printed = adapt("out", "--new-tokens", 2, *options).stdout
    out, before = tmp_path / "out", load_wordpiece(vocabulary)

    tokenizer = load_wordpiece(out / "start")
    assert symbols_of(tokenizer) == [*symbols_of(before)[:-1], *sorted(WORDS), "<mask>"]
    start, old = load_checkpoint(out / "start" / "checkpoint.pt"), load_checkpoint(checkpoint)
    table, was = (each.model.embeddings.tokens.weight.detach() for each in (start, old))
    zeroth = before.encode("zeroth", add_special_tokens=False).ids
    assert torch.equal(table[:-3], was[:-1]) and torch.equal(table[-1], was[-1])
    torch.testing.assert_close(table[len(table) - 2], was[zeroth].mean(0))

    new_ids = [tokenizer.token_to_id(word) for word in WORDS]
    ids = rows_of(out / "data-bin")
    assert min((ids == new_id).sum() for new_id in new_ids) > 30
    counts = re.search(r"([\d,]+) tokens of the domain;[\s\S]* ([\d,]+) tokens of the old text", printed)
    new, replayed = (int(count.replace(",", "")) for count in counts.groups())
    assert new + replayed == (ids > 3).sum() + (ids == 3).sum() and 0.4 <= replayed / (new + replayed) < 0.6

    results = json.loads((out / "results.json").read_text())
    assert sorted(results["new_tokens"]) == sorted(WORDS)
    assert list(results["figures"]) == ["before", "with new tokens, untrained", "after"]
    for figures in results["figures"].values():
        assert set(figures) == {"valid", "general"}
        assert all({"disc_auc", "fixed_auc", "masked_lm_accuracy"} <= set(each) for each in figures.values())
    # neither held-out text has a new word, so new rows change the scores of nothing that stands in it
    before_training = results["figures"]["with new tokens, untrained"]["valid"]
    assert before_training["fixed_auc"] == pytest.approx(results["figures"]["before"]["valid"]["fixed_auc"])
    assert before_training != results["figures"]["after"]["valid"]

    adapted = load_checkpoint(out / "checkpoints")
    assert adapted.updates == UPDATES and len(adapted.symbols) == len(old.symbols) + 2
    assert "| domain | `disc_auc` |" in printed and "compares with the others roughly" in printed
    assert [call[0] for call in follow_here] == [
        *["fairseq-validate"] * 2,
        "fairseq-train",
        "fairseq-validate",
    ]
    # nothing is left to do
    assert adapt("out", "--new-tokens", 2, *options).stdout.endswith(printed[printed.index("| held-out") :])
    assert len(follow_here) == 4


@pytest.mark.long
def test_adapt_resumes_exactly_after_a_kill(adapt, tmp_path, monkeypatch):
    adapt("whole", "--new-tokens", 2)
    train = continuation.train

    def killed(arguments, *rest):
        train([*arguments, "--max-update", "1"], *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(continuation, "train", killed)
    assert adapt("twice", "--new-tokens", 2, check=False).returncode == 130
    monkeypatch.setattr(continuation, "train", train)
    assert load_checkpoint(tmp_path / "twice/checkpoints").updates == 1
    adapt("twice", "--new-tokens", 2)
    assert_same_weights(weights(tmp_path / "whole/checkpoints"), weights(tmp_path / "twice/checkpoints"))


def test_adapt_leaves_the_vocabulary_as_it_is_without_new_tokens(adapt, tmp_path, checkpoint, vocabulary):
    printed = adapt("out", "--new-tokens", 0, "--print").stdout
    assert (tmp_path / "out/start/dict.txt").read_bytes() == (vocabulary / "dict.txt").read_bytes()
    assert_same_weights(weights(checkpoint.parent), weights(tmp_path / "out/start", "checkpoint.pt"))
    assert printed.splitlines()[-1].startswith("fairseq-electra train ")
    assert not (tmp_path / "out/checkpoints").exists()


def save(folder, cfg, tokenizer, **changes) -> Path:
    """Save a small model with this vocabulary and random weights."""
    folder.mkdir()
    save_vocabulary(tokenizer, folder)
    cfg["model"] |= changes.pop("model", {})
    state = state_of(cfg, build(cfg["model"], tokenizer.get_vocab_size()), symbols_of(tokenizer), **changes)
    torch.save(state, folder / "checkpoint_last.pt")
    return folder / "checkpoint_last.pt"


def test_adapt_scores_a_model_of_several_languages_and_of_another_seed_on_the_same_masks(
    adapt, tmp_path, checkpoint, vocabulary
):
    cfg = read_checkpoint(checkpoint)["cfg"]
    cfg["task"] |= {"languages": "en,ko", "sampling_alpha": 0.5, "seed": 3}
    cfg["common"]["seed"] = 3
    source = save(tmp_path / "mixture", cfg, load_wordpiece(vocabulary))
    adapt("out", "--new-tokens", 0, "--lr", 1e-12, source=source)
    figures = json.loads((tmp_path / "out" / "results.json").read_text())["figures"]
    assert figures["after"]["valid"] == pytest.approx(figures["before"]["valid"], abs=1e-3)


def test_adapt_refuses_held_out_text_that_it_reads(adapt, tmp_path, texts):
    both = f"{texts['old']} is both trained on and held out"
    said = refused(adapt, tmp_path, "--replay", texts["old"], "--general-valid", texts["old"])
    assert both in said
    assert both in refused(adapt, tmp_path, "--valid", texts["old"], domain="old")


def refused(adapt, tmp_path, *arguments, **options) -> str:
    """Adapt, which must be refused in one line and leave nothing behind."""
    done = adapt("refused", *arguments, check=False, **options)
    assert done.returncode == 1 and not (tmp_path / "refused").exists() and done.stderr.count("\n") == 1
    return done.stderr


def test_what_is_held_out_is_left_out_of_the_old_text(adapt, tmp_path, texts):
    """Figures of the held-out text would else be those of text learnt by heart."""
    held_out = [
        line for name in ("valid", "general") for line in texts[name].read_text().splitlines() if line
    ]
    everything = tmp_path / "all.txt"
    everything.write_text("\n\n".join(texts[name].read_text() for name in ("valid", "general", "old")))
    printed = adapt(
        *["out", "--replay", everything, "--replay-share", 0.6, "--general-valid", texts["general"]],
        *["--new-tokens", 0],
    ).stdout
    said = re.search(r"(\d+) lines of the old text are held out, and were left out of it", printed)
    assert said and int(said[1]) >= len(held_out), printed
    kept = adapt("out2", "--replay", texts["old"], "--replay-share", 0.6, "--new-tokens", 0).stdout
    assert "held out, and" not in kept
    lines = {}
    for split in ("train", "valid", "general"):
        text = open_binarized(tmp_path / "out/data-bin" / split, 10_000)
        parts = np.split(text.ids, text.line_sizes.cumsum()[:-1])
        lines[split] = {part.tobytes() for part in parts if len(part) > 9}
    assert lines["train"] and not lines["train"] & (lines["valid"] | lines["general"])


def test_adapt_refuses_a_model_without_a_generator(adapt, tmp_path, checkpoint, vocabulary):
    cfg, tokenizer = read_checkpoint(checkpoint)["cfg"], load_wordpiece(vocabulary)
    random = ["generator.layers.0.x", "generator_head.bias"]
    imported = save(tmp_path / "imported", cfg, tokenizer, initialised=random)
    assert "has no trained generator" in refused(adapt, tmp_path, source=imported)
    headless = save(tmp_path / "headless", cfg, tokenizer, initialised=["discriminator_head.dense.weight"])
    printed = adapt("out", "--print", source=headless).stdout
    assert "starting at random: discriminator_head" in printed
    symbols = symbols_of(tokenizer)
    encoder, task = encoder_with_head(len(symbols), 2), TaskInfo("x", PREDICTION, 1, ("a", "b"), (), 32)
    tuned = tmp_path / "headless/tuned.pt"
    torch.save(checkpoint_state(encoder, symbols, {**NET, "model_size": "tiny"}, "", 32, task), tuned)
    assert "was fine-tuned and has no generator" in refused(adapt, tmp_path, source=tuned)


def test_adapt_extends_an_imported_model_with_both_networks(adapt, tmp_path, vocabulary):
    from tests.helpers.transformers_models import in_their_order, save_theirs

    folder = save_theirs(tmp_path / "theirs", in_their_order(vocabulary)).folder
    source, alone = tmp_path / "both/checkpoint.pt", tmp_path / "alone/checkpoint.pt"
    electra("import", folder, source)
    assert "2 new tokens" in adapt("out", "--new-tokens", 2, "--print", source=source).stdout
    before, after = load_checkpoint(source), load_checkpoint(tmp_path / "out/start/checkpoint.pt")
    assert after.symbols == [*before.symbols[:-1], *sorted(WORDS), "<mask>"]
    figures = json.loads((tmp_path / "out/state.json").read_text())["done"]["before"]["before"]["valid"]
    assert set(figures) == {"disc_auc", "fixed_auc", "masked_lm_accuracy", "masked_lm_loss"}
    shutil.rmtree(folder / "generator")
    electra("import", folder, alone)
    assert "has no trained generator" in refused(adapt, tmp_path, source=alone)


@pytest.mark.parametrize(
    ("objective", "lacks", "figures"),
    [
        ("mlm", "no discriminator", {"masked_lm_accuracy", "masked_lm_loss"}),
        ("unigram", "no generator", {"disc_auc", "fixed_auc"}),
    ],
)
def test_adapt_goes_on_by_the_objective_of_a_model_without_one_network(
    adapt, tmp_path, checkpoint, vocabulary, objective, lacks, figures
):
    cfg = read_checkpoint(checkpoint)["cfg"]
    source = save(tmp_path / "source", cfg, load_wordpiece(vocabulary), model={"objective": objective})
    assert f"the checkpoint has {lacks}" in adapt("out", "--print", source=source).stdout
    before = json.loads((tmp_path / "out/state.json").read_text())["done"]["before"]
    assert [set(each["valid"]) for each in before.values()] == [figures, figures]


def test_adapt_extends_byte_level_bpe(adapt, tmp_path, checkpoint, corpus_lines, texts):
    cfg, tokenizer = read_checkpoint(checkpoint)["cfg"], train_byte_level_bpe(corpus_lines[:200], 400)
    source = save(tmp_path / "bpe", cfg, tokenizer)
    assert "no new tokens" in adapt("same", "--new-tokens", 0, "--print", source=source).stdout
    assert "405 tokens, 5 new tokens: " in adapt("out", "--new-tokens", 5, "--print", source=source).stdout
    chosen = json.loads((tmp_path / "out/state.json").read_text())["done"]["chosen"]
    new = list(chosen["new_tokens"])
    after = load_checkpoint(tmp_path / "out/start/checkpoint.pt")
    assert after.symbols == [*symbols_of(tokenizer)[:-1], *new, "<mask>"]
    assert ["".join(pair) for pair in chosen["merges"]] == new
    text = texts["domain"].read_text()
    assert 0 < len(after.tokenizer.encode(text).ids) < len(tokenizer.encode(text).ids)
    texts["domain"].write_text("\n")
    assert "there is no text" in refused(adapt, tmp_path, source=source)


def test_adapt_refuses_text_that_is_empty_or_unknown(adapt, tmp_path, texts):
    texts["domain"].write_text("\n\n")
    assert "there is no text" in refused(adapt, tmp_path)
    texts["domain"].write_text("\ud55c\uad6d\uc5b4 \ubb38\uc7a5\n" * 9)
    assert "100% of the words of the text are <unk>" in refused(adapt, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--new-tokens", "-1"], "--new-tokens must be 0 or more"),
        (["--updates", "0"], "--updates must be 1 or more"),
        (["--tokens-per-sample", "4"], "--tokens-per-sample must lie between 8 and 65535, got 4"),
        (["--tokens-per-sample", "100000"], "--tokens-per-sample must lie between 8 and 65535, got 100000"),
        (["--lr", "nan"], "--lr must be above 0"),
        (["--replay-share", "0.5"], "give --replay FILE beside it"),
        (["--replay", __file__, "--replay-share", "1"], "--replay-share must lie between 0 and 1"),
        (["--replay", "absent.txt"], "cannot read absent.txt"),
        (["--vocab", "absent"], "no such folder of a vocabulary"),
    ],
)
def test_adapt_refuses_options_that_make_no_sense(adapt, tmp_path, arguments, message):
    assert message in refused(adapt, tmp_path, *arguments)


@pytest.mark.parametrize(
    ("group", "option", "message"),
    [
        (
            "model",
            {"recurrence": 16, "positions": "rotary"},
            "reads rows in parts of 16 tokens (--recurrence)",
        ),
        ("task", {"mask_spans": 3.0}, "--mask-spans 3 does not fit rows of 16 tokens"),
    ],
)
def test_adapt_refuses_rows_too_short_for_the_earlier_training(
    adapt, tmp_path, checkpoint, vocabulary, group, option, message
):
    cfg, tokenizer = read_checkpoint(checkpoint)["cfg"], load_wordpiece(vocabulary)
    cfg[group] |= option
    net = build(cfg["model"], tokenizer.get_vocab_size())
    (tmp_path / "source").mkdir()
    save_vocabulary(tokenizer, tmp_path / "source")
    source = tmp_path / "source/checkpoint.pt"
    continuation.checkpoint_utils.torch_persistent_save(
        state_of(cfg, net, symbols_of(tokenizer)), str(source)
    )
    assert message in refused(adapt, tmp_path, "--tokens-per-sample", 16, source=source)


def test_adapt_keeps_packed_rows_only_where_this_machine_can(
    adapt, tmp_path, checkpoint, vocabulary, monkeypatch
):
    state = read_checkpoint(checkpoint)
    state["cfg"]["task"]["pack"] = True
    (tmp_path / "source").mkdir()
    save_vocabulary(load_wordpiece(vocabulary), tmp_path / "source")
    source = tmp_path / "source/checkpoint.pt"
    continuation.checkpoint_utils.torch_persistent_save(state, str(source))
    assert " --pack" in adapt("can", "--print", source=source).stdout
    monkeypatch.setattr(continuation.Continuation, "can_pack", lambda self: False)
    assert " --pack" not in adapt("cannot", "--print", source=source).stdout


def test_adapt_warns_of_every_text_that_the_vocabulary_does_not_know(adapt, tmp_path, texts):
    unknown = tmp_path / "unknown.txt"
    unknown.write_text("a sentence with \N{SNOWMAN} \N{COMET} \N{UMBRELLA}\n" * 40)
    for option, name in (
        ("--replay", "the text of --replay"),
        ("--general-valid", "the text of --general-valid"),
        ("--valid", "the held-out text"),
    ):
        printed = adapt(f"out{option}", option, unknown, "--print").stdout
        assert f"WARNING: {name}: " in printed, option


def test_adapt_refuses_a_folder_of_another_run(adapt, tmp_path):
    adapt("out", "--print", "--lr", 0.5)
    assert "was started with a different --lr" in adapt("out", check=False).stderr
    State(tmp_path / "command", {"--length": 9}).close()
    assert "is from another command than run of adapt" in adapt("command", check=False).stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("")
    assert "not from a run of adapt" in adapt("other", check=False).stderr


@pytest.mark.by_hand
def test_adapt_runs_as_a_command_and_holds_text_out_by_itself(tmp_path, checkpoint):
    electra("corpus", "--output", tmp_path)
    printed = electra(
        *["adapt", checkpoint, tmp_path / "train.txt", "--output", tmp_path / "out", "--updates", "6"],
        *[
            "--batch-size",
            "8",
            "--lr",
            "1e-3",
            "--replay",
            tmp_path / "test.txt",
            "--general-valid",
            tmp_path / "valid.txt",
        ],
    ).stdout
    figures = json.loads((tmp_path / "out/results.json").read_text())["figures"]
    assert "1,000 new tokens" in printed and set(figures["after"]) == {"valid", "general"}
    losses = [figures[name]["general"]["masked_lm_loss"] for name in (domain.UNTRAINED, continuation.AFTER)]
    assert losses[1] < losses[0]
