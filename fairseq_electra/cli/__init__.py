"""``fairseq-electra COMMAND``: each module of this folder is a command, imported only when it is called."""

import argparse
import ast
import codecs
import importlib
import io
import logging
import os
import sys
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.versions import installed_versions

FOLDER = Path(__file__).parent


class _StoredOnce(argparse._StoreAction):
    """An option that takes its values once: a second time would silently replace them."""

    read_into: argparse.Namespace | None = None

    def __call__(self, parser, namespace, values, option_string=None):
        if option_string is not None and self.read_into is namespace:
            several = self.nargs is not None
            remedy = "name all its values behind one" if several else "leave out all but one"
            raise InputError(f"{option_string} is given twice; {remedy}")
        self.read_into = namespace
        super().__call__(parser, namespace, values, option_string)


def commands(folder: Path = FOLDER) -> dict[str, Path]:
    """Find the commands: the modules whose names do not start with ``_``.

    Args:
        folder: folder of the modules.

    Returns:
        the file of each command, by its name: ``user_dir.py`` is ``user-dir``, ``import_.py`` is ``import``.
    """
    files = sorted(path for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return {path.stem.removesuffix("_").replace("_", "-"): path for path in files}


def summary_of(module: Path) -> str:
    """Read the first sentence of a command's docstring, without importing it, which may take seconds."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].partition(". ")[0].removesuffix(".")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="fairseq-electra", description="ELECTRA for fairseq: prepare, study and show."
    )
    parser.add_argument("--version", action="version", version=versions())
    names = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    known = commands()
    for name, file in known.items():
        names.add_parser(name, help=summary_of(file).replace("%", "%%"), add_help=False)
    _write_utf8()
    logging.getLogger("hydra").setLevel(logging.WARNING)
    given = sys.argv[1:] if arguments is None else arguments
    chosen, rest = parser.parse_args(given[:1]), given[1:]
    module = importlib.import_module(f"{__name__}.{known[chosen.command].stem}")
    command = argparse.ArgumentParser(
        prog=f"fairseq-electra {chosen.command}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for action in (None, "store"):
        command.register("action", action, _StoredOnce)
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
        print(
            f"fairseq-electra {chosen.command}: stopped by Ctrl-C; the same line can be given again",
            file=sys.stderr,
        )
        raise SystemExit(130) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader (head, less) went away
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            what = "cannot write" if error.filename is None else f"cannot use {error.filename}"
            remedy = "is the disk full?" if error.filename is None else "check the path"
            print(
                f"fairseq-electra {chosen.command}: {what}: {error.strerror or error}; {remedy}",
                file=sys.stderr,
            )
        return 1
    return 0


def _write_utf8() -> None:
    """Write output in UTF-8, as all files: in the locale POSIX it would be ASCII, and accents an error."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(encoding="utf-8", errors=errors)


def versions() -> str:
    """Return the versions of this package and of its main dependencies."""
    packages = ("fairseq_electra", "fairseq-fixed", "fairseq", "torch", "tokenizers")
    return ", ".join(f"{name} {version}" for name, version in installed_versions(packages).items())
