"""Score files of generated texts, and make the table of them.

    python -m generation.score --scorer causal-scorer --data data-bin --output results.json *.jsonl

Each file has the JSON lines of ``fairseq-electra generate --json`` or of ``python -m generation.causal``. The
perplexity is that of a causal language model which took no part. The first row of the table is human text:
lines of the validation text that are as long or longer, cut to the length of the generated ones.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write, read_lines
from fairseq_electra.generation.detokenize import Detokenizer
from fairseq_electra.paths import check_output
from fairseq_electra.pretraining.pieces import pieces_of_symbols
from generation import run
from generation.causal import CausalModel
from generation.diversity import diversity
from generation.infilling import lines_of

COLUMNS = ("texts", "perplexity", "self_bleu", "distinct_1", "distinct_2", "distinct_3")


def read_texts(path: str | Path, symbols: Sequence[str]) -> tuple[list[list[int]], list[str]]:
    """Read the ids and the plain text of generated texts.

    Raises:
        InputError: the file is empty or of another form, or its tokens are not of this vocabulary.
    """
    try:
        answers = [json.loads(line) for line in read_lines(path)]
    except json.JSONDecodeError as error:
        raise InputError(f"{path} has no JSON lines ({error}); generate texts with --json") from error
    if not answers:
        raise InputError(f"{path} is empty; generate texts into it with --json --output")
    for number, answer in enumerate(answers, 1):
        try:
            tokens = [(token["id"], token["token"]) for token in answer["tokens"]]
            if not tokens or not isinstance(answer["text"], str):
                raise ValueError("there is no text")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}, line {number} is no generated text ({type(error).__name__}: {error}); make texts"
                " with --json"
            ) from error
        for index, token in tokens:
            if index not in range(len(symbols)) or symbols[index] != token:
                raise InputError(
                    f"{path}: the vocabulary of the scorer has no {token!r} at {index};"
                    " train the scorer on the data of the model"
                )
    return [[token["id"] for token in answer["tokens"]] for answer in answers], [
        answer["text"] for answer in answers
    ]


def scores(causal: CausalModel, ids: list[list[int]], texts: list[str]) -> dict:
    """Score some texts."""
    return {"texts": len(texts), "perplexity": causal.perplexity(ids), **diversity(texts)}


def table(rows: dict[str, dict]) -> str:
    """Return the scores as Markdown."""
    lines = [f"| | {' | '.join(name.replace('_', '-') for name in COLUMNS)} |", "|---" + "|---:" * 6 + "|"]
    for name, found in rows.items():
        cells = [
            str(found.get(column, ""))
            if column == "texts" or column not in found
            else f"{found[column]:.{3 if 'distinct' in column else 1}f}"
            for column in COLUMNS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the scores as JSON, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", metavar="FILE", help="generated texts, JSON lines")
    parser.add_argument("--scorer", required=True, help="causal language model: checkpoint or its folder")
    parser.add_argument("--data", required=True, help="data folder that the scorer was trained on")
    parser.add_argument("--split", default="valid", help="split with human text (default: %(default)s)")
    parser.add_argument("--language", default="en", help="language of the text (default: %(default)s)")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="JSON file for the scores")
    args = parser.parse_args()
    check_output(args)
    causal = CausalModel(args.scorer, args.data)
    symbols = causal.dictionary.symbols
    names = [Path(path).stem for path in args.texts]
    if len(set(names)) < len(names):
        raise InputError(
            f"the files {', '.join(args.texts)} must have different names, which the rows of the table have"
        )
    generated = {name: read_texts(path, symbols) for name, path in zip(names, args.texts, strict=True)}
    number = max(len(texts) for _, texts in generated.values())
    longest = max(len(ids) for texts, _ in generated.values() for ids in texts)
    detokenize = Detokenizer(pieces_of_symbols(symbols), args.language)
    human = [line.tolist() for line in lines_of(args.data, symbols, args.split, number, longest, longest)]
    plain = [detokenize([symbols[i] for i in line]) for line in human]
    rows = {f"human ({args.split})": scores(causal, human, plain)}
    for name, (ids, texts) in generated.items():
        rows[name] = scores(causal, ids, texts)
    with atomic_write(args.output) as stream:
        stream.write(json.dumps(rows, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    run(main)
