"""Prompts as rows: an example's texts in a template, with the verbalizer of each label in its place."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences.folder import truncate
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.pieces import WordPieces
from fairseq_electra.pretraining.symbols import SPECIAL_SYMBOL
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, UNK_ID
from fairseq_electra.probes.templates import LABEL, Part, Template, text_fields

FINAL_PUNCTUATION = tuple(".?!,;:'")


class Prompt(NamedTuple):
    """The ids of an example's prompt on both sides of the verbalizer."""

    before: tuple[int, ...]  # from <s> on
    after: tuple[int, ...]  # up to </s>


@dataclass(frozen=True)
class Prompts:
    """The prompts of a task's examples.

    Args:
        prompts: one for each example.
        verbalizers: the ids of each label's verbalizer, in the order of the labels.
        mask: id of ``<mask>``.
        shortened: number of examples whose texts were cut.
    """

    prompts: list[Prompt]
    verbalizers: list[tuple[int, ...]]
    mask: int
    shortened: int

    def sizes(self) -> list[int]:
        """Return the number of tokens of each example's longest row."""
        longest = max(map(len, self.verbalizers))
        return [len(before) + longest + len(after) for before, after in self.prompts]

    def take(self, numbers: Sequence[int]) -> "Prompts":
        """Keep some of the examples."""
        return replace(self, prompts=[self.prompts[i] for i in numbers])


def make_prompts(
    net: ElectraHubInterface, template: Template, info: TaskInfo, examples: Sequence[Sequence[list[int]]]
) -> Prompts:
    """Put examples into a template.

    All of a row is one segment. Where the template goes on with punctuation right behind a text, the text's
    own final punctuation is left out. A row longer than the model's rows in training loses tokens of its
    longest text, never of the template or the verbalizer, and the rows of all labels lose the same.

    Args:
        net: the model that is to read the prompts.
        template: a template for the task.
        info: the task.
        examples: the ids of each example's texts.

    Raises:
        InputError: the vocabulary does not know a word of the template, cuts two verbalizers into the same
            tokens or one into none, or the template leaves no place for a text.

    Source: facebookresearch/ELECTRA-Fewshot-Learning templates.py, which leaves out final punctuation.
    """
    kind = _WordParts if isinstance(net.pieces, WordPieces) else _ByteParts
    parts, verbalizers = kind(net, template), _encoded_verbalizers(net, template)
    longest = max(map(len, verbalizers))
    room = net.max_length - 2 - longest - sum(map(len, parts.literals))
    if room < 1:
        raise InputError(
            f"the template {template.text!r} leaves no place for a text in rows of {net.max_length} tokens;"
            " shorten it"
        )
    numbers = {name: i for i, name in enumerate(text_fields(info))}
    fields = [part.field for part in template.parts if part.field in numbers]
    followed = _followed_by_punctuation(template.parts)
    prompts, shortened = [], 0
    for example in examples:
        texts = {name: example[numbers[name]] for name in fields}
        texts |= {name: parts.without_final(texts[name]) for name in followed}
        left, excess = room, 1
        while excess > 0:  # pieces of bytes may be cut otherwise once they stand side by side
            fitted = dict(zip(texts, truncate(list(texts.values()), left), strict=True))
            prompt = parts.prompt(fitted)
            excess = len(prompt.before) + longest + len(prompt.after) - net.max_length
            left -= excess
        shortened += fitted != texts
        prompts.append(prompt)
    return Prompts(prompts, verbalizers, net.mask, shortened)


class _Parts(ABC):
    """The parts of a template, into which texts are put.

    Attributes:
        literals: the ids of each literal text by itself.
    """

    def __init__(self, net: ElectraHubInterface, template: Template):
        self.net, self.parts = net, template.parts
        self.literals = [_encode(net, part.literal.rstrip(), "the template") for part in self.parts]

    @abstractmethod
    def without_final(self, text: list[int]) -> list[int]:
        """Leave out the final punctuation of a text."""

    @abstractmethod
    def prompt(self, texts: dict[str, list[int]]) -> Prompt:
        """Put texts in their places, by the names of their fields."""


class _WordParts(_Parts):
    """Those of WordPiece: the ids of a text are the same in every place."""

    def without_final(self, text: list[int]) -> list[int]:
        end = len(text)
        while end and self.net.symbols[text[end - 1]] in FINAL_PUNCTUATION:
            end -= 1
        return text[:end]

    def prompt(self, texts: dict[str, list[int]]) -> Prompt:
        sides: tuple[list[int], list[int]] = [BOS_ID], []
        side = sides[0]
        for literal, part in zip(self.literals, self.parts, strict=True):
            side += literal
            if part.field == LABEL:
                side = sides[1]
            elif part.field is not None:
                side += texts[part.field]
        return Prompt(tuple(sides[0]), (*sides[1], EOS_ID))


class _ByteParts(_Parts):
    """Those of byte-level BPE, whose ids depend on what stands beside a text: each side is encoded whole."""

    def without_final(self, text: list[int]) -> list[int]:
        return self._ids(self._text(text).rstrip("".join(FINAL_PUNCTUATION)))

    def prompt(self, texts: dict[str, list[int]]) -> Prompt:
        sides = ["", ""]
        side = 0
        for part in self.parts:
            sides[side] += part.literal
            if part.field == LABEL:
                side = 1
            elif part.field is not None:
                sides[side] += self._text(texts[part.field])
        before, after = (self._ids(each.rstrip()) for each in sides)
        return Prompt((BOS_ID, *before), (*after, EOS_ID))

    def _ids(self, text: str) -> list[int]:
        return self.net.tokenizer.encode(text, add_special_tokens=False).ids

    def _text(self, ids: list[int]) -> str:
        """Return a text without blanks around it, and without half a character where it was cut."""
        return self.net.pieces.join([self.net.symbols[i] for i in ids]).rstrip("\ufffd").strip()


def _followed_by_punctuation(parts: Sequence[Part]) -> set[str]:
    """Find the fields of texts that the template goes on with punctuation behind."""
    return {
        part.field
        for part, following in itertools.pairwise(parts)
        if part.field not in (None, LABEL) and following.literal.startswith(FINAL_PUNCTUATION)
    }


def _encoded_verbalizers(net: ElectraHubInterface, template: Template) -> list[tuple[int, ...]]:
    label_of: dict[tuple[int, ...], str] = {}
    (before,) = (part.literal for part in template.parts if part.field == LABEL)
    blank = " " if before[-1:].isspace() else ""  # of byte-level BPE it belongs to the word behind it
    for label, verbalizer in template.verbalizers.items():
        text = verbalizer.strip()
        ids = tuple(_encode(net, blank + text, f"the verbalizer of the label {label!r}")) if text else ()
        if not ids:
            raise InputError(
                f"the verbalizer of the label {label!r}, {verbalizer!r}, has no token; write a word"
            )
        if ids in label_of:
            raise InputError(
                f"the labels {label_of[ids]!r} and {label!r} have verbalizers of the same tokens,"
                f" {verbalizer!r}; give each its own"
            )
        label_of[ids] = label
    return list(label_of)


def _encode(net: ElectraHubInterface, text: str, what: str) -> list[int]:
    if symbol := SPECIAL_SYMBOL.search(text):
        raise InputError(
            f"{symbol.group()!r} of {what} is no symbol in a prompt, and would be read as text; leave it out"
        )
    encoding = net.tokenizer.encode(text, add_special_tokens=False)
    for number, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
        if number == UNK_ID:
            raise InputError(
                f"the vocabulary does not know {text[begin:end]!r} of {what}, which becomes <unk>; choose"
                " another word"
            )
    return encoding.ids
