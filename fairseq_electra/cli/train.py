"""Run fairseq-train with this package loaded; a wrong path is refused at once.

The options are those of fairseq-train, without --user-dir.

fairseq-electra train data-bin --task electra_pretraining --arch electra_tiny ...
# with all options of what is named before it
fairseq-electra train data-bin --task electra_pretraining --help

fairseq-train itself imports this package only where --user-dir names its folder: without it, it knows none of
the names above.
"""

import sys
from pathlib import Path

import fairseq_electra
from fairseq_electra.paths import require_training_paths


def run_with(arguments: list[str]) -> None:
    """Run ``fairseq-train`` in this process.

    Args:
        arguments: arguments of fairseq-train. A wrong path of this package in ``--user-dir`` is corrected.

    Raises:
        InputError: fairseq or this package refuses the arguments.
    """
    if not arguments:
        print(__doc__)
        return
    require_training_paths(arguments)
    from fairseq_cli import train

    fairseq_electra.register()
    from fairseq_electra.compat.mistakes import input_error

    sys.argv = ["fairseq-train", *with_user_dir(arguments)]
    try:
        train.cli_main()
    except Exception as error:
        cause = input_error(error)
        if cause is None or cause is error:
            raise
        raise cause from error


def with_user_dir(arguments: list[str]) -> list[str]:
    """Return the arguments with this package's folder as ``--user-dir``, unless they name another package."""
    package = Path(fairseq_electra.__file__).parent
    kept, words = list[str](), iter(arguments)
    for word in words:
        option, given, value = word.partition("=")
        if option != "--user-dir":
            kept.append(word)
            continue
        value = value if given else next(words, "")
        if Path(value).name != package.name:
            return list(arguments)
    return [*kept, "--user-dir", str(package)]
