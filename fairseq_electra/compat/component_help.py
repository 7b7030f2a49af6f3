"""``--help`` of fairseq's commands lists fairseq's options, and then those of components.

They are the components that the command line names, and of the other kinds all of this package.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from fairseq_electra.compat.components import all_components, own_names


class WithDefaults(argparse.HelpFormatter):
    """A formatter whose lines end with the default value; a text may contain a bare per cent sign."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if "%(" not in text:
            text = text.replace("%", "%%")
        has_default = action.option_strings and action.default not in (None, False, argparse.SUPPRESS)
        return f"{text} (default: %(default)s)" if has_default and "default" not in text else text


def print_help(parser: argparse.ArgumentParser, named: argparse.Namespace) -> None:
    """Print the help of a parser, and then of the components.

    Args:
        parser: The parser of a command of fairseq.
        named: The options that a first parse of the command line has found.
    """
    print(parser.format_help())
    for title, component in components(parser, named):
        own = argparse.ArgumentParser(add_help=False, usage=argparse.SUPPRESS, formatter_class=WithDefaults)
        add_options(own.add_argument_group(title), component)
        print(own.format_help())


def components(parser: argparse.ArgumentParser, named: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield, with a title, each named component, and all of this package of the kinds that are not named."""
    for option, classes in all_components().items():
        if not hasattr(named, option):
            continue
        chosen, flag = getattr(named, option), f"--{option.replace('_', '-')}"
        if chosen is not None and chosen != parser.get_default(option):
            yield f"{flag} {chosen}", classes[chosen]
            continue
        for component, names in own_names(option).items():
            yield f"{flag} {', '.join(names)}", component


def add_options(group: Any, component: Any) -> None:
    """Add a component's options, as options.py::parse_args_and_arch does."""
    from fairseq.dataclass.utils import gen_parser_from_dataclass

    dataclass = getattr(component, "__dataclass", None)
    if dataclass is not None:  # not add_args, which leaves out the defaults of a model
        gen_parser_from_dataclass(group, dataclass())
    elif hasattr(component, "add_args"):
        component.add_args(group)
