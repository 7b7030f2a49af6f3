"""Refusal of an encoder trait that the counts, or the export to transformers, do not know."""

from dataclasses import asdict, dataclass, fields, replace

import pytest

from fairseq_electra.electra import flops, paper_flops, parameters, sizes
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import NUMBERS, EncoderSizes, refuse_unknown_traits
from fairseq_electra.errors import InputError
from fairseq_electra.interchange.transformers_config import config_of, family_of

READERS = {
    "the count of FLOPs": flops.encoder_flops,
    "the paper's count of FLOPs": lambda sizes: paper_flops.pretraining_flops(sizes, sizes, 100, 16, 1),
    "the count of parameters": parameters.encoder_parameters,
    "the export to transformers": family_of,
}


@dataclass(frozen=True)
class Gated(EncoderSizes):
    """Sizes with a trait more."""

    gate: str = "none"
    windows: int = 0


@dataclass(frozen=True, kw_only=True)
class Required(EncoderSizes):
    """Sizes with a trait that has no default."""

    gate: str


PLAIN = MODEL_SIZES["small"].encoder
ROTARY = replace(PLAIN, positions="rotary")
# with a value that is not the default
OFF_BY_DEFAULT = {
    "norm_kind": "rmsnorm",
    "feed_forward": "geglu",
    "no_linear_bias": True,
    "rotary_base": 160000.0,
    "local_rotary_base": 5000.0,
    "local_window": 128,
    "global_every": 2,
    "recurrence": 64,
    "dropout_at": "attention_output",
    "norm_eps": 1e-5,
    "no_segments": True,
    "normed_head": True,
}


@pytest.mark.parametrize("name", READERS)
def test_readers_refuse_a_trait_that_they_do_not_know(name):
    read = READERS[name]
    assert read(Gated(**asdict(PLAIN))) == read(PLAIN), "the default is what encoders had before"
    with pytest.raises(
        InputError, match=f"--gate swish: {name} would be wrong, as it was written for 'none'"
    ):
        read(Gated(**asdict(PLAIN), gate="swish"))
    with pytest.raises(InputError, match=f"--windows 128: {name} would be wrong, as it was written for 0"):
        read(Gated(**asdict(PLAIN), windows=128))
    with pytest.raises(
        InputError, match=f"--gate none: {name} would be wrong, as it was written for models without"
    ):
        read(Required(**asdict(PLAIN), gate="none"))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("trait", ["positions", "norm"])
def test_readers_refuse_a_new_value_of_a_trait(monkeypatch, name, trait):
    for each in ("positions", "norm"):
        monkeypatch.setitem(sizes.CHOICES, each, (*sizes.CHOICES[each], "new"))
    with pytest.raises(
        InputError, match=f"--{trait} new: {name} would be wrong, as it was written for '(learned|post)', "
    ):
        READERS[name](EncoderSizes(**asdict(PLAIN) | {trait: "new"}))


@pytest.mark.parametrize("name", ["the paper's count of FLOPs", "the export to transformers"])
@pytest.mark.parametrize("trait", OFF_BY_DEFAULT)
def test_traits_that_are_off_by_default_are_refused_by_those_who_do_not_know_them(name, trait):
    given = {"local_window": 128} if trait in ("global_every", "local_rotary_base") else {}
    with pytest.raises(InputError, match=f"{name} would be wrong, as it was written for"):
        READERS[name](replace(ROTARY, **(given | {trait: OFF_BY_DEFAULT[trait]})))


def test_a_config_json_is_not_made_for_an_unknown_trait():
    with pytest.raises(InputError, match="the export to transformers would be wrong"):
        config_of(Gated(**asdict(PLAIN), gate="swish"), 100, "ElectraModel")


def test_refuse_unknown_traits_takes_every_field_that_is_no_number_for_a_trait():
    assert {field.name for field in fields(EncoderSizes)} - {*NUMBERS} == {
        "positions",
        "norm",
        *OFF_BY_DEFAULT,
    }
    refuse_unknown_traits(PLAIN, {"positions": ("learned",), "norm": ("post",)}, "it")
