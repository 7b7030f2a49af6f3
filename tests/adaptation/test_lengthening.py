"""``fairseq-electra lengthen`` from a checkpoint to one for longer rows, its restart, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from fairseq_electra.adaptation import continuation
from fairseq_electra.adaptation.long_rows import TwoLengths, longer_base, parts_of
from fairseq_electra.checkpoints import read_checkpoint
from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.rotary import rotary_angles
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange.checkpoint import state_of
from fairseq_electra.pretraining.binarized import open_binarized
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, symbols_of
from tests.helpers.commands import electra, with_options
from tests.helpers.small_model import randomize_parameters
from tests.helpers.training import assert_same_weights, weights

BEFORE, LENGTH, UPDATES = 16, 64, 2


@pytest.fixture
def texts(tmp_path, corpus_lines) -> dict[str, Path]:
    """Text in long documents, held-out text, and text in short documents."""
    lines = [line for line in corpus_lines if line]
    parts = {"long": lines[:120], "valid": lines[120:160]}
    parts["short"] = [each for line in lines[:30] for each in (" ".join(line.split()[:10]), "")]
    for name, part in parts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(part) + "\n")
    return {name: tmp_path / f"{name}.txt" for name in parts}


@pytest.fixture
def source(tmp_path, checkpoint, vocabulary):
    """Save the small model as one with rotary positions that was trained on short rows."""

    def save(name="source", **model) -> Path:
        cfg, tokenizer = read_checkpoint(checkpoint)["cfg"], load_wordpiece(vocabulary)
        cfg["model"] |= {"positions": "rotary", "rotary_base": None, **model}
        cfg["task"]["tokens_per_sample"] = BEFORE
        (tmp_path / name).mkdir()
        save_vocabulary(tokenizer, tmp_path / name)
        net = build(cfg["model"], tokenizer.get_vocab_size())
        randomize_parameters(net, std=0.3)  # so that positions matter
        state = state_of(cfg, net, symbols_of(tokenizer))
        continuation.checkpoint_utils.torch_persistent_save(state, str(tmp_path / name / "checkpoint.pt"))
        return tmp_path / name / "checkpoint.pt"

    return save


@pytest.fixture
def lengthen(texts, tmp_path, follow_here):
    """Lengthen a model; other arguments are added."""

    def run(checkpoint, output, *arguments, text="long", valid="valid", length=LENGTH, check=True):
        given = ["--output", tmp_path / output, "--valid", texts[valid]]
        given += ["--length", length, "--updates", UPDATES]
        return electra("lengthen", checkpoint, texts[text], *with_options(given, arguments), check=check)

    return run


def test_lengthen_raises_the_base_mixes_lengths_trains_and_compares(lengthen, source, tmp_path, follow_here):
    checkpoint = source()
    printed = lengthen(checkpoint, "out").stdout
    out, before, after = (
        tmp_path / "out",
        load_checkpoint(checkpoint),
        load_checkpoint(tmp_path / "out/checkpoints"),
    )
    sizes = before.model.sizes
    expected = longer_base(sizes.rotary_base, BEFORE, LENGTH, sizes.hidden_size // sizes.num_attention_heads)
    assert after.model.sizes.rotary_base == round(expected) > sizes.rotary_base
    assert after.model.generator.sizes.rotary_base == round(expected) and after.updates == UPDATES
    assert (
        read_checkpoint(out / "checkpoints/checkpoint_last.pt")["cfg"]["task"]["tokens_per_sample"] == LENGTH
    )
    assert_same_weights(weights(checkpoint.parent, "checkpoint.pt"), weights(out / "start", "checkpoint.pt"))

    train = open_binarized(out / "data-bin/train", len(after.symbols))
    ends = np.flatnonzero(np.append(train.line_sizes, 1) == 1)
    documents = [part.sum() for part in np.split(train.line_sizes, ends)]
    assert max(documents) > LENGTH and sorted(documents)[len(documents) // 2] < 4 * BEFORE

    results = json.loads((out / "results.json").read_text())
    assert results["rotary_base"] == round(expected) and results["tokens_before"] == BEFORE
    titles = ["before", "with the new base, untrained", "after"]
    assert list(results["figures"]) == titles
    for figures in results["figures"].values():
        assert list(figures) == ["rows of 16", "rows of 32", "rows of 64"]
        assert all({"disc_auc", "fixed_auc", "masked_lm_loss"} <= set(each) for each in figures.values())
    losses = [results["figures"][title]["rows of 64"]["masked_lm_loss"] for title in titles]
    assert len(set(losses)) == 3
    assert "| rows of 64 | `fixed_auc` |" in printed and "is the lengthened model" in printed
    (training,) = (call for call in follow_here if call[0] == "fairseq-train")
    assert "--pack" in training
    # nothing is left to do
    number = len(follow_here)
    assert lengthen(checkpoint, "out").stdout.endswith(printed[printed.index("| held-out") :])
    assert len(follow_here) == number


@pytest.mark.long
@pytest.mark.parametrize("task", [{}, {"rows": "blocks", "across_documents": True}])
def test_the_columns_are_of_the_same_masks_in_the_same_rows(lengthen, source, tmp_path, task):
    checkpoint = source()
    state = read_checkpoint(checkpoint)
    state["cfg"]["task"] |= task
    continuation.checkpoint_utils.torch_persistent_save(state, str(checkpoint))
    lengthen(checkpoint, "out", "--lr", 1e-12, "--rotary-base", 10000)  # the model stays as it is
    before, _, after = json.loads((tmp_path / "out/results.json").read_text())["figures"].values()
    assert list(before) == list(after)
    for rows, figures in before.items():
        assert after[rows] == pytest.approx(figures, abs=2e-3), rows


@pytest.mark.long
def test_parts_of_rows_keep_the_base_as_their_tokens_see_no_further(lengthen, source, tmp_path):
    lengthen(source(recurrence=8), "out")
    assert json.loads((tmp_path / "out/results.json").read_text())["rotary_base"] == 10000


@pytest.mark.long
def test_lengthen_resumes_exactly_after_a_kill(lengthen, source, tmp_path, monkeypatch):
    checkpoint, train = source(), continuation.train
    lengthen(checkpoint, "whole")

    def killed(arguments, *rest):
        train([*arguments, "--max-update", "1"], *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(continuation, "train", killed)
    assert lengthen(checkpoint, "twice", check=False).returncode == 130
    monkeypatch.setattr(continuation, "train", train)
    lengthen(checkpoint, "twice")
    assert_same_weights(weights(tmp_path / "whole/checkpoints"), weights(tmp_path / "twice/checkpoints"))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([], {"length": BEFORE}, "--length must lie above the 16 tokens"),
        ([], {"length": 70000}, "up to 65535, got 70000"),
        ([], {"text": "short"}, "the longest document of the text has"),
        ([], {"valid": "short"}, "the longest document of the held-out text has"),
        (["--short-share", 1], {}, "--short-share must be 0 or more and below 1, got 1"),
        (["--rotary-base", 0], {}, "--rotary-base must be above 1, got 0"),
        (["--updates", 0], {}, "--updates must be 1 or more, got 0"),
    ],
)
def test_lengthen_refuses_what_cannot_be_lengthened(lengthen, source, tmp_path, arguments, options, message):
    done = lengthen(source(), "refused", *arguments, check=False, **options)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and message in done.stderr
    assert not (tmp_path / "refused").exists()


def test_lengthen_refuses_learned_positions(lengthen, source):
    done = lengthen(source(positions="learned"), "refused", check=False)
    assert done.returncode == 1 and "has learned positions, a table of" in done.stderr


def test_the_slowest_pair_turns_as_far_in_longer_rows_and_the_fastest_as_fast():
    before = rotary_angles(128, 64, "cpu", 1e4)
    after = rotary_angles(1024 + 1, 64, "cpu", longer_base(1e4, 128, 1024, 64))
    np.testing.assert_allclose(after[8 * 127, -1], before[127, -1], atol=1e-9)
    np.testing.assert_allclose(after[:128, 0], before[:, 0])


def test_a_share_of_the_tokens_stands_in_short_parts():
    documents = [[[7] * 10] * 20] * 50  # 200 tokens each, in lines of 10
    text = TwoLengths(documents, short=25, long=200, share=0.3)
    found = list(text)
    assert sum(map(len, (line for document in found for line in document))) == text.tokens == 10_000
    assert text.short_tokens == 3000 and text.long_tokens == 7000
    assert {len(document) for document in found} == {20, 3, 2}  # the last part of a document is shorter
    assert list(TwoLengths(documents, 25, 200, 0.0)) == documents
    assert list(parts_of([[1], [2, 3], [4]], 2)) == [[[1], [2, 3]], [[4]]]


def test_a_document_of_one_line_is_cut_and_a_single_one_stays_long():
    assert list(parts_of([[*range(7)]], 3)) == [[[0, 1, 2]], [[3, 4, 5]], [[6]]]
    text = TwoLengths([[[7] * 500]], short=25, long=200, share=0.3)
    assert len(list(text)) == 1 and (text.short_tokens, text.long_tokens) == (0, 500)


@pytest.mark.long
def test_lengthen_says_that_too_few_documents_leave_no_short_parts(lengthen, source):
    printed = lengthen(source(), "out", "--print", length=1000).stdout
    assert "0% in parts of about 16, not 30%: the text has few documents" in printed


@pytest.mark.long
def test_a_model_with_recurrence_and_rows_across_documents_goes_on_without_packing(
    lengthen, source, tmp_path
):
    checkpoint = source(recurrence=8)
    state = read_checkpoint(checkpoint)
    state["cfg"]["task"] |= {"rows": "blocks", "across_documents": True}
    continuation.checkpoint_utils.torch_persistent_save(state, str(checkpoint))
    printed = lengthen(checkpoint, "out").stdout
    assert "--rows blocks" in printed and "--pack" not in printed and "--across-documents" not in printed
    assert load_checkpoint(tmp_path / "out/checkpoints").updates == UPDATES


@pytest.mark.long
def test_lengthen_without_held_out_text_holds_out_parts_that_fill_a_row(source, tmp_path, corpus_lines):
    lines = [line for line in corpus_lines if line]
    (tmp_path / "book.txt").write_text("\n".join(lines * (400_000 // sum(map(len, lines)) + 1)))
    length = 5000  # tokens; parts of 20,000 characters would be too short
    done = electra(
        *["lengthen", source(), tmp_path / "book.txt", "--output", tmp_path / "out", "--length", length],
        *["--updates", UPDATES, "--batch-size", 1, "--print"],
    )
    assert f"--tokens-per-sample {length}" in done.stdout


@pytest.mark.long
def test_a_checkpoint_that_was_replaced_is_another(lengthen, source, tmp_path):
    checkpoint = source()
    lengthen(checkpoint, "out", "--print")
    checkpoint.write_bytes(source("other", dropout=0.2).read_bytes())
    done = lengthen(checkpoint, "out", "--print", check=False)
    assert done.returncode == 1 and "SHA-256 of CHECKPOINT" in done.stderr and done.stderr.count("\n") == 1
