"""What ``--as`` sets in pre-training and fine-tuning, what wins over it, and the page that lists it."""

import re

import pytest

from fairseq_electra import originals
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.nets import Net
from fairseq_electra.finetuning.recipes import Recipe
from fairseq_electra.finetuning.study import Run
from fairseq_electra.finetuning.trainable import trainable
from fairseq_electra.originals import FINETUNING, FLAG, NETWORK, ORIGINALS, PRETRAINING, options_of
from fairseq_electra.pretraining.unread_options import unread_options
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import command, configuration, logged, main

PRETRAIN = f"""data --user-dir {USER_DIR} --task electra_pretraining --arch electra_small
  --criterion replaced_token_detection --batch-size 8 --lr 1e-3 --max-update 50000""".split()
FINETUNE = f"""data --user-dir {USER_DIR} --task sentence_prediction --num-classes 2 --arch electra_encoder
  --criterion sentence_prediction --batch-size 8 --lr 1e-3 --max-update 500""".split()
PAGE = USER_DIR.parent / "docs" / "how-to" / "original.md"


def chosen(*words, line=PRETRAIN):
    """The values of all options in the tables, as fairseq-train reads them."""
    cfg = configuration([*line, *words])
    groups = (cfg.task, cfg.model, cfg.optimizer, cfg.optimization, cfg.lr_scheduler)
    names = [choice.option[2:].replace("-", "_") for choice in (*NETWORK, *PRETRAINING, *FINETUNING)]
    values = {name: group[name] for name in dict.fromkeys(names) for group in groups if name in group}
    values = {name: getattr(value, "value", value) for name, value in values.items()}
    return values | {"optimizer": cfg.optimizer._name, "lr_scheduler": cfg.lr_scheduler._name}


ADAM = {"optimizer": "electra_adam", "adam_betas": "(0.9, 0.999)", "adam_eps": 1e-6, "clip_norm": 1.0}


def test_as_google_pre_trains_as_the_code():
    assert chosen("--as", "google") == ADAM | {
        **{"positions": "learned", "norm": "post"},
        **{"masker": "with_replacement", "duplicate_samples": "mean"},
        **{"leave_unmasked_prob": 0.15, "random_token_prob": 0.0},
        **{"bias_correction": "off", "weight_decay": 0.01, "loss_reduction": "mean"},
        **{"lr_scheduler": "warmup_times_decay", "warmup_updates": 10000, "layer_decay_once_more": False},
    }


def test_as_paper_pre_trains_as_the_paper():
    assert chosen("--as", "paper") == ADAM | {
        **{"positions": "learned", "norm": "post"},
        **{"masker": "tokens", "duplicate_samples": "first"},
        **{"leave_unmasked_prob": 0.0, "random_token_prob": 0.0},
        **{"bias_correction": "on", "weight_decay": 0.01, "loss_reduction": "mean"},
        **{"lr_scheduler": "polynomial_decay", "warmup_updates": 10000, "layer_decay_once_more": False},
    }


def test_as_google_and_as_paper_fine_tune_as_they_do_and_leave_the_network_to_the_checkpoint():
    google, paper = (chosen("--as", name, line=FINETUNE) for name in ("google", "paper"))
    assert google == ADAM | {
        **{"positions": None, "norm": None, "bias_correction": "off", "weight_decay": 0.01},
        **{"loss_reduction": "sum", "layer_decay_once_more": True},
        **{"lr_scheduler": "warmup_times_decay", "warmup_updates": 0.1},
    }
    assert paper == ADAM | {
        **{"positions": None, "norm": None, "bias_correction": "on", "weight_decay": 0.0},
        **{"loss_reduction": "mean", "layer_decay_once_more": False},
        **{"lr_scheduler": "polynomial_decay", "warmup_updates": 0},
    }
    scratch = chosen("--as", "google", "--model-size", "small", line=FINETUNE)
    assert (scratch["positions"], scratch["norm"]) == ("learned", "post")


def test_what_the_command_line_gives_wins_before_and_behind_as():
    found = chosen("--adam-eps", "1e-8", "--as=google", "--warmup-updates", "7", "--masker", "tokens")
    assert (found["adam_eps"], found["warmup_updates"], found["masker"]) == (1e-8, 7, "tokens")
    assert found["duplicate_samples"] == "first" and found["lr_scheduler"] == "warmup_times_decay"


def test_options_of_a_component_that_is_not_there_are_left_out():
    found = chosen("--as", "google", "--lr-scheduler", "polynomial_decay", "--optimizer", "adam")
    assert (found["lr_scheduler"], found["warmup_updates"]) == ("polynomial_decay", 0)
    assert (found["optimizer"], found["weight_decay"], found["clip_norm"]) == ("adam", 0.0, 1.0)
    spans = chosen("--as", "google", "--mask-spans", "3")
    assert (spans["masker"], spans["duplicate_samples"]) == (None, "first")
    falling = chosen("--as", "google", "--mask-prob-schedule", "linear:.1@20")
    assert (falling["masker"], falling["duplicate_samples"]) == (None, "first")
    for objective in ("electric", "adversarial"):
        found = chosen("--as", "google", "--objective", objective)
        assert (found["masker"], found["duplicate_samples"]) == ("with_replacement", "first")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("original", ORIGINALS)
def test_no_option_is_set_that_the_objective_does_not_use(original, objective):
    words = options_of(original, (*NETWORK, *PRETRAINING), ["--objective", objective])
    unread = {f"--{name.replace('_', '-')}" for name in unread_options(OBJECTIVES[objective])}
    if objective == "mlm":
        words += options_of(original, PRETRAINING, ["--generator-only"])
    assert not unread & set(words)


def test_one_line_of_the_log_says_what_was_set():
    with logged() as stream:
        chosen("--as", "google", "--adam-betas", "(0.9, 0.98)", line=FINETUNE)
    (line,) = [line for line in stream.getvalue().splitlines() if "--as google: " in line]
    assert line.endswith(
        "--optimizer electra_adam --adam-eps 1e-6 --bias-correction off --clip-norm 1.0 --weight-decay 0.01"
        " --layer-decay-once-more --loss-reduction sum --lr-scheduler warmup_times_decay --warmup-updates 0.1"
    )


def test_as_is_refused_where_it_means_nothing():
    with pytest.raises(InputError, match="--as google: --arch roberta is not one of this package's models"):
        chosen("--as", "google", "--arch", "roberta", line=FINETUNE)
    with pytest.raises(InputError, match="--arch electra_modern_tiny has other layers than the original"):
        chosen("--as", "paper", line=[*PRETRAIN, "--arch", "electra_modern_tiny"])
    with pytest.raises(InputError, match="--model-size modern_small has other layers than the original"):
        chosen("--as", "google", "--model-size", "modern_small", line=FINETUNE)
    with pytest.raises(InputError, match="--as bert: there is no such name; choose from google, paper"):
        originals.take_as(["--as", "bert"])
    with pytest.raises(InputError, match="--duplicate-samples mean needs --masker with_replacement"):
        from fairseq_electra.tasks._pretraining_options import check_duplicates

        cfg = configuration([*PRETRAIN, "--optimizer", "electra_adam", "--duplicate-samples", "mean"])
        check_duplicates(cfg.task, cfg.model)
    with pytest.raises(InputError, match="--masker with_replacement does not read --mask-whole-words"):
        from fairseq_electra.tasks._pretraining_options import check_options

        words = ["--optimizer", "electra_adam", "--masker", "with_replacement", "--mask-whole-words"]
        check_options(configuration([*PRETRAIN, *words]).task)


def test_as_is_refused_in_a_yaml_file(data_bin, tmp_path):
    from omegaconf import OmegaConf, open_dict

    from fairseq_electra.compat import mistakes
    from fairseq_electra.models.electra import ElectraConfig

    sentence = "as is not an entry of a YAML file; fairseq-electra config -- fairseq-train ... --as google"
    with pytest.raises(Exception, match="Key 'as' not in") as raised:
        OmegaConf.merge(OmegaConf.structured(ElectraConfig), {"as": "google"})
    assert str(mistakes.explain(raised.value)).startswith(sentence)
    cfg = configuration(command(data_bin, tmp_path / "save", *TINY_NET, "--max-update", 1)[3:])
    with open_dict(cfg):
        cfg["as"] = "google"
    with pytest.raises(InputError, match=sentence):
        main(cfg)


def test_a_study_puts_as_behind_its_recipe_and_before_what_else_is_given(data_of_a_task):
    net = Net("net", "some.pt", "small")
    extra = ("--weight-decay", "0.3", "--as", "google", "--pooling", "mean")
    words = Run(net, trainable(data_of_a_task), Recipe(1e-3), 1, extra).options
    assert "--as" not in words
    assert originals.value_of("--weight-decay", words) == "0.3"
    assert originals.value_of("--lr-scheduler", words) == "warmup_times_decay"
    assert originals.value_of("--loss-reduction", words) == "sum"
    assert originals.value_of("--layer-decay", words) == "0.8" and "--positions" not in words
    plain = Run(net, trainable(data_of_a_task), Recipe(1e-3), 1).options
    assert words[: len(plain)] == plain


@pytest.fixture
def data_of_a_task(tmp_path, vocabulary, corpus_lines):
    from fairseq_electra.finetuning.prepare import prepare

    lines = "".join(f"{line[:40]}\t{i % 2}\n" for i, line in enumerate(filter(None, corpus_lines[:40])))
    for split in ("train", "valid"):
        (tmp_path / f"{split}.tsv").write_text("text\tlabel\n" + lines.replace('"', ""))
    files = {split: tmp_path / f"{split}.tsv" for split in ("train", "valid")}
    prepare("text", tmp_path / "bin", vocabulary, text=["text"], label="label", **files)
    return tmp_path / "bin"


@pytest.mark.parametrize(("heading", "choices"), [("pre-training", PRETRAINING), ("fine-tuning", FINETUNING)])
@pytest.mark.parametrize("original", ORIGINALS)
def test_the_page_lists_every_choice(original, heading, choices):
    (lines,) = re.findall(rf"\| in {heading} \|.*?\n\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    column = 2 if original == "google" else 3
    cells = [[cell.strip() for cell in line.split("|")] for line in lines.strip().splitlines()]
    both = " ".join(f"{row[2]} {row[3]}" if "the same" in row[3] else row[column] for row in cells)
    words = options_of(original, (*NETWORK, *choices) if heading == "pre-training" else choices, [])
    for option, value in zip(words, [*words[1:], ""], strict=True):
        if option.startswith("--"):
            takes_value = not value.startswith("--") and value != FLAG
            shown = f"{option} '{value}'" if " " in value else f"{option} {value}" if takes_value else option
            assert f"`{shown}`" in both, (original, shown)
