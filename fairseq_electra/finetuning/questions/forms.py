"""Other forms of SQuAD's records: those of the datasets library, and answers with blanks around them."""

import json
from collections.abc import Iterator
from pathlib import Path

from fairseq_electra.errors import ExampleError, InputError
from fairseq_electra.files.faults import STRICT, Faults
from fairseq_electra.files.json_values import described, parsed, text_of
from fairseq_electra.files.table import has_ending, is_json, numbered_lines, records
from fairseq_electra.files.text import read_lines
from fairseq_electra.finetuning.request import Request

SQUAD_FORM = (
    "SQuAD's form is data, paragraphs, context and qas, that of the datasets library records with question,"
    " context and answers"
)


def is_squad(path: str | Path) -> bool:
    """Tell by its name whether a file is one JSON object, as SQuAD's are, and not JSON lines."""
    return has_ending(path, (".json",))


def is_one_object(request: Request) -> bool:
    """Tell whether answers to a file of questions are to be written as one object, by the questions' ids."""
    is_named_so = (request.output or "").endswith(".json")
    return is_named_so and (request.is_gold or (is_squad(request.path) and not request.text))


def questions_in(path: str | Path, faults: Faults = STRICT) -> Iterator[tuple[str, dict]]:
    """Yield the context of each question of a file, and its record.

    The records are in the ``qas`` of paragraphs, or each has its ``context`` with it, as the datasets library
    writes them: in JSON lines, in a list, or in the list ``data``.

    Args:
        path: JSON lines, or one JSON object or list if named ``.json``; plain, ``.gz`` or ``.xz``.
        faults: gathers records that have no context to go with.

    Raises:
        InputError: the file is of another form.
    """
    if is_json(path) and not is_squad(path):
        for number, record in records(numbered_lines(path), path, faults):
            yield from _with_its_context(record, f"{path}, line {number}", faults)
        return
    data = _read(path)
    place = "its beginning"
    try:
        for i, article in enumerate(data if isinstance(data, list) else data["data"]):
            place = f"article {i + 1}"
            if isinstance(article, dict) and article.keys() & {"question", "context"}:
                yield from _with_its_context(article, f"{path}, {place}", faults)
                continue
            for k, paragraph in enumerate(article["paragraphs"]):
                place = f"article {i + 1}, paragraph {k + 1}"
                context = text_of(paragraph["context"], f"{path}, {place}: the context")
                for record in paragraph["qas"]:
                    yield context, record
    except (KeyError, TypeError) as error:
        missing = f"no {error}" if isinstance(error, KeyError) else "another form"
        raise InputError(f"{path}, {place}: {missing}; {SQUAD_FORM}") from error


def _with_its_context(record: dict, place: str, faults: Faults) -> Iterator[tuple[str, dict]]:
    with faults:
        if "context" not in record:
            raise ExampleError("without a context", f"{place}: no 'context'; {SQUAD_FORM}")
        yield text_of(record["context"], f"{place}: the context"), record


def _read(path: str | Path):
    text = "\n".join(read_lines(path))
    try:
        return parsed(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {error.lineno}: not JSON ({error.msg}); give a file of SQuAD's form, or name JSON"
            " lines .jsonl"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not JSON that can be read ({error}); give a file of SQuAD's form"
        ) from error


def is_empty_of_datasets(answers: object) -> bool:
    """Tell whether a record's answers are two empty lists, the datasets library's form of no answer."""
    return isinstance(answers, dict) and answers.get("text") == [] and answers.get("answer_start") == []


def answers_in(answers: object, place: str) -> list:
    """Return the answers of a record as a list of objects with ``text`` and ``answer_start``.

    The datasets library writes an object with a list of each, which is converted.

    Args:
        answers: as it stands in the file; null is none.
        place: names the question in errors.

    Raises:
        InputError: it is neither.
    """
    if answers is None:
        return []
    if isinstance(answers, list):
        return answers
    texts, starts = (
        answers.get(name) if isinstance(answers, dict) else None for name in ("text", "answer_start")
    )
    if not (isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)):
        raise InputError(
            f'{place}: "answers" is {described(answers)}; write a list of objects with text and answer_start,'
            " or an object with a list of each, equally long"
        )
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def without_blanks(start: int, answer: str, context: str) -> tuple[int, str]:
    """Take the blanks around an answer away.

    Args:
        start: where it begins in the context, in characters.
        answer: its text.
        context: in which it should stand.

    Returns:
        where the rest begins, which is ``start`` where the file counts without the blanks, and the rest.
    """
    text = answer.strip()
    begin = start + len(answer) - len(answer.lstrip())
    counted_without = start >= 0 and context.startswith(text, start) and not context.startswith(answer, start)
    return (start if counted_without else begin), text
