"""Options that an objective does not use are refused, not ignored."""

import pytest
from omegaconf import OmegaConf

from fairseq_electra.adaptation.training import kept_options
from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetectionConfig
from fairseq_electra.electra.configuration import model_arguments
from fairseq_electra.electra.heads import MaskedLMHead
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError
from fairseq_electra.models.electra import ElectraConfig
from fairseq_electra.pretraining.unread_options import unread_options
from tests.helpers.components import criterion_for
from tests.helpers.small_model import NET

CHANGED = {
    "generator_hidden_size": 0.25,
    "generator_layers": 0.5,
    "generator_num_attention_heads": 4,
    "generator_intermediate_size": 8,
    "tie_embeddings": "gdes",
    "untie_lm_head": True,
    "temperature": 2.0,
    "temperature_schedule": "linear:1@10",
    "disallow_correct": True,
    "duplicate_samples": "mean",
}


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "frozen_generator"])
def test_an_option_is_used_or_refused(make_task, make_model, objective):
    """An option changes the arguments of the model's class if, and only if, it is not refused."""
    options = {name: field.default for name, field in ElectraConfig.__dataclass_fields__.items()}
    options |= {"model_size": "tiny", "objective": objective}
    plain = model_arguments(options, 100, 1)
    for name, value in CHANGED.items():
        is_used = model_arguments({**options, name: value}, 100, 1) != plain
        assert is_used == (name not in unread_options(OBJECTIVES[objective])), name


@pytest.mark.parametrize(
    ("objective", "option", "value", "named"),
    [
        ("mlm", "temperature", 2.0, "--temperature 2.0"),
        ("mlm", "tie_embeddings", "tokens", "--tie-embeddings tokens"),
        ("unigram", "generator_hidden_size", 0.25, "--generator-hidden-size 0.25"),
        ("uniform", "untie_lm_head", True, "--untie-lm-head"),
        ("unigram", "pad_vocab_to", 64, "--pad-vocab-to 64"),
        ("electric", "disallow_correct", True, "--disallow-correct"),
        ("electric", "duplicate_samples", "mean", "--duplicate-samples mean"),
    ],
)
def test_the_error_names_objective_and_option(make_task, make_model, objective, option, value, named):
    task = make_task(masker="with_replacement")
    with pytest.raises(InputError, match=f"--objective {objective} does not use {named}; leave it out"):
        make_model(task, objective=objective, **{option: value})


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "frozen_generator"])
def test_a_vocabulary_is_padded_where_tokens_are_predicted_alone(make_task, make_model, objective):
    model = make_model(make_task(masker="with_replacement"), objective=objective)
    predicts = any(isinstance(module, MaskedLMHead) for module in model.modules())
    assert predicts == ("pad_vocab_to" not in unread_options(OBJECTIVES[objective]))


@pytest.mark.parametrize("option", ["leave_unmasked_prob", "random_token_prob"])
def test_shares_of_a_masked_text_that_nothing_reads_are_refused(make_task, make_model, option):
    make_model(make_task(**{option: 0.1}), objective="mlm")
    named = f"--objective unigram does not use --{option.replace('_', '-')} 0.1; leave it out"
    with pytest.raises(InputError, match=named):
        make_model(make_task(**{option: 0.1}), objective="unigram")


def test_an_older_checkpoint_with_such_an_option_loads_and_goes_on_without_it(make_task):
    options = {"_name": "electra", "model_size": "tiny", **NET, "objective": "mlm", "temperature": 2.0}
    options |= {"finetune_from_model": None, "save_dir": "checkpoints"}
    model = OmegaConf.merge(OmegaConf.structured(ElectraConfig), options)
    task = make_task()
    task.build_model(model, from_checkpoint=True)
    criterion = OmegaConf.structured(ReplacedTokenDetectionConfig(disc_weight=20.0))
    assert kept_options({"task": task.cfg, "criterion": criterion, "model": model}) == []


@pytest.mark.parametrize(
    ("objective", "option", "is_used"),
    [
        ("electra", "disc_weight", True),
        ("mlm", "disc_weight", False),
        ("mlm", "gen_weight", True),
        ("electric", "gen_weight", True),
        ("replace_mlm", "disc_weight", True),
        ("frozen_generator", "gen_weight", False),
        ("frozen_generator", "disc_weight", True),
        ("unigram", "gen_weight", False),
    ],
)
def test_the_weight_of_a_loss_that_is_not_there_is_refused(make_task, objective, option, is_used):
    task = make_task()
    task.objective = OBJECTIVES[objective]
    if is_used:
        criterion_for(task, **{option: 0.5})
        return
    named = f"--objective {objective} does not use --{option.replace('_', '-')} 0.5"
    with pytest.raises(InputError, match=named):
        criterion_for(task, **{option: 0.5})
