"""Pages of all options: fairseq-train's from dataclasses, fairseq-electra's from the commands' parsers.

python -m docs.make.options      # prints them as JSON, by their paths in the site
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple, get_args

# of fairseq's options, those of training
GROUPS = ("dataset", "optimization", "checkpoint", "common", "distributed_training", "ema")
KINDS = ("task", "arch", "criterion", "optimizer", "lr_scheduler", "bpe")
TITLES = {"arch": "Models (`--arch`)", "lr_scheduler": "Schedules (`--lr-scheduler`)"}


class Option(NamedTuple):
    """A row of a table of options, as Markdown cells."""

    name: str
    default: str
    help: str


def pages() -> dict[str, str]:
    """Make the pages, by their path in the site."""
    import fairseq_electra

    fairseq_electra.register()
    return {
        "reference/training-options.md": training_page(),
        "reference/fairseq-options.md": fairseq_page(),
        "reference/commands.md": commands_page(),
    }


def training_page() -> str:
    """Write the options of this package's components."""
    from fairseq_electra.compat.components import own_names

    parts = [
        "# Options of this package's components\n\nThis page is made from the dataclasses when the site is"
        " built. Each table lists the options that a component adds to `fairseq-train`; under"
        " `fairseq-hydra-train` the same option is `GROUP.NAME`, for example `task.mask_prob`. `--as"
        " {paper,google}`, which a command line alone has, sets several options at once: see"
        " [Train as the original does](../how-to/original.md)."
    ]
    for kind in KINDS:
        names_of = own_names(kind)
        if names_of:
            parts.append(f"## {TITLES.get(kind, f'`--{kind}`')}")
        for component, names in names_of.items():
            dataclass = getattr(component, "__dataclass", None)
            rows = dataclass_options(dataclass) if dataclass else []
            parts += [
                f"### {', '.join(f'`{name}`' for name in names)}",
                table(rows) if rows else "No options of its own.",
            ]
    return "\n\n".join(parts) + "\n"


def fairseq_page() -> str:
    """Write fairseq's own options of training."""
    from fairseq.dataclass.configs import FairseqConfig

    parts = [
        "# fairseq's own options\n\nThis page is made from fairseq's dataclasses when the site is built; the"
        " descriptions are fairseq's. [fairseq's trainer](../trainer.md) lists those that were tried with"
        " this package, and what it changes. Two defaults differ on the command line:"
        " `--required-batch-size-multiple` is 1, and `--lr` must be given with `electra_adam`."
    ]
    for group in GROUPS:
        field = FairseqConfig.__dataclass_fields__[group]
        parts += [f"## `{group}`", table(dataclass_options(field.type))]
    return "\n\n".join(parts) + "\n"


def commands_page() -> str:
    """Write ``fairseq-electra COMMAND --help`` of every command."""
    parts = [
        "# fairseq-electra's commands\n\n"
        "This page is made from the commands' parsers when the site is built; "
        "`fairseq-electra COMMAND --help` prints the same."
    ]
    for name, module in command_modules():
        parts += [f"## {name}", documentation(module)]
        if hasattr(module, "add_arguments"):
            parser = argparse.ArgumentParser(prog=f"fairseq-electra {name}", add_help=False)
            module.add_arguments(parser)
            usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
            parts += [f"```text\n{usage}\n```", table(parser_options(parser))]
    return "\n\n".join(part for part in parts if part) + "\n"


def command_modules() -> Iterable[tuple[str, Any]]:
    """Yield each command's name and module."""
    from fairseq_electra import cli

    for name, file in cli.commands().items():
        yield name, importlib.import_module(f"{cli.__name__}.{file.stem}")


def documentation(module: Any) -> str:
    """Return a module's docstring as Markdown: lines of commands become blocks of code."""
    blocks = inspect.cleandoc(module.__doc__ or "").split("\n\n")
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(block)}\n```" if is_code(block) else escaped(block) for block in blocks
    )


def is_code(block: str) -> bool:
    """Tell whether a docstring's paragraph is indented, has columns, or is a command without a sentence."""
    if block.startswith(" ") or "  " in block.strip():
        return True
    return block.startswith(("fairseq-", "echo ")) and not block.rstrip().endswith((".", ":"))


def dataclass_options(dataclass: Any) -> list[Option]:
    """List the options of a dataclass.

    Fields without a description follow another group's option: left out.
    """
    rows = []
    for field in dataclasses.fields(dataclass):
        if field.name == "_name" or not field.metadata.get("help"):
            continue
        text = escaped(str(field.metadata["help"]))
        if choices := ", ".join(f"`{choice}`" for choice in choices_of(field.type)):
            text += f"; one of {choices}"
        positional = field.name == "data" and not field.metadata.get("argparse_alias")
        name = "`DATA`" if positional else f"`--{field.name.replace('_', '-')}`"
        rows.append(Option(name, shown_default(field), text))
    return rows


def choices_of(kind: Any) -> list[str]:
    """List the values of a field's type, if it is one of fairseq's enumerations or such a type or None."""
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Enum):
            return [str(one.value) for one in part]
    return []


def shown_default(field: dataclasses.Field) -> str:
    """Return a field's default as a cell."""
    if field.default_factory is not dataclasses.MISSING:
        value: Any = field.default_factory()
    else:
        value = field.default
    if value is dataclasses.MISSING or value in (None, "", "???"):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    link = str(value)
    return f"that of `{link[2:-1]}`" if link.startswith("${") else f"`{link}`"


def parser_options(parser: argparse.ArgumentParser) -> list[Option]:
    """List the options of a parser."""
    formatter = argparse.HelpFormatter(parser.prog)
    rows = []
    for action in parser._actions:
        name = (
            ", ".join(f"`{option}`" for option in action.option_strings)
            or f"`{action.metavar or action.dest}`"
        )
        help_text = formatter._expand_help(action) if action.help else ""
        choices = [str(choice) for choice in action.choices or ()]
        if not all(choice in help_text for choice in choices):
            help_text += f"; one of {', '.join(choices)}"
        default = action.default
        shown = (
            ""
            if default in (None, False, "", [], argparse.SUPPRESS) or not action.option_strings
            else f"`{default}`"
        )
        rows.append(Option(name, shown, escaped(help_text)))
    return rows


def table(rows: list[Option]) -> str:
    """Write a table; rows keep their order."""
    if not rows:
        return ""
    lines = [f"| {row.name} | {row.default} | {row.help} |" for row in rows]
    return "\n".join(["| option | default | |", "|---|---|---|", *lines])


def escaped(text: str) -> str:
    """Keep a description within its cell and its special characters as they are; write options as code."""
    parts = " ".join(text.replace("``", "`").split()).split("`")
    for i in range(0, len(parts), 2):  # what is not code already
        plain = parts[i].replace("<", "&lt;").replace("*", "\\*").replace("{", "&#123;")
        parts[i] = re.sub(r"(?<![\w-])--[a-z][\w-]*", r"`\g<0>`", plain)
    return "`".join(parts).replace("|", "\\|")


if __name__ == "__main__":
    print(json.dumps(pages()))
