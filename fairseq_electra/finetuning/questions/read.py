"""SQuAD's files, 1.1 and 2.0, and any file of that form."""

from dataclasses import dataclass
from pathlib import Path

from fairseq_electra.errors import ExampleError, InputError, shortened
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.json_values import check_text, described, text_of
from fairseq_electra.finetuning.questions.forms import (
    answers_in,
    is_empty_of_datasets,
    questions_in,
    without_blanks,
)

QUESTION_COLUMNS = ("question", "context")  # of an input in JSON lines


@dataclass(frozen=True)
class Question:
    """A question to a text.

    Args:
        id: as it stands in the file.
        text: of the question.
        context: number of its context.
        answers: of each where it begins in the context, in characters, and its text; none: the context does
            not answer it.
    """

    id: str
    text: str
    context: int
    answers: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Squad:
    """A file's contexts and questions, in its order.

    Args:
        contexts: each text once.
        questions: all of them.
        labelled: the file says of them what answer they have.
        repaired: answers that had blanks around them.
    """

    contexts: list[str]
    questions: list[Question]
    labelled: bool = True
    repaired: int = 0


def read_squad(path: str | Path, labelled: bool | None = True, faults: Faults = STRICT) -> Squad:
    """Read questions in SQuAD's form, or as records.

    SQuAD's form is
    ``{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers", "is_impossible"}]}]}]}``.

    Args:
        path: a JSON file of that form, or of another that
            :func:`fairseq_electra.finetuning.questions.forms.questions_in` reads; plain, ``.gz`` or ``.xz``.
        labelled: every question must have an answer, or say that it has none. False: so it must be for all,
            or for no question. None: answers are not used, so they are not read.
        faults: gathers questions that cannot be used.

    Raises:
        InputError: the file is not of that form, a value is of the wrong kind, an answer does not stand where
            it says, an id comes twice, or there is no question; names the question.
    """
    contexts: dict[str, int] = {}
    questions: list[Question] = []
    ids, unanswered, with_empty_lists = set[str](), set[str](), set[str]()
    number_answered = repaired = 0
    before = len(faults.errors)
    for context, record in questions_in(path, faults):
        with faults:
            question = _question(
                record, context, contexts.get(context, len(contexts)), path, answered=labelled is not None
            )
            if question.id in ids:
                message = f"{path}, question {question.id}: this id comes twice; every question needs its own"
                raise ExampleError("with the id of another", message)
            ids.add(question.id)
            contexts.setdefault(context, question.context)
            questions.append(question)
            if labelled is None:
                continue
            repaired += sum(
                each["text"] != each["text"].strip() for each in answers_in(record.get("answers"), "")
            )
            if is_empty_of_datasets(record.get("answers")) and not record.get("is_impossible"):
                with_empty_lists.add(question.id)
            elif question.answers or record.get("is_impossible"):
                number_answered += 1
            else:
                unanswered.add(question.id)
    if labelled is False and not number_answered:
        # where no question has an answer, empty lists do not say that there is none
        unanswered |= with_empty_lists
    if not questions and len(faults.errors) == before:
        raise InputError(f"{path} holds no question; give a file with paragraphs and questions in them")
    if unanswered and (labelled or (labelled is False and number_answered)):
        others = "" if labelled else f", where {number_answered:,} others have one"
        for question in questions:
            with faults:
                if question.id in unanswered:
                    message = (
                        f'{path}, question {question.id}: no answer{others}; give one, or "is_impossible":'
                        " true"
                    )
                    raise ExampleError("without an answer", message)
        questions = [question for question in questions if question.id not in unanswered]
        unanswered.clear()
    return Squad(list(contexts), questions, labelled is not None and not unanswered, repaired)


def _question(record: dict, context: str, number: int, path: str | Path, answered: bool) -> Question:
    name = record.get("id") if isinstance(record, dict) else None
    if isinstance(name, str):
        check_text(name, f"{path}, question {name!a}: the id")
    place = f"{path}, question {name if isinstance(name, str | int) else 'without an id'}"
    try:
        text, name, answers = record["question"], record["id"], record.get("answers")
        impossible = record.get("is_impossible")
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{place}: damaged ({type(error).__name__}: {error}); it needs id, question and answers"
        ) from error
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise InputError(f"{place}: the id is {described(name)}; write a text or a whole number")
    text = text_of(text, f"{place}: the question").strip()
    if not text:
        raise ExampleError("that are empty", f"{place}: the question is empty; write one, or take it out")
    if not answered:
        return Question(str(name), text, number, ())
    if impossible is not None and not isinstance(impossible, bool):
        raise InputError(
            f'{place}: "is_impossible" is {described(impossible)}; write true or false, without quotes'
        )
    kept_answers = _answers(answers, context, place)
    if kept_answers and impossible:
        message = f'{place}: "is_impossible" is true, and there are answers; take out one or the other'
        raise ExampleError("that are impossible and have answers", message)
    return Question(str(name), text, number, kept_answers)


def _answers(answers: object, context: str, place: str) -> tuple[tuple[int, str], ...]:
    """The different answers of a record, without blanks around them; null is none."""
    kept = []
    for each in answers_in(answers, place):
        try:
            start, answer = each["answer_start"], each["text"]
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{place}: damaged ({type(error).__name__}: {error}); an answer needs text and answer_start"
            ) from error
        if not isinstance(start, int) or isinstance(start, bool):
            raise InputError(
                f"{place}: answer_start is {described(start)}; write a whole number, without quotes"
            )
        answer = text_of(answer, f"{place}: the text of an answer")
        if answer.strip():
            start, answer = without_blanks(start, answer, context)
        if not answer.strip() or start < 0 or context[start : start + len(answer)] != answer:
            there = context[max(start, 0) : max(start, 0) + len(answer)]
            message = (
                f"{place}: the answer {shortened(answer)!r} is not in the context at character {start}, there"
                f" is {shortened(there)!r}"
            )
            raise ExampleError("with an answer that is not where it says", message)
        kept.append((start, answer))
    return tuple(dict.fromkeys(kept))
