"""The table of sizes against the published tables, and whether all that names sizes reads it."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from fairseq_electra.electra.size_table import MODEL_SIZES, ModelSize, arch_names, named_sizes
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.recipes import recipe_for
from fairseq_electra.pretraining import recipes
from fairseq_electra.speedrun.published import nearest_published

PAGE = (Path(__file__).parents[2] / "docs" / "sizes.md").read_text(encoding="utf-8")
# Clark et al. 2020, table 6: layers, hidden, inner, heads, embedding, generator, mask share, rate, warm-up,
# batch, updates; table 7: layer decay
PAPER = {
    "small": (12, 256, 1024, 4, 128, "1/4", 0.15, 5e-4, 10_000, 128, 1_000_000, 0.8),
    "base": (12, 768, 3072, 12, 768, "1/3", 0.15, 2e-4, 10_000, 256, 766_000, 0.8),
    "large": (24, 1024, 4096, 16, 1024, "1/4", 0.25, 2e-4, 10_000, 2048, 400_000, 0.9),
}


@pytest.fixture
def unlisted(monkeypatch) -> ModelSize:
    """A size that the table does not have, in the table."""
    tiny = MODEL_SIZES["tiny"]
    row = ModelSize(
        encoder=EncoderSizes(64, 192, 768, 6, 3, positions="rotary"),
        generator_share=1 / 3,
        pretraining=tiny.pretraining,
        finetuning=tiny.finetuning,
    )
    monkeypatch.setitem(MODEL_SIZES, "unlisted", row)
    return row


@pytest.mark.parametrize("size", PAPER)
def test_model_sizes_are_those_of_the_paper(size):
    row = MODEL_SIZES[size]
    sizes, recipe = row.encoder, row.pretraining
    layers, heads = sizes.num_hidden_layers, sizes.num_attention_heads
    share = str(Fraction(row.generator_share).limit_denominator(10))
    of_encoder = (layers, sizes.hidden_size, sizes.intermediate_size, heads, sizes.embedding_size, share)
    of_recipe = (
        recipe.mask_prob,
        recipe.lr,
        recipe.warmup,
        recipe.batch,
        recipe.updates,
        row.finetuning.layer_decay,
    )
    assert of_encoder + of_recipe == PAPER[size]


@pytest.mark.parametrize("size", MODEL_SIZES)
def test_model_sizes_stand_on_the_page_of_sizes(size):
    row = MODEL_SIZES[size]
    (line,) = re.findall(rf"^\| `electra_{size}` \|.*", PAGE, re.M)
    cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
    sizes = row.encoder
    numbers = (sizes.num_hidden_layers, sizes.hidden_size, sizes.embedding_size, sizes.num_attention_heads)
    assert cells[:6] == [
        *map(str, numbers),
        str(Fraction(row.generator_share).limit_denominator(10)),
        row.arch_norm,
    ]


@pytest.mark.parametrize("size", MODEL_SIZES)
def test_model_sizes_divide_their_batch_and_hold_their_rate(size):
    row = MODEL_SIZES[size]
    assert row.pretraining.batch % row.pretraining.rows_at_once == 0
    assert row.finetuning.lr == row.finetuning.rates[1] and list(row.finetuning.rates) == sorted(
        row.finetuning.rates
    )


def test_named_sizes_change_what_is_given_and_refuse_other_names():
    assert named_sizes("small", norm="pre", dropout=None) == EncoderSizes(128, 256, 1024, 12, 4, norm="pre")
    with pytest.raises(InputError, match=f"no model size 'huge'; choose an --arch of {arch_names()}"):
        named_sizes("huge")


def test_a_row_is_all_that_the_recipes_need(unlisted):
    """Everything that looks a size up finds the new one."""
    assert arch_names().endswith(", electra_unlisted") and named_sizes("unlisted") == unlisted.encoder
    assert unlisted.generator.hidden_size == 64 and unlisted.generator.num_attention_heads == 1
    discriminator, generator = recipes.networks("unlisted")
    assert (discriminator.norm, generator.norm, generator.num_hidden_layers) == ("scaled", "scaled", 6)
    line = recipes.arguments("unlisted")
    assert line[line.index("--arch") + 1] == "electra_unlisted" and line[line.index("--lr") + 1] == "1e-3"
    assert recipe_for("unlisted", "RTE").lr == 3e-4 and recipe_for("unlisted", "RTE").epochs == 10
    assert nearest_published("unlisted").size == "small"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"heads": 0}, "--generator-num-attention-heads must be 1 or more, got 0"),
        ({"heads": -1}, "--generator-num-attention-heads must be 1 or more, got -1"),
        ({"intermediate_size": 0}, "--generator-intermediate-size must be 1 or more, got 0"),
    ],
)
def test_sizes_of_a_generator_out_of_range_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        named_sizes(model_size="small").generator(0.25, 1.0, **changes)
