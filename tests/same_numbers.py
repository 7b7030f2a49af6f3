"""The numbers that two commits must share; scripts/same_numbers.sh calls this with the Python of each.

Only commands are used, which both commits have, whatever their files are called.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import torch

NET = (
    "--hidden-size 64 --embedding-size 32 --intermediate-size 128 --num-hidden-layers 2"
    " --num-attention-heads 2".split()
)
TRAINER = (
    "--cpu --num-workers 0 --log-format json --log-interval 1"
    " --no-epoch-checkpoints --disable-validation".split()
)
SCHEDULE = (
    "--lr-scheduler polynomial_decay --warmup-updates 4 --clip-norm 1.0 --optimizer electra_adam".split()
)
PRETRAININGS = {
    "plain": [],
    "packed": ["--pack"],
    "bf16": ["--autocast", "bf16"],
    "compiled": ["--compile"],
    "whole words, pre-LayerNorm, learned positions": (
        "--mask-whole-words --norm pre --positions learned --dropout 0.1".split()
    ),
    "generator alone": ["--generator-only"],
}
SENTENCES, QUESTIONS = (
    ["The orchestra played the sandwich .", "An int object is a number ."],
    ("name", "value"),
)


def run(python: str, *words: object, text: str | None = None) -> str:
    """Run a command of fairseq or of the package; returns what it printed."""
    command, *rest = map(str, words)
    program = {"fairseq-electra": "import sys; from fairseq_electra.cli import main; sys.exit(main())"}.get(
        command, f"from fairseq_cli.{command.removeprefix('fairseq-')} import cli_main; cli_main()"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    done = subprocess.run(
        [python, "-c", program, *rest], input=text, capture_output=True, text=True, env=environment
    )
    if done.returncode:
        sys.exit(
            f"{' '.join([command, *rest])}: status"
            f" {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return done.stdout + done.stderr


def losses(log: str) -> dict[str, list]:
    """Read every logged loss and metric of a training, by name; speeds, times and the like are left out."""
    kept: dict[str, list] = {}
    for line in log.splitlines():
        start = line.find("{")
        try:
            record = json.loads(line[start:]) if start >= 0 else {}
        except ValueError:
            continue
        for name, value in record.items():
            if any(word in name for word in ("loss", "accuracy", "auc", "gnorm", "f1", "exact_match", "mcc")):
                kept.setdefault(name, []).append(value)
    return kept


def digest(path: Path) -> str:
    """Digest a file, or the weights of a checkpoint."""
    if path.suffix != ".pt":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    state = torch.load(path, map_location="cpu", weights_only=False)["model"]
    whole = hashlib.sha256()
    for name in sorted(state):
        whole.update(name.encode() + state[name].contiguous().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def write_tasks(corpus: Path, folder: Path) -> None:
    """Write three small tasks on the sentences of the built-in corpus."""
    rng = random.Random(1)
    for split, number in (("train", 96), ("valid", 32)):
        rows = [line.split("\t") for line in (corpus / f"{split}.swap.tsv").read_text().splitlines()[:number]]
        (folder / f"{split}.tsv").write_text(
            "label\tsentence\n" + "".join(f"{label}\t{text}\n" for label, text in rows)
        )
        with open(folder / f"{split}.conll", "w") as stream:
            for _, text in rows:
                words = text.split() or ["."]
                stream.writelines(f"{word}\t{'B-NAME' if word.istitle() else 'O'}\n" for word in words)
                stream.write("\n")
        articles = []
        for index, (_, text) in enumerate(rows):
            words = [word for word in text.split() if word.isalpha()]
            answers = (
                [{"text": (word := rng.choice(words)), "answer_start": text.index(word)}] if words else []
            )
            asked = {
                "id": f"{split}{index}",
                "question": f"Which {rng.choice(QUESTIONS)} ?",
                "answers": answers,
            }
            articles.append({"context": text, "qas": [asked]} if answers else {"context": text, "qas": []})
        (folder / f"{split}.json").write_text(
            json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": articles}]})
        )


def pretraining(data: Path, folder: Path, *more: object) -> list[object]:
    """Return the command line of a pre-training."""
    line = (
        "--task electra_pretraining --arch electra_tiny --criterion replaced_token_detection"
        " --tokens-per-sample 64 --batch-size 8"
    )
    return [
        *("fairseq-train", data, "--user-dir", user_dir(), *line.split(), *NET, *TRAINER, *SCHEDULE),
        *("--lr", "1e-3", "--total-num-update", "40", "--save-dir", folder, *more),
    ]


def user_dir() -> Path:
    """Find the package that this Python has, without importing it."""
    return next(
        Path(entry, "fairseq_electra")
        for entry in sys.path
        if Path(entry, "fairseq_electra", "__init__.py").is_file()
    )


def finetuning(task: str, folder: Path, start: Path, *more: object) -> list[object]:
    """Return the command line of a fine-tuning of one of the three tasks."""
    kind = {
        "sentences": (
            "--task sentence_prediction --criterion sentence_prediction --num-classes 2 --init-token 0"
            " --max-positions 64"
        ),
        "words": "--task token_classification --criterion token_classification",
        "questions": "--task question_answering --criterion question_answering",
    }[task]
    return [
        "fairseq-train",
        folder / task,
        "--user-dir",
        user_dir(),
        *kind.split(),
        "--arch",
        "electra_encoder",
        "--finetune-from-model",
        start,
        *(word for word in TRAINER if word != "--disable-validation"),
        *SCHEDULE,
        *["--lr", "1e-3", "--layer-decay", "0.8", "--batch-size", "8", "--max-update", "12"],
        *["--total-num-update", "12"],
        *("--save-dir", folder / f"tuned-{task}", *more),
    ]


def run_all(work: Path) -> dict:
    """Run everything; returns the numbers by name."""
    python, found = sys.executable, {}
    work.mkdir(parents=True)
    run(python, "fairseq-electra", "corpus", "--output", work / "corpus")
    run(
        *[python, "fairseq-electra", "vocab", "--size", 2000],
        *["--output", work / "vocab", work / "corpus/train.txt"],
    )
    run(
        *(python, "fairseq-electra", "encode", "--vocab", work / "vocab", "--destdir", work / "bin"),
        *("--trainpref", work / "corpus/train.txt", "--validpref", work / "corpus/valid.txt"),
    )
    for name in ("vocab/tokenizer.json", "vocab/dict.txt", "bin/train.bin", "bin/train.idx", "bin/valid.bin"):
        found[name] = digest(work / name)
    for name, options in PRETRAININGS.items():
        folder = work / name.replace(" ", "-").replace(",", "")
        found[f"pre-training, {name}"] = losses(
            run(python, *pretraining(work / "bin", folder, "--max-update", 12, *options))
        )
        found[f"weights, {name}"] = digest(folder / "checkpoint_last.pt")
    found["resumed"] = going_on(python, work, "going-on")

    write_tasks(work / "corpus", work)
    given = {
        "sentences": ["--text", "sentence", "--label", "label", "--max-positions", 64],
        "words": ["--conll", "--max-positions", 64],
        "questions": ["--squad", "--max-positions", 96, "--max-question", 32, "--stride", 32],
    }
    endings = {"sentences": "tsv", "words": "conll", "questions": "json"}
    for task, options in given.items():
        sources = [
            word for split in ("train", "valid") for word in (f"--{split}", work / f"{split}.{endings[task]}")
        ]
        run(
            *[python, "fairseq-electra", "prepare", "--vocab", work / "vocab", "--destdir", work / task],
            *options,
            *sources,
        )
        start = work / "plain/checkpoint_last.pt"
        found[f"fine-tuning, {task}"] = losses(run(python, *finetuning(task, work, start)))
        found[f"weights, {task}"] = digest(work / f"tuned-{task}/checkpoint_last.pt")
        exported = work / f"exported-{task}"
        if task != "questions":  # the paper's head has no class in transformers
            run(python, "fairseq-electra", "export", "--to", "transformers", work / f"tuned-{task}", exported)
            found[f"exported, {task}"] = digest(exported / "model.safetensors")
    text = "".join(f"{sentence}\n" for sentence in SENTENCES)
    for task in ("sentences", "words"):
        found[f"predictions, {task}"] = run(
            python, "fairseq-electra", "predict", work / f"tuned-{task}", text=text
        ).splitlines()
    found["detected"] = run(python, "fairseq-electra", "detect", work / "plain", text=text).splitlines()
    return found


def going_on(python: str, work: Path, name: str) -> dict:
    """Resume the plain pre-training for a few updates in a copy of its folder, and validate it."""
    folder = work / name
    folder.mkdir()
    (folder / "checkpoint_last.pt").write_bytes((work / "plain/checkpoint_last.pt").read_bytes())
    line = [
        word
        for word in pretraining(work / "bin", folder, "--max-update", 20)
        if word != "--disable-validation"
    ]
    return {"log": losses(run(python, *line)), "weights": digest(folder / "checkpoint_last.pt")}


def compare(files: list[Path]) -> int:
    """Print what differs; returns the status."""
    old, new, resumed = (json.loads(path.read_text()) for path in files)
    pairs = {name: (old.get(name), new.get(name)) for name in {**old, **new}}
    pairs["old checkpoint, resumed by new"] = (old["resumed"], resumed["resumed"])
    differ = [name for name, (before, after) in pairs.items() if before != after]
    for name, (before, after) in pairs.items():
        print(f"{'DIFFERS' if name in differ else 'same'}: {name}")
        if name in differ:
            print(f"  before: {str(before)[:600]}\n  after:  {str(after)[:600]}")
    print(f"{len(pairs) - len(differ)} of {len(pairs)} are the same, to the last bit")
    return int(bool(differ))


def main() -> int:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("run", "resume", "compare"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.step == "compare":
        return compare(args.paths)
    found = (
        run_all(args.paths[0])
        if args.step == "run"
        else {"resumed": going_on(sys.executable, args.paths[0], "going-on-new")}
    )
    args.output.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
