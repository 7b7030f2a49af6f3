"""Turn a fairseq-train command line into the YAML file that gives fairseq-hydra-train the same run.

fairseq-electra config -- fairseq-train data-bin --task ... > my.yaml
# the recipe of a size, as config/pretraining has it
fairseq-electra config --size small > electra_small.yaml
fairseq-hydra-train --config-dir . --config-name my optimization.lr=[2e-4]

The file lists what the command line decides; every other option keeps the default of its dataclass. --full
lists all options.
"""

import argparse
import functools
import shlex
import sys
from dataclasses import fields

from omegaconf import OmegaConf

import fairseq_electra
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining import recipes

# the groups of fairseq's options that training reads
GROUPS = (
    *("task", "model", "criterion", "optimizer", "lr_scheduler"),
    *("optimization", "dataset", "checkpoint", "common", "ema", "bmuf", "distributed_training"),
)
# fairseq counts the GPUs it finds, unless the command line says how many to use
MACHINE_OPTIONS = {"distributed_world_size", "nprocs_per_node"}
# always listed: on a command line this package sets the default, but fairseq-hydra-train reads fairseq's
# before it imports the package (compat/batch_sizes.py::keep_batch_sizes)
PATCHED = {"required_batch_size_multiple"}
# where hydra works: in the folder it is called from, so that data-bin is found there and the same line
# resumes, as fairseq-train does
HYDRA = {"run": {"dir": "."}, "output_subdir": None}
COMMENT_WIDTH = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--full", action="store_true", help="list all options, defaults included")
    parser.add_argument(
        "--size", choices=MODEL_SIZES, help="instead of a command line: the recipe of a size of the table"
    )
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="fairseq-train and its arguments")


def run(args: argparse.Namespace) -> None:
    """Print the file."""
    if bool(args.size) == bool(args.command):
        raise InputError("give a command line after --, or --size SIZE for the recipe of a size")
    if args.size:
        sys.stdout.write(to_yaml(recipes.arguments(args.size), args.full))
        return
    if args.command[0] != "fairseq-train":
        raise InputError(
            f"config translates fairseq-train, got {args.command[0]}; give its command line after --"
        )
    sys.stdout.write(to_yaml(args.command[1:], args.full))


def to_yaml(arguments: list[str], full: bool = False) -> str:
    """Write the file for fairseq-train's arguments.

    Args:
        arguments: the command line without its first word.
        full: list all options, not only those of :func:`decided_options`.
    """
    cfg = compose(arguments)
    options_of = functools.partial(own_options if full else decided_options, named=named_options(arguments))
    groups = {"hydra": HYDRA} | {name: group for name in GROUPS if (group := options_of(cfg, name))}
    return f"# @package _group_\n{comment(arguments)}\n{OmegaConf.to_yaml(OmegaConf.create(groups))}"


def compose(arguments: list[str]):
    """Read a command line as fairseq-train does.

    The model replaces the architecture: hydra knows models, and the size is a field of ours.
    """
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.models import ARCH_MODEL_NAME_REGISTRY

    fairseq_electra.register()
    cfg = convert_namespace_to_omegaconf(
        options.parse_args_and_arch(options.get_training_parser(), input_args=arguments)
    )
    cfg.model._name = ARCH_MODEL_NAME_REGISTRY.get(cfg.model._name, cfg.model._name)
    return cfg


def own_options(cfg, name: str, named: set[str]) -> dict:
    """Return a group's options without those that follow another group's ("task.seed" is "common.seed").

    Arguments as of :func:`decided_options`.
    """
    group = OmegaConf.to_container(cfg[name], resolve=True, enum_to_str=True)
    assert isinstance(group, dict)
    links = {
        f.name: str(f.default)[2:-1]
        for f in fields(dataclass_of(cfg, name))
        if str(f.default).startswith("${")
    }
    follows = {key for key, link in links.items() if group[key] == OmegaConf.select(cfg, link)}
    left_out = follows | (MACHINE_OPTIONS - named)
    return {
        str(key): value
        for key, value in group.items()
        if key not in left_out and (key != "_name" or value is not None)
    }


def decided_options(cfg, name: str, named: set[str]) -> dict:
    """Return a group's options that are named on the command line or differ from the dataclass's default.

    Args:
        cfg: the configuration of :func:`compose`.
        name: the group's name.
        named: options on the command line, from :func:`named_options`.
    """
    defaults = OmegaConf.to_container(
        OmegaConf.structured(dataclass_of(cfg, name)), resolve=False, enum_to_str=True
    )
    assert isinstance(defaults, dict)
    listed = named | PATCHED | {"_name"}
    return {
        key: value
        for key, value in own_options(cfg, name, named).items()
        if key in listed or value != defaults.get(key)
    }


def named_options(arguments: list[str]) -> set[str]:
    """Name the options on a command line as the dataclasses do: ``--batch-size`` is ``batch_size``."""
    return {word[2:].partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--")}


def dataclass_of(cfg, group: str) -> type:
    """Find the dataclass of a group's options: that of the component it names, or fairseq's own."""
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from fairseq.registry import REGISTRIES
    from fairseq.tasks import TASK_DATACLASS_REGISTRY

    components = {name: registry["dataclass_registry"] for name, registry in REGISTRIES.items()}
    components |= {"task": TASK_DATACLASS_REGISTRY, "model": MODEL_DATACLASS_REGISTRY}
    if group not in components:
        field = FairseqConfig.__dataclass_fields__[group]
        return field.default if isinstance(field.default, type) else field.type
    name = cfg[group]._name
    dataclass = components[group].get(name)
    if dataclass is None:
        what = f"{group} {name} has no dataclass, so fairseq-hydra-train cannot take it"
        raise InputError(f"{what}; choose another {group}")
    return dataclass


def comment(arguments: list[str]) -> str:
    """Return the command line as comment lines; without their "# " it can be pasted into a shell."""
    words = [
        f" {shlex.quote(word)}" if word.startswith("-") else f"\0{shlex.quote(word)}" for word in arguments
    ]
    lines = ["# fairseq-train"]
    for option in "".join(words).replace(" --", "\n--").split("\n"):
        option = option.replace("\0", " ")
        if len(lines[-1]) + len(option) + 1 > COMMENT_WIDTH:
            lines[-1] += " \\"
            lines.append("#    ")
        lines[-1] += f" {option.strip()}"
    return "\n".join(lines)


def from_comment(text: str) -> list[str]:
    """Read the arguments back from the first lines of a file of :func:`to_yaml`."""
    lines = [line[1:] for line in text.split("\n")[1:] if line.startswith("#")]
    return shlex.split("\n".join(lines).replace("\\\n", " "))[1:]
