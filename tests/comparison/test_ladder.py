"""examples/comparison/ladder.yaml: a rung adds one trait to the one before."""

import shutil
from dataclasses import asdict

import pytest

from fairseq_electra.comparison.compute import pretraining_options
from fairseq_electra.comparison.plan import read_plan
from fairseq_electra.electra.configuration import encoder_sizes, generator_sizes
from fairseq_electra.electra.parameters import encoder_parameters
from tests.helpers.commands import ROOT
from tests.helpers.paths import USER_DIR
from tests.helpers.training import configuration

# what differs from the rung before, or from the one named
GATES = {"feed_forward", "intermediate_size"}
RUNGS = {
    "pre": ("rotary", {"norm"}),
    "pre-but-first": ("pre", {"norm"}),
    "geglu": ("pre-but-first", GATES),
    "no-linear-bias": ("geglu", {"no_linear_bias"}),
    "no-norm-bias": ("no-linear-bias", {"norm_kind"}),
    "windows": ("no-norm-bias", {"local_window"}),
    "bases": ("windows", {"rotary_base"}),
    "bert": ("rotary", {"positions"}),
    "no-segments": ("bases", {"no_segments"}),
    "normed-head": ("bases", {"normed_head"}),
    "dropout": ("bases", {"dropout", "dropout_at"}),
    "clip-updates": ("bases", set()),  # of the optimizer
    "z-loss": ("bases", set()),  # of the loss
    "rmsnorm": ("bases", {"norm_kind"}),
    "deep-and-narrow": ("bases", {"num_hidden_layers", "hidden_size", "intermediate_size"}),
}
MODERN = "modern"


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """The sizes of each rung's networks, by the options that its pre-training gets."""
    folder = tmp_path_factory.mktemp("ladder")
    shutil.copy(ROOT / "examples" / "comparison" / "ladder.yaml", folder)
    for name in ("wiki-bin", *(f"glue-bin/{task}" for task in ("CoLA", "MRPC", "STS-B", "RTE"))):
        (folder / name).mkdir(parents=True)
    (folder / "blimp.jsonl.xz").touch()
    plan, found = read_plan(folder / "ladder.yaml"), {}
    for rung in plan.objectives:
        line = [*pretraining_options(plan, rung), "--lr", "1e-3", "--user-dir", str(USER_DIR)]
        options = configuration([*line, "--max-update", "9"]).model
        found[rung] = encoder_sizes(options), generator_sizes(options)
    return found


@pytest.mark.long
def test_each_rung_adds_one_trait(sizes):
    assert set(sizes) == {"rotary", MODERN, *RUNGS}
    for rung, (before, changed) in RUNGS.items():
        for ours, theirs in zip(sizes[rung], sizes[before], strict=True):
            one, other = asdict(ours), asdict(theirs)
            assert {name for name in one if one[name] != other[name]} == changed, rung


@pytest.mark.long
def test_rungs_with_other_shapes_have_as_many_parameters(sizes):
    for rung in ("geglu", "deep-and-narrow"):
        before = RUNGS[rung][0]
        for ours, theirs in zip(sizes[rung], sizes[before], strict=True):
            assert encoder_parameters(ours) == pytest.approx(encoder_parameters(theirs), rel=0.03)


@pytest.mark.long
def test_the_last_rung_is_the_modern_size(sizes):
    line = ["--task", "electra_pretraining", "--arch", "electra_modern_tiny", "--lr", "1e-3"]
    line += ["--criterion", "replaced_token_detection", "--user-dir", str(USER_DIR), "--max-update", "9"]
    options = configuration([".", *line]).model
    assert sizes[MODERN] == (encoder_sizes(options), generator_sizes(options))
