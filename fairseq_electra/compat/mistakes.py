"""A user's mistakes that fairseq answers with an assertion or an obscure error are explained.

compat/tracebacks.py prints the sentences. Each entry of the table has words of fairseq's or hydra's error.
"""

import errno
import re
import traceback
from typing import NamedTuple

from fairseq_electra.errors import DeviceFaultError, DivergedError, InputError, RunCollapsedError
from fairseq_electra.originals import OF_COMMAND_LINES

# errors of a disk, a path or its permissions: never a mistake of a program
PATH_ERRORS = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
}
GIVE_TOTAL = "give --max-update, or --total-num-update where the schedule has it"


class Mistake(NamedTuple):
    """The message of fairseq about a mistake, and the sentence that replaces it.

    Attributes:
        pattern: Regular expression of fairseq's message.
        sentence: The sentence for the user; ``{0}`` is the first group of the pattern.
        file: End of the path of the file that raises the error, where the message alone does not identify it.
    """

    pattern: str
    sentence: str
    file: str = ""


MISTAKES = (
    Mistake(
        "Must specify batch size either with",
        "--batch-size is missing; give the number of rows of a batch, such as --batch-size 32, or of its"
        " tokens, with --max-tokens",
    ),
    Mistake(
        "Please specify criterion to train",
        "--criterion is missing; give that of the task, such as replaced_token_detection",
    ),
    Mistake(r"^(\w+) is required!$", "--{0} is missing; give one, such as --optimizer electra_adam"),
    Mistake(
        r"Sentences lengths should not exceed max_tokens=(\d+)",
        "--max-tokens {0} (or --max-tokens-valid) is less than the tokens of the longest row; give more",
    ),
    Mistake(
        r"Size of sample #\d+ is invalid \(=(.*)\) since max_positions=(.*), skip",
        "a row of {0} tokens is longer than the {1} that are allowed (--max-positions, --max-tokens); allow "
        "more, or "
        "prepare the data with --max-positions {1}",
    ),
    Mistake("Seed must be between 0 and 2", "--seed is a whole number from 0 to 2^32 - 1; give such a one"),
    Mistake(
        "The dataset is empty",
        "no row is left: all are longer than --max-positions or --max-tokens allow; allow more, or prepare"
        " the data with a smaller --max-positions",
    ),
    Mistake(r"Key 'as' not in '\w+Config'", OF_COMMAND_LINES),
    Mistake(r"Error merging override (?:\w+\.)?(\w+)=null", "--{0} is missing; give it"),
    Mistake(
        r"Error merging override (?:\w+\.)?(\w+)=(.*)",
        "--{0} {1}: not a value that this option takes; see --help",
    ),
    Mistake(
        "^$",
        f"--lr-scheduler polynomial_decay needs the update at which it ends; {GIVE_TOTAL}",
        "polynomial_decay_schedule.py",
    ),
    Mistake(
        "^$",
        f"--lr-scheduler tri_stage needs the number of updates of the run; {GIVE_TOTAL}",
        "tri_stage_lr_scheduler.py",
    ),
    Mistake("(.+)", "--lr-scheduler cannot be made: {0}", "_lr_scheduler.py"),
    Mistake("(.+)", "--lr-scheduler cannot be made: {0}", "_schedule.py"),
)


def input_error(error: BaseException | None) -> InputError | None:
    """Find the error that the user should read: this one, or one that it was raised from.

    Returns:
        That error; None if the error is not a mistake of the user.
    """
    first = error
    while error is not None:
        # from a loader's worker or a spawned process it comes as text, after a traceback
        for kind in (RunCollapsedError, DivergedError, InputError):
            _, name, sentence = str(error).rpartition(f"{kind.__name__}: ")
            if name:
                return kind(sentence.strip())
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None if first is None else explain(first)


def explain(error: BaseException) -> InputError | None:
    """Return the sentence for an error of fairseq; None if it is not a known mistake of the user."""
    if isinstance(error, OSError) and error.errno in PATH_ERRORS and error.filename is not None:
        return InputError(
            f"cannot use {error.filename}: {error.strerror}; check the path and its permissions"
        )
    if isinstance(error, FloatingPointError) and not isinstance(error, DeviceFaultError):
        return DivergedError(
            f"{error}; use a lower --lr or a longer --warmup-updates, and look at the rows in"
            " nonfinite_rows.json of --save-dir if that does not help"
        )
    frames = traceback.extract_tb(error.__traceback__)
    file = frames[-1].filename if frames else ""
    for mistake in MISTAKES:
        match = re.search(mistake.pattern, str(error))
        may_be_meant = mistake.file == "" or isinstance(error, AssertionError | ValueError)
        if match and file.endswith(mistake.file) and may_be_meant:
            is_override = mistake.pattern.startswith("Error merging")
            groups = [group.replace("_", "-") if is_override else group for group in match.groups()]
            return InputError(mistake.sentence.format(*groups))
    return None
