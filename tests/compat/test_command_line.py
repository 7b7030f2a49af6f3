"""A command line that cannot be meant is answered in one sentence, and ``--help`` knows what was named."""

import inspect

import fairseq.registry
import fairseq_cli.train
import pytest
from fairseq import options, utils
from fairseq.optim.lr_scheduler import polynomial_decay_schedule, tri_stage_lr_scheduler
from fairseq.tasks import fairseq_task

from fairseq_electra.compat import mistakes
from fairseq_electra.compat.command_line import SentenceParser
from fairseq_electra.electra.size_table import arch_names
from fairseq_electra.errors import InputError
from tests.helpers.fairseq_source import source_of
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import configuration, refusal_here, train_here

GIVEN = {
    "--task": "electra_pretraining",
    "--arch": "electra_tiny",
    "--criterion": "replaced_token_detection",
    "--optimizer": "electra_adam",
    "--lr": "1e-3",
    "--batch-size": "8",
    "--max-update": "1",
    "--user-dir": str(USER_DIR),
}


def line(data, save_dir="unused", **changes) -> list[str]:
    """A line that trains, with changes: another value, or None to leave the option out."""
    words = GIVEN | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    options = [word for option, value in words.items() if value is not None for word in (option, value)]
    return [str(data), "--cpu", "--disable-validation", "--save-dir", str(save_dir), *options]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"task": None},
            "--task is missing; give the task, such as electra_pretraining, sentence_prediction",
        ),
        (
            {"task": "electra_pretrainig"},
            "--task electra_pretrainig: there is no such name; did you mean electra_pretraining?",
        ),
        (
            {"task": "zzz"},
            "--task zzz: there is no such name; those of fairseq_electra are electra_pretraining,",
        ),
        ({"arch": None}, f"--arch is missing; give the model: {arch_names()}"),
        ({"task": "question_answering", "arch": None}, "--arch is missing; give the model: electra_encoder"),
        ({"arch": "electra_smal"}, "--arch electra_smal: there is no such name; did you mean electra_small?"),
        (
            {"arch": "electra_encoder"},
            "--arch electra_encoder: --task electra_pretraining needs one of electra_tiny,",
        ),
        (
            {"task": "sentence_prediction", "criterion": "sentence_prediction"},
            (
                "--arch electra_tiny is for pre-training; --task sentence_prediction needs --arch"
                " electra_encoder"
            ),
        ),
        (
            {"criterion": None},
            "--criterion is missing; --task electra_pretraining needs --criterion replaced_token_detection",
        ),
        (
            {"criterion": "cross_entropy"},
            "--criterion cross_entropy: --task electra_pretraining needs --criterion replaced_token",
        ),
        (
            {"criterion": "replaced_token"},
            "--criterion replaced_token: there is no such name; did you mean replaced_token_detection?",
        ),
        ({"optimizer": None}, "--optimizer is missing; give one, such as --optimizer electra_adam"),
        ({"optimizer": "electra_adm"}, "did you mean electra_adam?"),
        ({"lr": None}, "--lr is missing; give the learning rate"),
        ({"batch_size": None}, "--batch-size is missing; give the number of rows of a batch"),
        (
            {"batch_size": None, "max_tokens": "64"},
            "--max-tokens 64 (or --max-tokens-valid) is less than the 1",
        ),
        ({"batch_size": "many"}, "--batch-size: invalid int value: 'many'; see --help"),
        (
            {"lr_scheduler": "polynomial_decay", "max_update": None, "max_epoch": "1"},
            "--total-num-update is missing",
        ),
        (
            {"lr_scheduler": "tri_stage", "max_update": None, "phase_ratio": "(0.1,0.4,0.5)"},
            "tri_stage needs the number of updates",
        ),
        (
            {"lr_scheduler": "cosine", "max_update": None},
            "Either --max_update or --lr-period-updates must be set",
        ),
        ({"seed": "4294967296"}, "--seed is a whole number from 0 to 2^32 - 1; give such a one"),
        ({"mask_prb": "0.2"}, "--mask-prb is not an option here; did you mean --mask-prob?"),
        ({"zzzz": "0.2"}, "--zzzz is not an option here; see --help"),
        ({"log_file": "absent/train.log"}, "--log-file absent/train.log: there is no folder absent; make it"),
        ({"user_dir": "fairseq_electra_"}, "--user-dir fairseq_electra_: no such folder; give --user-dir"),
    ],
)
def test_what_is_left_out_or_misspelt_is_named_with_what_to_give(
    tmp_path, data_bin, monkeypatch, changes, sentence
):
    monkeypatch.chdir(tmp_path)
    found = refusal_here(line(data_bin, tmp_path / "save", **changes))
    assert sentence in found and "\n" not in found and len(found) < 300
    assert not list(tmp_path.rglob("*.pt")) and not list(tmp_path.rglob("*.log"))


@pytest.mark.parametrize(("option", "before"), [("objective", "mlm"), ("tie_embeddings", "gdes")])
def test_what_a_model_without_a_size_takes_from_its_checkpoint_is_not_asked_for_otherwise(
    tmp_path, data_bin, option, before
):
    save, usual = tmp_path / "save", {"objective": "electra", "tie_embeddings": "all"}[option]
    name = f"--{option.replace('_', '-')}"
    train_here(data_bin, save, *TINY_NET, "--max-update", "1", "--num-workers", "0", name, before)
    start = {"arch": "electra", "finetune_from_model": str(save / "checkpoint_last.pt")}
    said = f"{name} {usual}: {save}/checkpoint_last.pt was trained with {name} {before}, which --arch electra"
    assert said in refusal_here(line(data_bin, tmp_path / "new", **start, **{option: usual}))
    for allowed in ({option: before}, {}, {option: usual, "model_size": "tiny"}):
        configuration(line(data_bin, tmp_path / "new", **start, **allowed))
    del start["finetune_from_model"]  # as the sentence says
    configuration(line(data_bin, tmp_path / "new", **(start | {"arch": "electra_tiny", option: usual})))


def test_data_that_is_left_out_is_named():
    assert refusal_here(line("data")[1:]) == "data is missing; give it, or see --help"


def test_a_second_value_is_one_too_many():
    assert refusal_here([*line("data"), "more"]).startswith("more: one argument too many")


def test_the_total_of_polynomial_decay_is_that_of_max_update_as_its_help_says():
    parsed = options.parse_args_and_arch(
        options.get_training_parser(), input_args=line("data", lr_scheduler="polynomial_decay")
    )
    assert parsed.total_num_update == 1
    given = line("data", lr_scheduler="polynomial_decay", total_num_update="7")
    assert (
        float(options.parse_args_and_arch(options.get_training_parser(), input_args=given).total_num_update)
        == 7
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data", "--path", "a.pt"], "--task is missing; give the task, such as electra_pretraining"),
        (["data", "--task", "electra_pretraining"], "--path is missing; give the checkpoint"),
    ],
)
def test_fairseq_validate_names_what_it_lacks(words, sentence):
    with pytest.raises(InputError, match=sentence):
        options.parse_args_and_arch(options.get_validation_parser(), input_args=words)


def test_a_folder_that_cannot_be_written_to_is_named_with_its_option(tmp_path, data_bin):
    (tmp_path / "file").write_text("")
    found = refusal_here(line(data_bin, tmp_path / "file" / "save"))
    assert (
        found
        == f"cannot write to --save-dir {tmp_path}/file/save: Not a directory; give a folder that can be"
        " written to"
    )


def test_an_error_of_a_path_is_a_sentence_and_one_of_the_program_is_not():
    found = mistakes.explain(FileNotFoundError(2, "No such file", "x/y"))
    assert str(found) == "cannot use x/y: No such file; check the path and its permissions"
    for error in (
        AssertionError(),
        ValueError("--criterion"),
        OSError("no number"),
        RuntimeError(),
        KeyError("is required!"),
    ):
        assert mistakes.explain(error) is None


def test_explain_names_the_remedy_where_all_rows_are_too_long():
    """Words of fairseq data/iterators.py::EpochBatchIterator."""
    found = mistakes.explain(
        Exception("The dataset is empty. This could indicate that all elements have been skipped.")
    )
    assert "no row is left: all are longer than --max-positions" in str(found)


def test_help_lists_the_options_of_the_components_that_were_named(capsys):
    with pytest.raises(SystemExit) as ended:
        options.parse_args_and_arch(
            options.get_training_parser(), input_args=[*line("data"), "--lr-scheduler", "cosine", "--help"]
        )
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    for title in (
        "--task electra_pretraining:",
        "--arch electra_tiny:",
        "--criterion replaced_token_detection:",
        "--lr-scheduler cosine:",
    ):
        assert f"\n{title}\n" in shown
    ours = shown[shown.index("--task electra_pretraining:") :]
    for option in (
        *["--mask-prob MASK_PROB", "--disc-weight", "--positions {learned,rotary}", "--layer-decay"],
        "--lr-period-updates",
    ):
        assert option in ours
    assert "(default: 0.15)" in ours and "--decay-shape" not in ours and "--answer-head" not in ours


def test_help_without_names_lists_all_options_of_this_package(capsys):
    with pytest.raises(SystemExit):
        options.parse_args_and_arch(options.get_training_parser(), input_args=["-h"])
    shown = capsys.readouterr().out
    for title in ("--task question_answering:", f"--arch electra, {arch_names()}:"):
        assert f"\n{title}\n" in shown
    assert "--decay-shape {linear,1-sqrt}" in shown and "--answer-head {conditional,independent}" in shown


def test_fairseq_still_answers_with_usage_tracebacks_and_half_a_help():
    """Each change of compat/command_line.py and compat/mistakes.py is still needed."""
    parse = source_of(options.parse_args_and_arch)
    assert "raise RuntimeError()" in parse and parse.index(
        "parser.parse_known_args(input_args)"
    ) < parse.index("add_args(")
    assert "raise FileNotFoundError(module_path)" in source_of(utils.import_user_module)
    assert isinstance(options.get_training_parser(), SentenceParser)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (fairseq_cli.train, "Must specify batch size either with"),
        (fairseq_cli.train, "Please specify criterion to train"),
        (fairseq.registry, 'raise ValueError("{} is required!".format(registry_name))'),
        (fairseq_task, "Size of sample #{} is invalid (={}) since max_positions={}, "),
        (polynomial_decay_schedule, "assert cfg.total_num_update > 0\n"),
        (polynomial_decay_schedule, 'default=II("optimization.max_update"),\n        metadata={"help"'),
        (tri_stage_lr_scheduler, "assert cfg.max_update > 0\n"),
    ],
)
def test_fairseq_still_says_what_the_sentences_replace(module, words):
    assert words in inspect.getsource(module)
