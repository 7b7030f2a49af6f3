"""Templates of prompts: text with places for an example's texts, and a word that stands for its label."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from fairseq_electra.errors import InputError, listed
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION

FOLDER = Path(__file__).parents[1] / "config" / "prompts"  # a file for each task that has a template
LABEL = "label"
ENTRIES = ("template", "verbalizers")


class Part(NamedTuple):
    """A part of a template."""

    literal: str
    field: str | None  # behind the literal text; None: the template ends there


@dataclass(frozen=True)
class Template:
    """A template of prompts for one task.

    Args:
        text: text with the fields ``{label}`` and ``{text}``, or of pairs ``{text1}`` and ``{text2}``.
        verbalizers: the text that replaces ``{label}``, for each label in the task's order.
    """

    text: str
    verbalizers: Mapping[str, str]

    @property
    def parts(self) -> list[Part]:
        """The parts of the text, in order."""
        return [
            Part(literal, None if name is None else name + bool(form) * f":{form}" + bool(as_) * f"!{as_}")
            for literal, name, form, as_ in string.Formatter().parse(self.text)
        ]


def text_fields(info: TaskInfo) -> list[str]:
    """Return the names that a task's texts have in templates."""
    return ["text"] if info.inputs == 1 else [f"text{i + 1}" for i in range(info.inputs)]


def template_of(info: TaskInfo, path: Path | None = None) -> Template:
    """Read the template for a task.

    Args:
        info: the task.
        path: a YAML file with the entries :data:`ENTRIES`; None: the package's own file for the task.

    Raises:
        InputError: the task has no labels to choose from, there is no template for it, or the file cannot be
            read or does not fit the task.
    """
    if info.kind != PREDICTION or not info.labels:
        raise InputError(f"{info.name} has no classes to choose from; prompts are for tasks with classes")
    if path is None:
        path = FOLDER / f"{info.name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
            raise InputError(
                f"there is no template for the task {info.name!r}, only for {known}; give one with"
                " --template FILE"
            )
    given = _read(path)
    template = Template(_text(given["template"], path), _verbalizers(given["verbalizers"], info, path))
    _check_fields(template, info, path)
    return template


def _read(path: Path) -> dict[str, Any]:
    try:
        given: Any = OmegaConf.to_container(OmegaConf.load(path))
    except RecursionError as error:
        raise InputError(f"cannot read the template {path}: entries are in each other without end") from error
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        hint = "" if isinstance(error, OSError | UnicodeDecodeError) else "; texts with braces need quotes"
        raise InputError(f"cannot read the template {path}: {' '.join(str(error).split())}{hint}") from error
    if not isinstance(given, dict) or set(given) != set(ENTRIES):
        raise InputError(f"{path}: a template has the entries {' and '.join(ENTRIES)}, and no others")
    return given


def _text(value: Any, path: Path) -> str:
    if not isinstance(value, str):
        raise InputError(f"{path}: template is {value!r}; write a text, in quotes")
    return value


def _verbalizers(given: Any, info: TaskInfo, path: Path) -> dict[str, str]:
    if not isinstance(given, dict):
        raise InputError(f"{path}: verbalizers has a line for each label, such as '\"1\": great'")
    found: dict[str, str] = {}
    for label, verbalizer in given.items():
        # YAML reads yes and no without quotes as true and false
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise InputError(f"{path}: verbalizers: the label {label!r} is not a text; write it in quotes")
        if not isinstance(verbalizer, str):
            raise InputError(
                f"{path}: verbalizers: that of {label!r} is {verbalizer!r}, not a text; write it in quotes"
            )
        if str(label) not in info.labels:
            raise InputError(
                f"{path}: verbalizers: {info.name} has no label {str(label)!r}; it has {listed(info.labels)}"
            )
        found[str(label)] = verbalizer
    for label in info.labels:
        if label not in found:
            raise InputError(f"{path}: the label {label!r} of {info.name} has no verbalizer; add one")
    return {label: found[label] for label in info.labels}


def _check_fields(template: Template, info: TaskInfo, path: Path) -> None:
    try:
        fields = [part.field for part in template.parts if part.field is not None]
    except ValueError as error:
        raise InputError(f"{path}: template: {error}; write {{{{ and }}}} for braces in the text") from error
    known = [*text_fields(info), LABEL]
    for name in fields:
        if name not in known:
            raise InputError(
                f"{path}: template: unknown field {{{name}}}; {info.name} has"
                f" {', '.join(f'{{{each}}}' for each in known)}"
            )
        if fields.count(name) > 1:
            raise InputError(f"{path}: template: {{{name}}} stands there twice; name each field once")
    if not set(fields) & set(text_fields(info)):
        raise InputError(
            f"{path}: template {template.text!r} has no text of the example; write"
            f" {' or '.join(f'{{{name}}}' for name in text_fields(info))} where it stands"
        )
    if LABEL not in fields:
        raise InputError(f"{path}: template {template.text!r} lacks {{{LABEL}}}, the verbalizer's place")
