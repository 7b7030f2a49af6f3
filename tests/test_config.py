"""The YAML files are their command lines, to the last bit."""

import argparse
import re
import shlex
import sys

import pytest
from omegaconf import OmegaConf

from fairseq_electra.cli import config
from fairseq_electra.cli.config import (
    GROUPS,
    MACHINE_OPTIONS,
    PATCHED,
    compose,
    dataclass_of,
    from_comment,
    named_options,
    own_options,
    to_yaml,
)
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining import recipes
from tests.helpers.commands import electra, run
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import NET
from tests.helpers.training import assert_same_weights, read, weights

FOLDER = USER_DIR / "config" / "pretraining"
FILES = [f"electra_{size}" for size in MODEL_SIZES]
SMALLER = {
    **{f"model.{name}": size for name, size in NET.items()},
    "model.generator_hidden_size": 0.5,  # a third of 32 could not be turned by rotary positions
    "optimization.max_update": 3,
    "optimization.update_freq": "[2]",
    "dataset.batch_size": 8,
    "dataset.num_workers": 0,
    "dataset.disable_validation": "true",
    "common.cpu": "true",
    "common.log_interval": 1,
}


def as_options(changes: dict) -> list[str]:
    """Hydra's overrides as fairseq-train's options."""
    words = []
    for name, value in changes.items():
        words.append(f"--{name.split('.')[1].replace('_', '-')}")
        if value != "true":
            words.append(str(value).strip("[]"))
    return words


def hydra(name, changes, *options, folder=FOLDER, **kwargs):
    given = [
        f"{key if key.startswith(('+', 'hydra.')) else f'++{key}'}={value}" for key, value in changes.items()
    ]
    done = run(
        [
            sys.executable,
            "-m",
            "fairseq_cli.hydra_train",
            *options,
            "--config-dir",
            folder,
            "--config-name",
            name,
            *given,
        ],
        **kwargs,
    )
    return done.stdout + done.stderr


def config_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    return parser


def command_line(name) -> list[str]:
    return from_comment((FOLDER / f"{name}.yaml").read_text())


def listed(text: str) -> dict:
    """The options of a file by group, without hydra's own."""
    return {
        name: group
        for name, group in OmegaConf.to_container(OmegaConf.create(text)).items()
        if name != "hydra"
    }


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_what_its_command_line_makes(name):
    text = (FOLDER / f"{name}.yaml").read_text()
    assert to_yaml(from_comment(text)) == text
    assert sum(len(group) for group in listed(text).values()) < 40


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_leaves_out_is_the_default_of_its_dataclass(name):
    """Check that the defaults which fairseq-hydra-train fills in give the command line's configuration."""
    arguments = command_line(name)
    cfg, short = compose(arguments), listed(to_yaml(arguments))
    for group in GROUPS:
        defaults = OmegaConf.to_container(OmegaConf.structured(dataclass_of(cfg, group)), enum_to_str=True)
        filled, wanted = defaults | short.get(group, {}), own_options(cfg, group, set())
        assert {key: filled[key] for key in wanted} == wanted, group


def test_to_yaml_lists_what_is_named_also_where_it_is_the_default():
    arguments = [*command_line("electra_small"), "--gen-weight", "1.0", "--seed=1"]
    short = listed(to_yaml(arguments))
    assert {"gen_weight", "seed"} < named_options(arguments)
    assert (
        short["criterion"] == {"_name": "replaced_token_detection", "gen_weight": 1.0}
        and short["common"]["seed"] == 1
    )
    assert set(short["dataset"]) >= PATCHED and "disc_weight" not in short["criterion"]


def test_options_of_block_momentum_are_listed():
    given = [*command_line("electra_small"), "--use-bmuf", "--global-sync-iter", "7"]
    assert listed(to_yaml(given))["bmuf"]["global_sync_iter"] == 7


def test_the_number_of_gpus_is_listed_where_the_command_line_says_it():
    line = command_line("electra_small")
    assert "distributed_world_size" not in to_yaml(line)
    for full in (False, True):
        text = to_yaml([*line, "--distributed-world-size", "1"], full=full)
        assert listed(text)["distributed_training"]["distributed_world_size"] == 1


@pytest.mark.parametrize("name", FILES)
def test_to_yaml_full_lists_every_option(name):
    cfg, full = compose(command_line(name)), listed(to_yaml(command_line(name), full=True))
    for group in GROUPS:
        options = {
            f
            for f, o in dataclass_of(cfg, group).__dataclass_fields__.items()
            if not str(o.default).startswith("${")
        }
        assert set(full[group]) | {"_name"} == (options - MACHINE_OPTIONS) | {"_name"}, group


@pytest.mark.parametrize("size", MODEL_SIZES)
def test_the_command_line_of_each_file_is_the_recipe_of_its_size(size):
    assert command_line(f"electra_{size}") == recipes.arguments(size), (
        f"make it: fairseq-electra config --size {size}"
    )


def test_config_takes_a_size_or_a_command():
    for given in ([], ["--size", "tiny", "--", "fairseq-train"]):
        with pytest.raises(InputError, match="give a command line after --, or --size SIZE"):
            config.run(config_parser().parse_args(given))


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/pretrain.md"])
def test_the_recipe_of_tiny_is_the_one_shown(page):
    text = (USER_DIR.parent / page).read_text()
    shown = shlex.split(
        re.search(r"^fairseq-train data-bin (?:.*\\\n)*.*", text, re.M)[0].replace("\\\n", " ")
    )
    shown[shown.index("$(fairseq-electra user-dir)")] = "fairseq_electra"  # a file has the checkout's folder
    assert command_line("electra_tiny") == shown[1 : shown.index("|")]


IN_LONG_RUN = ("electra_tiny", "electra_modern_tiny")  # the others differ in numbers alone
MARKED = [
    pytest.param(name, marks=pytest.mark.long if name in IN_LONG_RUN else pytest.mark.by_hand)
    for name in FILES
]


@pytest.mark.parametrize("name", MARKED)
def test_hydra_gives_the_command_lines_losses_and_weights_to_the_last_bit(tmp_path, data_bin, name):
    """Run the files as they stand, but with a smaller model, data and checkpoints in the starting folder."""
    logs = {}
    for kind in ("command", "hydra"):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "data-bin").symlink_to(data_bin)
        (folder / "fairseq_electra").symlink_to(USER_DIR)
    done = run(
        [sys.executable, "-m", "fairseq_cli.train", *command_line(name), *as_options(SMALLER)],
        cwd=tmp_path / "command",
    )
    logs["command"] = read(done.stdout + done.stderr, tmp_path / "command" / "checkpoints", 0)
    logs["hydra"] = read(hydra(name, SMALLER, cwd=tmp_path / "hydra"), tmp_path / "hydra" / "checkpoints", 0)
    assert len(logs["command"].losses) == 3 and logs["hydra"].losses == logs["command"].losses
    assert_same_weights(
        weights(tmp_path / "hydra" / "checkpoints"), weights(tmp_path / "command" / "checkpoints")
    )


@pytest.mark.long
def test_the_same_hydra_line_goes_on_where_it_stopped(tmp_path, data_bin):
    (tmp_path / "data-bin").symlink_to(data_bin)
    changes = SMALLER | {"common.user_dir": USER_DIR, "+lr_scheduler.total_num_update": 100}
    hydra("electra_tiny", changes, cwd=tmp_path)
    text = hydra("electra_tiny", changes | {"optimization.max_update": 5}, cwd=tmp_path)
    assert re.search(r"Loaded checkpoint .*checkpoint_last\.pt \(epoch \d @ 3 updates\)", text), text[-2000:]


@pytest.mark.long
def test_a_sweep_over_learning_rate_and_seed(tmp_path, data_bin):
    """Four runs, each with its folder, each as if it were run alone."""
    common = SMALLER | {
        "task.data": data_bin,
        "common.user_dir": USER_DIR,
        "dataset.disable_validation": "false",
    }
    swept = {"optimization.lr": "[2e-3],[1e-6]", "common.seed": "1,2", "hydra.sweep.dir": tmp_path / "sweep"}
    hydra("electra_tiny", common | swept, "-m", cwd=tmp_path)
    found = {i: weights(tmp_path / "sweep" / str(i) / "checkpoints") for i in range(4)}
    name = "discriminator_head.dense.weight"
    assert len({tuple(found[i][name].flatten().tolist()) for i in found}) == 4
    for i in found:  # the last two are worse than those before
        kept = tmp_path / "sweep" / str(i) / "checkpoints"
        assert (kept / "checkpoint_best.pt").is_file() and (kept / "details.log").read_text().count(
            "begin training epoch 1"
        ) == 1
    alone = common | {"optimization.lr": "[1e-6]", "common.seed": 2}
    hydra("electra_tiny", alone, cwd=tmp_path)
    assert_same_weights(found[3], weights(tmp_path / "checkpoints"))


def test_config_translates_any_training_command(tmp_path):
    given = [
        "data-bin",
        "--user-dir",
        USER_DIR,
        *command_line("electra_small")[3:],
        "--lr",
        "1e-4",
        "--total-num-update",
        "7",
    ]
    made = OmegaConf.create(electra("config", "--", "fairseq-train", *given).stdout)
    assert made.optimization.lr == [1e-4] and made.lr_scheduler.total_num_update == 7


def test_config_refuses_other_commands():
    done = electra("config", "--", "fairseq-validate", "data-bin", check=False)
    assert done.returncode == 1 and "config translates fairseq-train, got fairseq-validate" in done.stderr
