"""Checks of the paths on a command line, which need no slow imports and so answer at once."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from fairseq_electra.errors import InputError

CHECKPOINT, DATA, VOCABULARY = "checkpoint", "data folder", "folder of a vocabulary"


def require(kind: str, *paths: str | Path | None) -> None:
    """Refuse a path that does not exist.

    Args:
        kind: What the paths should be, for the message.
        paths: The paths to check; None and ``-``, standard input, always pass.

    Raises:
        InputError: A path does not exist.
    """
    for path in paths:
        if path is not None and str(path) != "-" and not Path(path).exists():
            raise InputError(f"no such {kind}: {path}; check the path")


def file_sizes(files: Iterable[str | Path]) -> dict[str, int]:
    """Return the size in bytes of each file by its absolute path, which tells another file from it.

    Raises:
        InputError: A file does not exist.
    """
    sizes = {}
    for file in files:
        try:
            sizes[str(Path(file).absolute())] = Path(file).stat().st_size
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}; check the path") from error
    return sizes


def require_training_paths(arguments: Iterable[str]) -> None:
    """Check the data folders, if they come first, and the checkpoints on a command line of ``fairseq-train``.

    Args:
        arguments: The command line without the name of the command.
    """
    words = list(arguments)
    # else an override of fairseq-hydra-train
    if words and not words[0].startswith("-") and "=" not in words[0]:
        require(DATA, *words[0].split(os.pathsep))
    for i, word in enumerate(words):
        option, given, value = word.partition("=")
        if option in ("--finetune-from-model", "--path", "--continue-once"):
            require(CHECKPOINT, value if given else words[i + 1] if i + 1 < len(words) else None)


def require_folder(option: str, path: Path) -> None:
    """Refuse a file to write whose folder cannot be made, as it stands in a file.

    Args:
        option: the option that names it, for the message.
        path: path of the file.
    """
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir():
        raise InputError(f"{option} {path}: {there} is a file, no folder; name another file to write")


def check_output(args: argparse.Namespace) -> None:
    """Refuse an ``--output`` that is one of the files that a command reads, or whose folder is a file.

    Args:
        args: the command's; ``output`` is a path or None.
    """
    output = args.output
    if output is None:
        return
    require_folder("--output", output)
    if not output.is_file():
        return
    for name, value in vars(args).items():
        for given in value if isinstance(value, list) else [value]:
            is_path = name != "output" and isinstance(given, str | Path) and Path(given).is_file()
            if is_path and Path(given).samefile(output):
                raise InputError(f"--output {output} is a file that is read; name another")
