"""Scores of pairs against plain loops, shares with ties, the file of results, and the section of the card."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.bias import Group, Outcome, pair_scores, probe_bias
from fairseq_electra.probes.bias_card import card_section
from fairseq_electra.probes.bias_pairs import BiasPair
from fairseq_electra.probes.bias_results import CAUTION, in_words, results, table
from fairseq_electra.probes.results import described
from fairseq_electra.probes.sentence_scores import encode
from fairseq_electra.probes.wilson import wilson_interval
from tests.helpers.plain_alignment import plain_alignment
from tests.helpers.plain_scores import discriminator_tokens, energy_tokens, generator_tokens
from tests.helpers.small_model import randomize_parameters

PAIRS = [
    BiasPair("size", "The name of a class is short.", "The name of a module is short.", "stereo"),
    BiasPair("age", "An old value is returned.", "A value of a new and other kind is returned.", "stereo"),
    BiasPair("size", "Lists are slow.", "Tuples were quick!", "antistereo"),
    BiasPair("size", "A module imports itself.", "a MODULE imports itself.", "stereo"),
    BiasPair("age", "Exceptions", "statements", "antistereo"),
]
MEASURE = "generator_whole"
PLAIN = {"generator": generator_tokens, "discriminator": discriminator_tokens, "energy": energy_tokens}


def rows_of(net, pairs=PAIRS) -> list[tuple[int, ...]]:
    return encode(net, [sentence for pair in pairs for sentence in (pair.sentence, pair.counterpart)])


@pytest.mark.parametrize(
    ("objective", "scores"),
    [
        ("electra", ["generator", "discriminator"]),
        ("mlm", ["generator"]),
        ("unigram", ["discriminator"]),
        ("electric", ["energy"]),
    ],
)
def test_pair_scores_are_those_of_plain_loops(load, objective, scores):
    net = load(objective=objective)
    found = pair_scores(net, rows_of(net), scores)
    assert list(found) == [f"{score}_{span}" for score in scores for span in ("shared", "whole")]
    for score in scores:
        for i, pair in enumerate(PAIRS):
            sentences = pair.sentence, pair.counterpart
            tokens = [PLAIN[score](net, sentence) for sentence in sentences]
            ids = [net.encode(sentence).tolist()[1:-1] for sentence in sentences]
            steps = plain_alignment(*ids)
            for side in (0, 1):
                shared = math.fsum(tokens[side][step[side]] for step in steps)
                assert found[f"{score}_shared"][2 * i + side] == pytest.approx(shared, abs=1e-9)
                whole = math.fsum(tokens[side])
                assert found[f"{score}_whole"][2 * i + side] == pytest.approx(whole, abs=1e-9)
        assert found[f"{score}_shared"][0] != found[f"{score}_whole"][0]


def test_probe_bias_counts_pairs_and_ties_by_category_and_direction(load):
    net = load()
    found = probe_bias(net, PAIRS)
    scores = pair_scores(net, rows_of(net), ["generator", "discriminator"])
    assert [group.name for group in found.categories] == ["age", "size"]
    assert [group.name for group in found.directions] == ["stereo", "antistereo"]
    for measure, each in scores.items():
        points = [0.5 if a == b else float(a > b) for a, b in zip(each[::2], each[1::2], strict=True)]
        assert points[3] == 0.5 and 0.5 not in points[:2]
        assert (points[4] == 0.5) == measure.endswith("shared")  # no token is shared
        assert found.everything.points[measure].tolist() == points
        assert [group.points[measure].tolist() for group in found.categories] == [
            [points[1], points[4]],
            [points[0], points[2], points[3]],
        ]
        assert [group.points[measure].tolist() for group in found.directions] == [
            [points[0], points[1], points[3]],
            [points[2], points[4]],
        ]
    assert found.everything.same.tolist() == [False, False, False, True, False]
    alone = probe_bias(net, [pair._replace(direction=None) for pair in PAIRS], ["generator"])
    assert not alone.directions and list(alone.everything.points) == ["generator_shared", "generator_whole"]


def test_probe_bias_takes_scores_that_differ_behind_three_decimals_as_a_tie(load, monkeypatch):
    """The differences are .0002 and .002."""
    scores = np.array([-1.0001, -1.0003, -1.0, -1.002])
    monkeypatch.setattr("fairseq_electra.probes.bias.pair_scores", lambda *_: {"generator_whole": scores})
    found = probe_bias(load(), PAIRS[:2], ["generator"])
    assert found.everything.points["generator_whole"].tolist() == [0.5, 1]


def group(name, points, same=()) -> Group:
    return Group(
        name, np.array([i in same for i in range(len(points))]), {"generator_whole": np.array(points)}
    )


@pytest.fixture
def outcome() -> Outcome:
    """Five pairs, of which a category has one alone."""
    return Outcome(
        group("all pairs", [1, 0.5, 1, 0, 1], same=[1]),
        [group("age|years", [1]), group("size", [0.5, 1, 0, 1], same=[0])],
        [group("stereo", [1, 0.5, 1], same=[1]), group("antistereo", [0, 1])],
    )


@pytest.fixture
def written(outcome, pretrained, tmp_path):
    """Results of a checkpoint, and the path of their file and of the checkpoint."""
    checkpoint, path = tmp_path / "checkpoint_last.pt", tmp_path / "bias.json"
    checkpoint.write_bytes(b"weights")
    model = dataclasses.replace(pretrained(), cfg={"model": {"model_size": "tiny"}}, updates=7)
    found = results(outcome, [*PAIRS[:4], PAIRS[0]], described(model, tmp_path))
    path.write_text(json.dumps(found))
    return found, path, checkpoint


def test_group_has_share_interval_and_ties(outcome):
    everything, (one, size) = outcome.everything, outcome.categories
    assert (
        everything.share("generator_whole") == pytest.approx(70) and everything.ties("generator_whole") == 1
    )
    expected = [100 * end for end in wilson_interval(0.7, 5)]
    assert everything.interval(MEASURE) == pytest.approx(expected)
    low, high = one.interval(MEASURE)
    assert low == pytest.approx(20.7, abs=0.05) and high == 100  # one pair says little
    assert size.share(MEASURE) == 62.5


def test_table_and_words_say_what_the_results_hold(written, outcome):
    found, path, _ = written
    assert json.loads(path.read_text()) == found
    assert found["data"] | {"sha256": ""} == {"pairs": 5, "same_tokens": 1, "repeated": 1, "sha256": ""}
    assert found["categories"][1] == {
        "category": "size",
        "pairs": 4,
        "same_tokens": 1,
        "measures": {
            "generator_whole": {
                "share": 62.5,
                "interval": outcome.categories[1].interval("generator_whole"),
                "ties": 1,
            }
        },
    }
    assert [each["direction"] for each in found["directions"]] == ["stereo", "antistereo"]

    def cell(share, number, ties=""):
        low, high = (100 * end for end in wilson_interval(share / 100, number))
        return f"{share:.1f} [{low:.1f}, {high:.1f}]{ties}"

    assert table(found).splitlines() == [
        "| sentence scored above its counterpart, % | pairs | generator_whole |",
        "|---|---:|---:|",
        f"| age\\|years | 1 | {cell(100, 1)} |",
        f"| size | 4 | {cell(62.5, 4, ', 1 tie')} |",
        f"| all pairs | 5 | {cell(70, 5, ', 1 tie')} |",
        f"| all pairs of direction stereo | 3 | {cell(250 / 3, 3, ', 1 tie')} |",
        f"| all pairs of direction antistereo | 2 | {cell(50, 2)} |",
    ]
    words = in_words(found)
    assert "5 pairs: 1 with the same tokens in both sentences, 1 that came before." in words
    assert all(sentence in words for sentence in CAUTION) and found["caution"] == list(CAUTION)
    assert "no verdict" in words and "50 does not mean unbiased" in words and "Blodgett" in words


def test_card_section_holds_the_table_and_what_to_beware_of(written):
    found, path, checkpoint = written
    section = card_section(path, checkpoint, fine_tuned=False)
    assert section.startswith(
        "## Pairs about groups of people\n\nMeasured on the checkpoint that was exported."
    )
    assert table(found) in section and section.endswith(f"{CAUTION[-1]}\n")
    assert card_section(path, checkpoint.parent, fine_tuned=False) == section
    tuned = card_section(path, checkpoint, fine_tuned=True)
    assert (
        f"SHA-256 {found['net']['sha256']}), not on this fine-tuned model" in tuned and table(found) in tuned
    )


def test_card_section_refuses_the_results_of_another_checkpoint(written):
    _, path, checkpoint = written
    checkpoint.write_bytes(b"other weights")
    with pytest.raises(InputError, match="holds the results of another checkpoint, of SHA-256 9a129038"):
        card_section(path, checkpoint, fine_tuned=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "list indices must be"),
        (b"{}", "no 'probe'"),
        (b'{"probe": "BLiMP"}', "results of the probe 'BLiMP'"),
        (b'{"probe": "bias", "net": {"sha256": "a"}}', "no 'summary'"),
    ],
)
def test_card_section_refuses_a_file_without_such_results(written, text, said):
    _, path, checkpoint = written
    path.write_bytes(text)
    with pytest.raises(InputError) as refused:
        card_section(path, checkpoint, fine_tuned=False)
    assert str(refused.value).startswith(f"{path} does not hold results of pairs ({said}")


def test_probe_bias_refuses_a_fine_tuned_model_and_long_sentences(load, pretrained):
    found = pretrained()
    tuned = dataclasses.replace(found, model=EncoderWithHeads(found.model.sizes, len(found.symbols)))
    with pytest.raises(InputError, match="give the pre-training checkpoint"):
        probe_bias(ElectraHubInterface(tuned), PAIRS)
    with pytest.raises(InputError, match="shorten the sentences"):
        probe_bias(load(positions="learned"), [PAIRS[0]._replace(sentence="word " * 600)])


@pytest.mark.long
@torch.no_grad()
def test_pair_scores_are_those_of_transformers(tmp_path, pretrained):
    """Both networks of an export, with its own tokenizer, by loops over the tokens that pairs share."""
    from fairseq_electra.interchange.export_transformers import export_transformers
    from tests.helpers.transformers_models import in_double, transformers

    ours = pretrained(positions="learned")
    randomize_parameters(ours.model, seed=1, std=0.2)
    export_transformers(ours, tmp_path / "out")
    generator = in_double(transformers.ElectraForMaskedLM.from_pretrained(tmp_path / "out" / "generator"))
    discriminator = in_double(transformers.ElectraForPreTraining.from_pretrained(tmp_path / "out"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    net = ElectraHubInterface(ours).double()
    found = pair_scores(net, rows_of(net), ["generator", "discriminator"])
    for i, pair in enumerate(PAIRS):
        ids = [tokenizer(text, return_tensors="pt").input_ids for text in (pair.sentence, pair.counterpart)]
        steps = plain_alignment(*(each[0].tolist() for each in ids))[1:-1]
        for side in (0, 1):
            originals = (-discriminator(ids[side]).logits[0]).sigmoid().log()
            masked_scores = []
            for step in steps:
                masked = ids[side].clone()
                masked[0, step[side]] = tokenizer.mask_token_id
                logprobs = generator(masked).logits[0, step[side]].log_softmax(-1)
                masked_scores.append(float(logprobs[ids[side][0, step[side]]]))
            at = 2 * i + side
            assert found["generator_shared"][at] == pytest.approx(sum(masked_scores), abs=1e-9)
            shared = sum(float(originals[step[side]]) for step in steps)
            assert found["discriminator_shared"][at] == pytest.approx(shared, abs=1e-9)
            assert found["discriminator_whole"][at] == pytest.approx(float(originals[1:-1].sum()), abs=1e-9)
