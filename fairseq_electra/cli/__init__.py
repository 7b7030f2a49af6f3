"""``fairseq-electra COMMAND``: one module of this folder for each command, imported only when it is called."""

import argparse
import codecs
import contextlib
import importlib
import io
import keyword
import os
import sys
from importlib import metadata

from fairseq_electra.errors import InputError

COMMANDS = {
    "vocab": "train a WordPiece vocabulary from text",
    "encode": "text to pieces, or straight to what fairseq trains on",
    "corpus": "write the built-in corpus and its labelled task",
    "config": "turn a fairseq-train command line into the YAML of fairseq-hydra-train",
    "prepare": "turn labelled text (GLUE, SWAG, RACE, any TSV; SQuAD; columns of tags) into a folder to fine-tune on",
    "finetune": "fine-tune nets on tasks with many seeds, and compare them",
    "submit": "write GLUE's submission files from such runs",
    "predict": "apply a fine-tuned net to text",
    "detect": "say how likely each token of a text was replaced",
    "fill": "let the generator guess what stands at <mask>",
    "export": "turn a checkpoint into a folder that transformers loads",
    "import": "turn a folder of transformers into a checkpoint to go on from",
    "average": "average the weights of checkpoints, or take out their moving average",
    "train": "run fairseq-train with this package already loaded; wrong paths are refused at once",
    "launch": "run a fairseq command as several processes: CPUs, GPUs, machines, slurm",
    "corrupt": "corrupt a validation set with a trained generator, to compare discriminators on",
    "inspect": "show what a checkpoint sees, row by row",
    "plot": "draw the curves of a training log",
    "speedrun": "from raw text to a table of scores, with pre-training of so many minutes",
    "quickstart": "pre-train, fine-tune and compare in minutes",
    "user-dir": "print the folder to give to fairseq's --user-dir",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="fairseq-electra", description="ELECTRA for fairseq: prepare, study and show.")
    parser.add_argument("--version", action="version", version=versions())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    _write_utf8()
    given = sys.argv[1:] if arguments is None else arguments
    chosen, rest = parser.parse_args(given[:1]), given[1:]
    module_name = chosen.command.replace("-", "_")
    module = importlib.import_module(f"fairseq_electra.cli.{module_name}{'_' if keyword.iskeyword(module_name) else ''}")
    command = argparse.ArgumentParser(
        prog=f"fairseq-electra {chosen.command}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    try:
        if hasattr(module, "run_with"):  # another program's arguments
            module.run_with(rest)
        else:
            module.add_arguments(command)
            module.run(command.parse_args(rest))
        sys.stdout.flush()
    except InputError as error:
        print(f"fairseq-electra {chosen.command}: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print(f"fairseq-electra {chosen.command}: stopped by Ctrl-C; the same line can be given again", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader (head, less) went away
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            what = "cannot write" if error.filename is None else f"cannot use {error.filename}"
            remedy = "is the disk full?" if error.filename is None else "check the path"
            print(f"fairseq-electra {chosen.command}: {what}: {error.strerror or error}; {remedy}", file=sys.stderr)
        return 1
    return 0


def _write_utf8() -> None:
    """Let the output be UTF-8 as all files are: with the locale POSIX it would be ASCII, and an accent in a text an error."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(encoding="utf-8", errors=errors)


def versions() -> str:
    """Name the versions of this package and of what it stands on."""
    found = []
    for package in ("fairseq_electra", "fairseq-fixed", "fairseq", "torch", "tokenizers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return ", ".join(found)
