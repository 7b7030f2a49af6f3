"""Prompts as rows: an example's texts in a template, with the verbalizer of each label in its place."""

import itertools
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

    The parts of a template are cut into pieces one by one. All of a row is one segment. Where the template
    goes on with punctuation right behind a text, the text's own final punctuation is left out. A row longer
    than the model's rows in training loses tokens of its longest text, never of the template or the
    verbalizer, and the rows of all labels lose the same.

    Args:
        net: the model that is to read the prompts.
        template: a template for the task.
        info: the task.
        examples: the ids of each example's texts.

    Raises:
        InputError: the vocabulary is not WordPiece, does not know a word of the template, cuts two
            verbalizers into the same tokens or one into none, or the template leaves no place for a text.

    Source: facebookresearch/ELECTRA-Fewshot-Learning templates.py, which leaves out final punctuation.
    """
    if not isinstance(net.pieces, WordPieces):
        raise InputError(
            f"prompts need a WordPiece vocabulary, and the model's is {net.pieces.name}, whose pieces depend"
            " on the blanks between the parts of a template; fine-tune the model instead"
        )
    literals = [_encode(net, part.literal, "the template") for part in template.parts]
    verbalizers = _encoded_verbalizers(net, template)
    numbers = {name: i for i, name in enumerate(text_fields(info))}
    slots = [part.field for part in template.parts]
    followed = _followed_by_punctuation(template.parts)
    marks = {i for i, symbol in enumerate(net.symbols) if symbol in FINAL_PUNCTUATION}
    room = net.max_length - 2 - max(map(len, verbalizers)) - sum(map(len, literals))
    if room < 1:
        raise InputError(
            f"the template {template.text!r} leaves no place for a text in rows of {net.max_length} tokens;"
            " shorten it"
        )
    prompts, shortened = [], 0
    for example in examples:
        texts = {name: example[numbers[name]] for name in slots if name in numbers}
        texts |= {name: _without_final(texts[name], marks) for name in followed}
        fitted = dict(zip(texts, truncate(list(texts.values()), room), strict=True))
        shortened += fitted != texts
        prompts.append(_prompt(literals, slots, fitted))
    return Prompts(prompts, verbalizers, net.mask, shortened)


def _prompt(
    literals: Sequence[list[int]], slots: Sequence[str | None], texts: dict[str, list[int]]
) -> Prompt:
    sides: tuple[list[int], list[int]] = [BOS_ID], []
    side = sides[0]
    for literal, slot in zip(literals, slots, strict=True):
        side += literal
        if slot == LABEL:
            side = sides[1]
        elif slot is not None:
            side += texts[slot]
    return Prompt(tuple(sides[0]), (*sides[1], EOS_ID))


def _followed_by_punctuation(parts: Sequence[Part]) -> set[str]:
    """Find the fields of texts that the template goes on with punctuation behind."""
    return {
        part.field
        for part, following in itertools.pairwise(parts)
        if part.field not in (None, LABEL) and following.literal.startswith(FINAL_PUNCTUATION)
    }


def _without_final(text: list[int], marks: set[int]) -> list[int]:
    end = len(text)
    while end and text[end - 1] in marks:
        end -= 1
    return text[:end]


def _encoded_verbalizers(net: ElectraHubInterface, template: Template) -> list[tuple[int, ...]]:
    label_of: dict[tuple[int, ...], str] = {}
    for label, verbalizer in template.verbalizers.items():
        ids = tuple(_encode(net, verbalizer, f"the verbalizer of the label {label!r}"))
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
