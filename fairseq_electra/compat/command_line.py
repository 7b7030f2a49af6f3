"""A mistake on a command line is answered with one sentence, and ``--help`` lists the named components.

options.py::get_parser and parse_args_and_arch answer a mistake with the usage of all options, or with
``raise RuntimeError()``, and ``--help`` before the options of the named components are known. utils.py::
import_user_module answers a wrong --user-dir with a traceback. Here each ends in one sentence.
"""

import argparse
import functools
import logging
import re
import shlex
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from fairseq_electra import originals
from fairseq_electra.compat import component_help, quiet
from fairseq_electra.compat.components import all_components, own_components
from fairseq_electra.compat.replacing import Overlay
from fairseq_electra.electra.configuration import objective_of
from fairseq_electra.electra.sizes import option as option_of
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.originals import is_given

logger = logging.getLogger(__name__)
PRETRAINING = "electra_pretraining"
CRITERIONS = {PRETRAINING: "replaced_token_detection"} | {kind: kind for kind in KINDS}  # by task
USER_DIR = 'give --user-dir "$(fairseq-electra user-dir)"'
HELP = {"-h", "--help"}


class SentenceParser(argparse.ArgumentParser):
    """A parser that explains a mistake in one sentence, with the nearest name that exists."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            InputError: always.
        """
        raise InputError(self._sentence(message))

    def _sentence(self, message: str) -> str:
        if match := re.match(r"argument (\S+?)(?:/\S+)?: invalid choice: '(.*?)' \(choose from", message):
            option, given = match.groups()
            names = [str(name) for name in self._option_string_actions[option].choices or ()]
            hint = nearest(given, names) or choices_of(option, names)
            return f"{option} {given}: there is no such name; {hint}"
        if match := re.match(r"unrecognized arguments: (.*)", message):
            word = match[1].split()[0]
            if not word.startswith("-"):
                return f"{word}: one argument too many; quote a value that has blanks, or see --help"
            option = word.split("=")[0]
            hint = nearest(option, list(self._option_string_actions)) or "see --help"
            return f"{option} is not an option here; {hint}"
        if match := re.match(r"the following arguments are required: (.*)", message):
            return f"{match[1]} is missing; give it, or see --help"
        if match := re.match(r"argument (\S+?)(?:/\S+)?: (.*)", message, re.DOTALL):
            return f"{match[1]}: {match[2]}; see --help"
        return f"{message}; see --help"


def nearest(given: str, names: Sequence[str]) -> str:
    """Suggest the nearest of some names; empty if none is near."""
    near = get_close_matches(given, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def choices_of(option: str, names: Sequence[str]) -> str:
    """List the names that exist; of components those of this package, where it has some."""
    own = own_components(option.removeprefix("--").replace("-", "_"))
    return (
        f"those of fairseq_electra are {', '.join(own)}" if own else f"choose from {', '.join(sorted(names))}"
    )


def check_command_lines() -> None:
    """Change options.py::parse_args_and_arch, the parsers of that file, and utils.py::import_user_module."""
    from fairseq import options, utils

    plain, plain_import = options.parse_args_and_arch, utils.import_user_module
    # for parsers that are made from now on; fairseq makes its own after the import of --user-dir
    options.argparse = Overlay(argparse, ArgumentParser=SentenceParser)

    @functools.wraps(plain)
    def parse_args_and_arch(
        parser, input_args=None, parse_known=False, suppress_defaults=False, modify_parser=None
    ):
        given = list(sys.argv[1:] if input_args is None else input_args)
        if not suppress_defaults:  # else fairseq calls this once more, without it
            quiet.add_option(parser)
            add_as_option(parser)
            asked = HELP.intersection(given)
            named, _ = parser.parse_known_args([word for word in given if word not in HELP])
            if asked:
                component_help.print_help(parser, named)
                parser.exit()
            check(named, given)
            quiet.details.start(getattr(named, quiet.OPTION, False))
            input_args = spell_out_as(named, given)
        parsed = plain(parser, input_args, parse_known, suppress_defaults, modify_parser)
        args = parsed[0] if parse_known and not suppress_defaults else parsed
        set_total_updates(args)
        if not suppress_defaults:
            check_taken_over(args, given)
        return parsed

    @functools.wraps(plain_import)
    def import_user_module(args):
        try:
            plain_import(args)
        except FileNotFoundError as error:
            raise InputError(f"--user-dir {args.user_dir}: no such folder; {USER_DIR}") from error

    options.parse_args_and_arch, utils.import_user_module = parse_args_and_arch, import_user_module


def check(named: argparse.Namespace, given: Sequence[str]) -> None:
    """Refuse a command line that leaves out what the run needs.

    Args:
        named: The options that a first parse has found, without those of the components.
        given: The command line.

    Raises:
        InputError: Something is missing.
    """
    task, arch = getattr(named, "task", None), getattr(named, "arch", None)
    trains = hasattr(named, "arch")  # the others read the model from a checkpoint
    if task is None or (trains and not is_given("--task", given) and arch in (*own_components("arch"), None)):
        raise InputError(f"--task is missing; give the task, such as {', '.join(CRITERIONS)}")
    criterion = CRITERIONS.get(task, "")
    if trains and arch is None:
        archs = own_components("arch")
        if criterion:
            archs = pretraining_archs() if task == PRETRAINING else ["electra_encoder"]
        raise InputError(f"--arch is missing; give the model: {', '.join(archs)}")
    if trains and criterion:
        check_partners(named, given, criterion)
    if trains and named.optimizer == "electra_adam" and not is_given("--lr", given):
        raise InputError(
            "--lr is missing; give the learning rate, such as --lr 1e-3 (fairseq's default, .25, is for other"
            " optimizers)"
        )
    if hasattr(named, "path") and named.path is None:
        raise InputError(
            "--path is missing; give the checkpoint, such as --path checkpoints/checkpoint_last.pt"
        )
    if getattr(named, "log_file", None) is not None and not Path(named.log_file).absolute().parent.is_dir():
        raise InputError(
            f"--log-file {named.log_file}: there is no folder {Path(named.log_file).parent}; make it"
        )


def check_partners(named: argparse.Namespace, given: Sequence[str], criterion: str) -> None:
    """Refuse a criterion or a model, of this package or of fairseq, that does not belong to the task.

    Args:
        named: The options that a first parse has found.
        given: The command line.
        criterion: The criterion of the task.

    Raises:
        InputError: The criterion or the model does not belong to the task.
    """
    if not is_given("--criterion", given):
        raise InputError(f"--criterion is missing; --task {named.task} needs --criterion {criterion}")
    module = all_components()["criterion"][named.criterion].__module__
    if module.startswith(("fairseq.criterions.", "fairseq_electra.")) and not named.criterion.startswith(
        criterion
    ):
        raise InputError(f"--criterion {named.criterion}: --task {named.task} needs --criterion {criterion}")
    if named.task in KINDS and named.arch in own_components("arch") and named.arch != "electra_encoder":
        raise InputError(
            f"--arch {named.arch} is for pre-training; --task {named.task} needs --arch electra_encoder"
            " --finetune-from-model CHECKPOINT"
        )


def pretraining_archs() -> list[str]:
    """Return the names of the models for pre-training."""
    return [name for name in own_components("arch") if name not in ("electra", "electra_encoder")]


def add_as_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--as`` to a parser of training, unless it has it; a YAML file lists what it stands for."""
    known = parser._option_string_actions
    if "--arch" in known and originals.OPTION not in known:
        parser.add_argument(
            originals.OPTION,
            dest="as_the",  # "as" is a word of Python's
            choices=originals.ORIGINALS,
            help=(
                "make the choices of ELECTRA's paper, or of its code, where the command line makes none:"
                " network, masking, Adam, schedule and loss; docs/how-to/original.md lists them"
            ),
        )


def spell_out_as(named: argparse.Namespace, given: list[str]) -> list[str]:
    """Put what ``--as`` stands for before the words of a command line, so that the latter win.

    Args:
        named: The options that a first parse has found.
        given: The command line.

    Returns:
        The command line without ``--as``; where there is none, as given.

    Raises:
        InputError: The model is not one of this package.
    """
    if getattr(named, "as_the", None) is None:
        return given
    original, others = originals.take_as(given)
    assert original is not None  # the first parse has found it
    arch = named.arch
    if arch not in own_components("arch"):
        raise InputError(
            f"{originals.OPTION} {original}: --arch {arch} is not one of this package's models; leave it out"
        )
    size = originals.value_of("--model-size", given)
    if (size or arch.removeprefix("electra_")).startswith("modern_"):
        named_by = f"--model-size {size}" if size else f"--arch {arch}"
        raise InputError(
            f"{originals.OPTION} {original}: {named_by} has other layers than the original; leave out one"
            " of the two"
        )
    choices = originals.PRETRAINING if named.task == PRETRAINING else originals.FINETUNING
    if arch in pretraining_archs() or is_given("--model-size", given):  # else the checkpoint has decided
        choices = (*originals.NETWORK, *choices)
    words = originals.options_of(original, choices, others)
    logger.info(f"{originals.OPTION} {original}: {shlex.join(words)}")
    return [*words, *others]


def check_taken_over(args: argparse.Namespace, given: Sequence[str]) -> None:
    """Refuse what ``--arch electra`` takes from a checkpoint where the command line asks for the default.

    The model cannot tell the default from an option that is not given.

    Args:
        args: All options of a run.
        given: The command line.

    Raises:
        InputError: The checkpoint to start from has another value.
    """
    if getattr(args, "arch", None) != "electra" or getattr(args, "model_size", None) is not None:
        return
    from fairseq_electra.models._traits import checkpoint_of
    from fairseq_electra.models.electra import ElectraConfig

    path, cfg = checkpoint_of(args, args.finetune_from_model)
    saved = cfg.get("model") or {}
    for name in ("objective", "tie_embeddings"):
        usual, option = ElectraConfig.__dataclass_fields__[name].default, option_of(name)
        before = objective_of(saved) if name == "objective" and saved else saved.get(name, usual)
        if is_given(option, given) and getattr(args, name) == usual and str(before) != usual:
            raise InputError(
                f"{option} {usual}: {path} was trained with {option} {before}, which --arch electra takes"
                f" over: leave {option} out; or, for a new model, name a size and leave the checkpoint out"
            )


def set_total_updates(args: argparse.Namespace) -> None:
    """Set ``--total-num-update`` of polynomial_decay to ``--max-update``, where it is not given.

    optim/lr_scheduler/polynomial_decay_schedule.py, ``default=II("optimization.max_update")``, is not in
    effect on a command line: without --total-num-update the run ends in a traceback of hydra.

    Raises:
        InputError: Neither is given.
    """
    if (
        getattr(args, "lr_scheduler", None) == "polynomial_decay"
        and getattr(args, "total_num_update", 0) is None
    ):
        args.total_num_update = float(getattr(args, "max_update", 0) or 0)
        if not args.total_num_update:
            raise InputError(
                "--total-num-update is missing: --lr-scheduler polynomial_decay needs the update at which it"
                " ends; give it, or --max-update"
            )
