"""Multiple choice: SWAG (Zellers et al. 2018) and RACE (Lai et al. 2017), as a context and its choices.

The choices are possible continuations of the context, or possible answers.
"""

import re
from dataclasses import replace
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.json_values import check_text, parsed
from fairseq_electra.files.table import Columns, has_labels
from fairseq_electra.files.text import read_lines
from fairseq_electra.finetuning.sentences.read import Example, read_examples

SWAG_FILES = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}
SWAG_ENDINGS = [f"ending{i}" for i in range(4)]
RACE_FOLDERS = {"train": "train", "valid": "dev", "test": "test"}
RACE_LETTERS = "ABCD"


def read_swag(folder: str | Path) -> dict[str, list[Example]]:
    """Read SWAG's csv files.

    Args:
        folder: with ``train.csv``, ``val.csv``, ``test.csv``, of which the last has no labels.

    Returns:
        examples by split; their texts are the context and four endings, each with the words that begin its
        sentence.
    """
    examples = {
        split: _swag_file(Path(folder) / name)
        for split, name in SWAG_FILES.items()
        if (Path(folder) / name).is_file()
    }
    if not examples:
        raise InputError(
            f"{folder} holds none of {', '.join(SWAG_FILES.values())}; give SWAG's folder of csv files"
        )
    return examples


def _swag_file(path: Path) -> list[Example]:
    columns = Columns(("sent1", "sent2", *SWAG_ENDINGS), "label")
    if not has_labels(path, columns):
        columns = replace(columns, label=None)
    return [_with_whole_endings(example) for example in read_examples(path, columns)]


def _with_whole_endings(example: Example) -> Example:
    context, begin, *endings = example.texts
    return replace(example, texts=(context, *(f"{begin} {ending}" for ending in endings)))


def read_race(folder: str | Path) -> dict[str, list[Example]]:
    """Read RACE: a file for each passage, with questions, four options and the letter of the answer.

    Args:
        folder: with ``train``, ``dev`` and ``test``, each with ``middle`` and ``high`` or directly with
            files; those of ``test`` may lack the answers.

    Returns:
        examples by split; their texts are the passage and, for each option, the question with the option put
        in the place of its gap, ``_`` or ``____``, or behind it.
    """
    examples = {}
    for split, name in RACE_FOLDERS.items():
        paths = sorted((Path(folder) / name).rglob("*.txt"))
        if paths:
            examples[split] = [each for path in paths for each in _race_file(path, labelled=split != "test")]
    if not examples:
        raise InputError(f"{folder} holds no train, dev or test folder with .txt files; give RACE's folder")
    return examples


def _race_file(path: Path, labelled: bool) -> list[Example]:
    text = "\n".join(read_lines(path))
    try:
        record = parsed(text)
        passage, questions, options = (record[key] for key in ("article", "questions", "options"))
        has_answers = labelled or "answers" in record
        answers = record["answers"] if has_answers else [None] * len(questions)
        if not isinstance(passage, str) or not all(
            isinstance(each, list) for each in (questions, options, answers)
        ):
            raise TypeError("the article must be a text and the others lists")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no file of RACE ({error!r}); needs article, questions, options, answers"
        ) from error
    if not len(questions) == len(options) == len(answers):
        raise InputError(
            f"{path}: {len(questions)} questions, {len(options)} sets of options and {len(answers)} answers;"
            " need equally many"
        )
    examples = []
    for number, (question, choices, answer) in enumerate(zip(questions, options, answers, strict=True), 1):
        place = f"{path}, question {number}"
        if not isinstance(choices, list) or not all(isinstance(text, str) for text in (question, *choices)):
            raise InputError(
                f"{place}: the question {question!r} has the options {choices!r}; all must be texts"
            )
        for text in (passage, question, *choices):
            check_text(text, f"{place}: a text")
        if len(choices) != len(RACE_LETTERS) or (has_answers and answer not in list(RACE_LETTERS)):
            raise InputError(
                f"{place}: {len(choices)} options and the answer {answer!r}; need four, and one of"
                f" {', '.join(RACE_LETTERS)}"
            )
        parts = re.split("_+", question if "_" in question else f"{question} _")
        filled = [choice.join(parts) for choice in choices]
        label = str(RACE_LETTERS.index(answer)) if has_answers else None
        examples.append(Example((" ".join(passage.split()), *filled), label, place))
    return examples
