"""``bash scripts/benchmark.sh questions``: compare question answering with transformers, in two steps.

The steps are from questions to windows, and from questions to answers. Both sides use the same weights
(random ones, with the independent head, since the speed does not depend on them), questions, window length,
stride and number of threads, and run in turn in one process. transformers' side does what its
question-answering example does: its fast tokenizer makes the windows with their offsets, the model runs on
batches of them, and the answer of each question is chosen among the 20 best starts and ends of each window.
Windows are padded as in the example or, which the example does not do, sorted by length.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmark.inference import sentences
from benchmark.prediction import arguments, measure, model_lines, new_model, timed
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.questions import ANSWERING, MAX_QUESTION, STRIDE
from fairseq_electra.finetuning.questions.answers import whole_words
from fairseq_electra.finetuning.questions.folder import context_pieces, find_windows, question_pieces
from fairseq_electra.finetuning.questions.read import Question, Squad, read_squad

MAX_LENGTH = 384  # as in transformers' example
BATCHES = (1, 8, 32)
HEAD = "head"
BEST_SPANS, MAX_ANSWER = 20, 30
SPAN_TO_ANSWER = np.eye(2, 4)  # turns start and end into a row of columns of finetuning/questions/answers.py


def made_up(number: int) -> Squad:
    """Make questions from the built-in corpus: contexts of eight sentences, with five questions each."""
    lines = sentences(None, number * 2)
    contexts = [". ".join(lines[i : i + 8]) for i in range(0, len(lines) - 8, 8)]
    asked = [(k, line) for k in range(len(contexts)) for line in lines[8 * k : 8 * k + 5]]
    questions = [
        Question(str(i), line[:60], k, ((contexts[k].index(line[:40]), line[:40]),))
        for i, (k, line) in enumerate(asked[:number])
    ]
    return Squad(contexts, questions)


def features(squad: Squad, tokenizer, their_tokenizer) -> dict[str, Callable[[], int]]:
    """Return both ways from questions to windows; each returns the number of windows."""
    info = TaskInfo("", ANSWERING, 2, (), (), MAX_LENGTH, stride=STRIDE, max_question=MAX_QUESTION)

    def ours() -> int:
        pieces = question_pieces(tokenizer, (question.text for question in squad.questions), MAX_QUESTION)
        _, offsets = context_pieces(tokenizer, squad.contexts)
        return len(find_windows(squad.questions, pieces, offsets, info, ""))

    def theirs() -> int:
        windows = their_windows(squad, their_tokenizer)
        spans = []
        for i, number in enumerate(windows["overflow_to_sample_mapping"]):
            begin, text = squad.questions[number].answers[0] if squad.questions[number].answers else (0, "")
            offsets, of = windows["offset_mapping"][i], windows.sequence_ids(i)
            first = of.index(1)
            last = len(of) - 1 - of[::-1].index(1)
            if not text or offsets[first][0] > begin or offsets[last][1] < begin + len(text):
                spans.append((0, 0))
                continue
            while first < len(offsets) and offsets[first][0] <= begin:
                first += 1
            while offsets[last][1] >= begin + len(text):
                last -= 1
            spans.append((first - 1, last + 1))
        return len(spans)

    return {"transformers' tokenizer, as its example": theirs, "fairseq-electra prepare": ours}


def their_windows(squad: Squad, tokenizer):
    """Make the windows as transformers' example does."""
    texts = (
        [question.text for question in squad.questions],
        [squad.contexts[question.context] for question in squad.questions],
    )
    # what transformers calls stride is the number of tokens that two windows share
    overlap = MAX_LENGTH - 3 - MAX_QUESTION - STRIDE
    return tokenizer(
        *texts,
        truncation="only_second",
        max_length=MAX_LENGTH,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


def answers(squad: Squad, pretrained, folder: Path) -> dict[str, Callable[[], list[tuple[int, int]]]]:
    """Return all ways from questions to answers; each returns the character positions of the answers."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    from fairseq_electra.finetuning.questions.predict import AnswerPredictor
    from fairseq_electra.hub.interface import ElectraHubInterface

    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    predictor = AnswerPredictor(ElectraHubInterface(pretrained), HEAD)
    lines = [
        f"{question.text}\t{squad.contexts[question.context]}".replace("\n", " ")
        for question in squad.questions
    ]

    @torch.inference_mode()
    def theirs(rows: int, by_length: bool) -> list[tuple[int, int]]:
        windows = their_windows(squad, tokenizer)
        number = len(windows["input_ids"])
        order = (
            sorted(range(number), key=lambda i: len(windows["input_ids"][i]))
            if by_length
            else list(range(number))
        )
        best: list[list[tuple[float, tuple[int, int]]]] = [[] for _ in squad.questions]
        for first in range(0, number, rows):
            chosen = order[first : first + rows]
            columns = {
                name: [windows[name][i] for i in chosen]
                for name in ("input_ids", "token_type_ids", "attention_mask")
            }
            padding: dict = {} if by_length else {"padding": "max_length", "max_length": MAX_LENGTH}
            found = model(**tokenizer.pad(columns, return_tensors="pt", **padding))
            for i, start, end in zip(
                chosen, found.start_logits.numpy(), found.end_logits.numpy(), strict=True
            ):
                question = windows["overflow_to_sample_mapping"][i]
                best[question] += _candidates(
                    start, end, windows["offset_mapping"][i], windows.sequence_ids(i)
                )
        return [max(each)[1] for each in best]

    made: dict[str, Callable[[], list[tuple[int, int]]]] = {}
    for rows in BATCHES:
        for by_length in (False, True):
            how = "sorted by length" if by_length else f"padded to {MAX_LENGTH}, as its example"
            made[f"transformers, {how}, batches of {rows}"] = functools.partial(theirs, rows, by_length)
    return made | {
        "fairseq-electra predict": lambda: [(answer["begin"], answer["end"]) for answer in predictor(lines)]
    }


def _candidates(
    start: np.ndarray, end: np.ndarray, offsets: list, of: list
) -> list[tuple[float, tuple[int, int]]]:
    """Return the best answers of a window with their scores, as transformers' example finds them."""
    first = of.index(1)
    last = len(of) - of[::-1].index(1)
    starts, ends = (
        start[first:last].argsort()[-BEST_SPANS:] + first,
        end[first:last].argsort()[-BEST_SPANS:] + first,
    )
    return [
        (start[a] + end[b], (offsets[a][0], offsets[b][1]))
        for a in starts
        for b in ends
        if a <= b < a + MAX_ANSWER
    ]


def compare(net: str, squad: Squad, rounds: int, with_features: bool = True) -> dict:
    """Measure both steps for a model, which ``net`` names as in :func:`benchmark.prediction.new_model`."""
    from transformers import AutoTokenizer

    from fairseq_electra.finetuning.questions.heads import IndependentAnswerHead
    from fairseq_electra.interchange.export_transformers import export_transformers

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pretrained = new_model(
            net,
            folder / "vocab",
            MAX_LENGTH,
            lambda hidden_size: (HEAD, IndependentAnswerHead(hidden_size), []),
        )
        pretrained.task = TaskInfo(
            "", ANSWERING, 2, (), (), MAX_LENGTH, stride=STRIDE, max_question=MAX_QUESTION
        )
        export_transformers(pretrained, folder / "net")
        windows = features(squad, pretrained.tokenizer, AutoTokenizer.from_pretrained(folder / "net"))
        numbers = {name: run() for name, run in windows.items()}
        number = numbers["fairseq-electra prepare"]
        timed_features = (
            {"features": timed(windows, rounds, number, "windows_per_second")} if with_features else {}
        )
        found = answers(squad, pretrained, folder / "net")
        contexts = [squad.contexts[question.context] for question in squad.questions]
        spans = {
            name: whole_words(np.array(run(), dtype=float)[:, None] @ SPAN_TO_ANSWER, contexts)[:, 0, :2]
            for name, run in found.items()
        }
        *others, ours = found
        same = min(float((spans[name] == spans[ours]).all(-1).mean()) for name in others)
        return {
            "windows": numbers,
            "same_answers": round(same, 4),
            **timed_features,
            "answers": timed(found, rounds, number, "windows_per_second"),
        }


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    machine = report["machine"]
    lines = [
        (
            f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, transformers"
            f" {machine['transformers']}"
        ),
        "",
    ]
    lines += ["| questions to | windows/s | ratio | range |", "|---|---|---|---|"]
    for size, found in report["sizes"].items():
        for what in ("features", "answers"):
            for row in found.get(what, ()):
                low, high = row["ratio_range"]
                title = f"{what if what == 'features' else f'{size}: {what}'}: {row['variant']}"
                lines.append(
                    f"| {title} | {row['windows_per_second']:,} | {row['ratio']:.2f} | {low} to {high} |"
                )
    return "\n".join([*lines, *model_lines(report)])


def main() -> None:
    """Run the comparison."""
    args = arguments(__doc__, 200, "questions.json", "questions", markdown)
    squad = made_up(args.questions)
    if args.text:
        squad = read_squad(args.text)
        squad = Squad(squad.contexts, squad.questions[: args.questions])
        squad = Squad(squad.contexts[: squad.questions[-1].context + 1], squad.questions)
    first = args.sizes[0]
    measure(
        args,
        "questions",
        len(squad.questions),
        lambda net: compare(net, squad, args.rounds, net == first),
        markdown,
    )


if __name__ == "__main__":
    main()
