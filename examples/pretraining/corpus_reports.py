"""Report on several corpora, and keep what was found and what it cost: the table of the page on the report.

    fairseq-electra vocab --size 8192 --output vocab CORPORA/wikipedia_en/wiki.train[0-2].txt.xz
    python examples/pretraining/corpus_reports.py CORPORA --vocab vocab --output corpus_reports.json

CORPORA has a folder for each corpus, in English or named ..._ko or ..._zh; of each the first three files of
train are read. The filter runs too, into a file that is deleted.
"""

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fairseq_electra.files.text import atomic_write

MAX_FILES = 3
LANGUAGES = ("en", "ko", "zh")


def report(files: list[Path], language: str, vocabulary: str) -> dict:
    """Run the command on files; returns what it wrote, the processor's seconds and the largest memory."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "report.json"
        command = [Path(sys.executable).with_name("fairseq-electra"), "report", "--language", language]
        command += ["--vocab", vocabulary, "--mask-personal", "--filter", f"{folder}/clean.txt"]
        process = subprocess.Popen([*command, "--output", written, *files], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"the report on {files[0]} failed, as it says above")
        found = json.loads(written.read_text())
    cost = {
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_bytes": usage.ru_maxrss * 1024,
    }
    found |= {"files": [file.name for file in files], "warnings": len(found["warnings"])}
    # examples of the text belong to its authors
    for part in (*found["languages"].values(), *found["steps"].values(), *found["personal"].values()):
        del part["examples"]
    del found["vocabulary"]["folder"]
    return {"bytes": sum(map(size_of, files))} | cost | found


def size_of(file: Path) -> int:
    """Return the number of bytes without compression."""
    with lzma.open(file) as stream:
        return sum(map(len, iter(lambda: stream.read(1 << 20), b"")))


def main() -> None:
    """Write the reports as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", type=Path, help="folder of folders with NAME.trainN.txt.xz")
    parser.add_argument("--vocab", required=True, help="folder of a vocabulary")
    parser.add_argument("--output", required=True, help="JSON file")
    args = parser.parse_args()
    reports = []
    for folder in sorted(args.corpora.iterdir()):
        files = sorted(folder.glob("*.train?.txt.xz"))[:MAX_FILES]
        language = folder.name.rpartition("_")[2]
        found = report(files, language if language in LANGUAGES else LANGUAGES[0], args.vocab)
        reports.append({"corpus": folder.name} | found)
    with atomic_write(args.output) as stream:
        stream.write(json.dumps(reports, indent=1) + "\n")


if __name__ == "__main__":
    main()
