"""``bash scripts/benchmark.sh text FILE ...``: compare the encoding of raw text with the classic chain.

The classic chain is sacremoses' tokenizer, WordPiece encoding to text, and fairseq-preprocess, each of which
reads the output of the one before. Each program runs in its own process; its processor time, wall time and
maximum memory are measured. The last two programs of the chain write the same bytes as
``fairseq-electra encode --destdir``, which is checked, so the ratio to these two compares like with like.
"""

import filecmp
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmark.report import machine_lock, new_parser, publish, read_arguments
from fairseq_electra.files.text import read_lines
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.speedrun.machine import processor

VOCABULARY = 30_000
CORES = str(os.cpu_count() or 1)
CHAIN = "sacremoses, pieces, fairseq-preprocess"
CHAIN_WITHOUT_MOSES = "pieces, fairseq-preprocess"
OURS = "fairseq-electra encode --destdir"
OURS_ON_ONE_CORE = "fairseq-electra encode --destdir, one core"


# The peak memory of a process includes that of the process that starts it, so a small process starts it.
LAUNCHER = """
import os, resource, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(status)
"""


class Cost(NamedTuple):
    """The cost of processes: processor seconds, wall seconds, and the maximum memory in MB."""

    cpu: float
    wall: float
    memory: float

    def __add__(self, other) -> "Cost":
        return Cost(self.cpu + other.cpu, self.wall + other.wall, max(self.memory, other.memory))


def run(
    *command: str | Path, stdin: Path | None = None, stdout: Path | None = None, threads: int | None = None
) -> Cost:
    """Run a program to its end.

    Raises:
        RuntimeError: The program failed.
    """
    environment = dict(os.environ) | (
        {} if threads is None else {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    )
    with (
        open(stdin or os.devnull, "rb") as source,
        open(stdout or os.devnull, "wb") as sink,
        tempfile.NamedTemporaryFile("r") as usage,
    ):
        launch = [sys.executable, "-S", "-c", LAUNCHER, usage.name, *map(str, command)]
        start = time.perf_counter()
        ended = subprocess.run(
            launch, stdin=source, stdout=sink, stderr=subprocess.DEVNULL, env=environment, check=False
        )
        wall = time.perf_counter() - start
        if ended.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with status {ended.returncode}")
        cpu, kilobytes = map(float, usage.read().split())
    return Cost(cpu, wall, kilobytes / 1024)


def electra(*arguments: str | Path, **how) -> Cost:
    """Run a command of ``fairseq-electra``."""
    return run(
        sys.executable,
        "-c",
        "import sys; from fairseq_electra.cli import main; sys.exit(main())",
        *arguments,
        **how,
    )


def preprocess(pieces: Path, vocabulary: Path, destination: Path) -> Cost:
    """Run fairseq-preprocess on encoded text."""
    command = [sys.executable, "-m", "fairseq_cli.preprocess", "--user-dir", USER_DIR]
    command += ["--task", "electra_pretraining", "--only-source"]
    files = ["--srcdict", str(vocabulary / "dict.txt"), "--trainpref", str(pieces)]
    files += ["--destdir", str(destination)]
    return run(*command, *files, "--workers", CORES)


def ways(text: Path, vocabulary: Path, folder: Path) -> dict[str, Cost]:
    """Encode a text once in each way."""
    words, word_pieces, pieces = folder / "words", folder / "word_pieces", folder / "pieces"
    costs = {
        OURS: electra("encode", "--vocab", vocabulary, "--destdir", folder / "ours", "--trainpref", text)
    }
    costs[OURS_ON_ONE_CORE] = electra(
        "encode", "--vocab", vocabulary, "--destdir", folder / "one", "--trainpref", text, threads=1
    )
    tokenize = ["-c", "from sacremoses.cli import cli; cli()", "-l", "en", "-j", CORES, "-q", "tokenize"]
    moses = run(sys.executable, *tokenize, stdin=text, stdout=words)
    moses += electra("encode", "--vocab", vocabulary, stdin=words, stdout=word_pieces)
    costs[CHAIN] = moses + preprocess(word_pieces, vocabulary, folder / "moses")
    plain = electra("encode", "--vocab", vocabulary, stdin=text, stdout=pieces)
    costs[CHAIN_WITHOUT_MOSES] = plain + preprocess(pieces, vocabulary, folder / "chain")
    if sum(1 for _ in read_lines(words)) != sum(1 for _ in read_lines(text)):
        raise RuntimeError("sacremoses changed the number of lines")
    for name in ("train.bin", "train.idx"):
        if not filecmp.cmp(folder / "ours" / name, folder / "chain" / name, shallow=False):
            raise RuntimeError(f"{name} differs between the two ways")
    return costs


def cut(files: list[Path], megabytes: float, output: Path) -> float:
    """Write the first megabytes of texts, in whole lines; returns the number of megabytes written."""
    written = 0
    with open(output, "w", encoding="utf-8") as stream:
        for line in (line for file in files for line in read_lines(file)):
            if written >= megabytes * 1e6:
                break
            written += len(line.encode()) + 1
            stream.write(line + "\n")
    return written / 1e6


def compare(
    files: list[Path], megabytes: float, vocabulary_megabytes: float, memory_at: list[float], rounds: int
) -> dict:
    """Measure all ways in turn.

    Args:
        files: The text files.
        megabytes: The size of the text that is encoded.
        vocabulary_megabytes: The size of the text on which a vocabulary of 30,000 entries is trained.
        memory_at: The sizes of text, in megabytes, for which the memory of ours is measured.
        rounds: The number of rounds.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text, vocabulary = folder / "text", folder / "vocab"
        trained_on = cut(files, vocabulary_megabytes, text)
        trained = electra("vocab", "--size", str(VOCABULARY), "--output", vocabulary, text)
        megabytes = cut(files, megabytes, text)
        found: dict[str, list[Cost]] = {}
        for number in range(rounds):
            (folder / str(number)).mkdir()
            for way, cost in ways(text, vocabulary, folder / str(number)).items():
                found.setdefault(way, []).append(cost)
        memory = {}
        for size in memory_at:
            actual = cut(files, size, text)
            cost = electra(
                "encode", "--vocab", vocabulary, "--destdir", folder / f"at{size}", "--trainpref", text
            )
            memory[f"{actual:.0f}"] = round(cost.memory)
    return {
        "megabytes": round(megabytes, 1),
        "vocabulary": {
            "entries": VOCABULARY,
            "megabytes": round(trained_on),
            "cpu_seconds": round(trained.cpu, 1),
        },
        "memory": memory,
        "rows": [row(way, costs, found, megabytes) for way, costs in found.items()],
    }


def row(way: str, costs: list[Cost], found: dict[str, list[Cost]], megabytes: float) -> dict:
    """Summarize a way; ``cpu`` and ``wall`` are ratios to the chain, ``alike`` to that without sacremoses."""

    def ratio(attribute: str, base: str = CHAIN) -> dict:
        ratios = [
            getattr(theirs, attribute) / getattr(own, attribute)
            for own, theirs in zip(costs, found[base], strict=True)
        ]
        return {
            "ratio": round(statistics.median(ratios), 2),
            "range": [round(min(ratios), 2), round(max(ratios), 2)],
        }

    return {
        "way": way,
        "megabytes_per_cpu_second": round(megabytes / statistics.median(cost.cpu for cost in costs), 2),
        "megabytes_per_second": round(megabytes / statistics.median(cost.wall for cost in costs), 2),
        "cpu": ratio("cpu"),
        "wall": ratio("wall"),
        "alike": ratio("cpu", CHAIN_WITHOUT_MOSES),
    }


def markdown(report: dict) -> str:
    """Format the table of a report in Markdown."""
    found, made = report["found"], report["found"]["vocabulary"]
    lines = [f"{report['processor']}, {report['cores']} cores", ""]
    alike = "alike" in found["rows"][0]
    lines += [
        f"| {found['megabytes']} MB of text to ids | MB/s of a core | ratio | MB/s | ratio | range |"
        + " of a core, without sacremoses: ratio | range |" * alike,
        "|---|---|---|---|---|---|" + "---|---|" * alike,
    ]
    for each in found["rows"]:
        low, high = each["wall"]["range"]
        lines.append(
            f"| {each['way']} | {each['megabytes_per_cpu_second']} | {each['cpu']['ratio']} "
            f"| {each['megabytes_per_second']} | {each['wall']['ratio']} | {low} to {high} |"
            + (f" {each['alike']['ratio']} | {_range(each['alike'])} |" if alike else "")
        )
    sizes = ", ".join(f"{memory} MB for {size} MB of text" for size, memory in found["memory"].items())
    lines += [
        "",
        (
            f"A vocabulary of {made['entries']:,} of {made['megabytes']} MB takes {made['cpu_seconds']}"
            " seconds of a core."
        ),
    ]
    return "\n".join([*lines, f"Most memory of `encode`: {sizes}."])


def _range(ratio: dict) -> str:
    low, high = ratio["range"]
    return f"{low} to {high}"


def main() -> None:
    """Run the comparison."""
    parser = new_parser(__doc__, "text.json", rounds=3)
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="text files with one paragraph per line"
    )
    parser.add_argument(
        "--megabytes", type=float, default=10, help="megabytes of text to encode (default: %(default)s)"
    )
    parser.add_argument(
        "--vocabulary-megabytes",
        type=float,
        default=100,
        help="megabytes of text for the vocabulary (default: %(default)s)",
    )
    parser.add_argument(
        "--memory-at",
        nargs="*",
        type=float,
        default=[25, 100, 225],
        help="megabytes of text for which memory is measured (default: 25 100 225)",
    )
    args = read_arguments(parser, markdown)
    if not args.files:
        parser.error("name files of text")
    with machine_lock():
        found = compare(args.files, args.megabytes, args.vocabulary_megabytes, args.memory_at, args.rounds)
    report = {"processor": processor(), "cores": os.cpu_count(), "found": found}
    publish(report, args.output, markdown)


if __name__ == "__main__":
    main()
