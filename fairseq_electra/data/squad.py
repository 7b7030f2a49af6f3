"""SQuAD's files, 1.1 and 2.0, and any file of that form."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.data.text import read_lines
from fairseq_electra.errors import InputError


@dataclass(frozen=True)
class Question:
    """A question to a text.

    Args:
        id: as it stands in the file.
        text: of the question.
        context: number of its context.
        answers: of each where it begins in the context, in characters, and its text; none: the context does not answer it.
    """

    id: str
    text: str
    context: int
    answers: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Squad:
    """A file's contexts and questions, in its order."""

    contexts: list[str]
    questions: list[Question]


def read_squad(path: str | Path, labelled: bool = True) -> Squad:
    """Read ``{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers", "is_impossible"}]}]}]}``.

    Args:
        path: a JSON file; plain, ``.gz`` or ``.xz``.
        labelled: every question must have an answer, or say that it has none.

    Raises:
        InputError: the file is not of that form, an answer does not stand where it says, an id comes twice, or there is no question;
            names the question.
    """
    text = "\n".join(read_lines(path))
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg}); give a file of SQuAD's form") from error
    found, seen = Squad([], []), set()
    for context, record in _questions(data, path):
        if not found.contexts or found.contexts[-1] is not context:
            found.contexts.append(context)
        question = _question(record, context, len(found.contexts) - 1, path, labelled)
        if question.id in seen:
            raise InputError(f"{path}, question {question.id}: this id comes twice; every question needs its own")
        seen.add(question.id)
        found.questions.append(question)
    if not found.questions:
        raise InputError(f"{path} holds no question; give a file with paragraphs and questions in them")
    return found


def _questions(data: dict, path: str | Path) -> Iterator[tuple[str, dict]]:
    place = "its beginning"
    try:
        for i, article in enumerate(data["data"]):
            place = f"article {i + 1}"
            for k, paragraph in enumerate(article["paragraphs"]):
                place = f"article {i + 1}, paragraph {k + 1}"
                context = paragraph["context"]
                if not isinstance(context, str):
                    raise TypeError
                _check_text(context, f"{path}, {place}: the context")
                for record in paragraph["qas"]:
                    yield context, record
    except (KeyError, TypeError) as error:
        missing = f"no {error}" if isinstance(error, KeyError) else "another form"
        raise InputError(f"{path}, {place}: {missing}; SQuAD's form is data, paragraphs, context and qas") from error


def _question(record: dict, context: str, number: int, path: str | Path, labelled: bool) -> Question:
    name = record.get("id", "without an id") if isinstance(record, dict) else "without an id"
    place = f"{path}, question {name}"
    try:
        text, answers = record["question"], record.get("answers", [])
        if not isinstance(text, str):
            raise TypeError("the question is no text")
        text = text.strip()
        found = tuple(dict.fromkeys((int(answer["answer_start"]), str(answer["text"])) for answer in answers))
        question = Question(str(record["id"]), text, number, () if record.get("is_impossible") else found)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(f"{place}: damaged ({type(error).__name__}: {error}); it needs id, question and answers") from error
    _check_text(question.id, f"{path}, question {question.id!a}: the id")
    _check_text(question.text, f"{place}: the question")
    if not text:
        raise InputError(f"{place}: the question is empty; write one, or take it out")
    for start, answer in question.answers:
        if not answer.strip() or start < 0 or context[start : start + len(answer)] != answer:
            there = context[max(start, 0) : max(start, 0) + len(answer)]
            raise InputError(f"{place}: the answer {answer!r} is not in the context at character {start}, there is {there!r}")
    if labelled and not question.answers and not record.get("is_impossible"):
        raise InputError(f'{place}: no answer; give one, or "is_impossible": true')
    return question


def _check_text(text: str, what: str) -> None:
    """Refuse what JSON can write and UTF-8 cannot: one half of a character of UTF-16."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} holds half a character, {text[error.start]!a} at {error.start}; write both halves, or take it out"
        ) from error
