"""A user's mistakes that fairseq answers with an assertion, with an error of a library or with no words at all, in one sentence each."""

import errno
import re
import traceback
from typing import NamedTuple

from fairseq_electra.errors import DivergedError, InputError, RunCollapsedError

# of a disk, a path or its rights: never a mistake of a program
OF_PATHS = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
}
TOTAL = "give --max-update, or --total-num-update where the schedule has it"


class Mistake(NamedTuple):
    """What fairseq says of a mistake, and the sentence to say instead.

    Attributes:
        words: pattern of fairseq's message.
        sentence: for the user; ``{0}`` is the first group of the pattern.
        where: end of the path of the file that the error comes from, where the words do not tell.
    """

    words: str
    sentence: str
    where: str = ""


MISTAKES = (
    Mistake(
        "Must specify batch size either with",
        "--batch-size is missing; give the rows of a batch, such as --batch-size 32, or with --max-tokens its tokens",
    ),
    Mistake("Please specify criterion to train", "--criterion is missing; give that of the task, such as replaced_token_detection"),
    Mistake(r"^(\w+) is required!$", "--{0} is missing; give one, such as --optimizer electra_adam"),
    Mistake(
        r"Sentences lengths should not exceed max_tokens=(\d+)",
        "--max-tokens {0} (or --max-tokens-valid) has no room for the longest row; give more",
    ),
    Mistake(
        r"Size of sample #\d+ is invalid \(=(.*)\) since max_positions=(.*), skip",
        "a row of {0} tokens is longer than the room for it, {1} (--max-positions, --max-tokens); give more, or prepare the data with "
        "--max-positions {1}",
    ),
    Mistake(r"Error merging override (?:\w+\.)?(\w+)=null", "--{0} is missing; give it"),
    Mistake(r"Error merging override (?:\w+\.)?(\w+)=(.*)", "--{0} {1}: not a value that this option takes; see --help"),
    Mistake("^$", f"--lr-scheduler polynomial_decay must know the update at which it ends; {TOTAL}", "polynomial_decay_schedule.py"),
    Mistake("^$", f"--lr-scheduler tri_stage must know how many updates the run has; {TOTAL}", "tri_stage_lr_scheduler.py"),
    Mistake("(.+)", "--lr-scheduler cannot be made: {0}", "_lr_scheduler.py"),
    Mistake("(.+)", "--lr-scheduler cannot be made: {0}", "_schedule.py"),
)


def input_error(error: BaseException | None) -> InputError | None:
    """Find what the user should read in an error, or in what it was raised from."""
    first = error
    while error is not None:
        # from a loader's worker or a spawned process it comes as text, behind a traceback
        for kind in (RunCollapsedError, DivergedError, InputError):
            _, found, sentence = str(error).rpartition(f"{kind.__name__}: ")
            if found:
                return kind(sentence.strip())
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None if first is None else explain(first)


def explain(error: BaseException) -> InputError | None:
    """Return the sentence for a mistake that fairseq has found; None if it is none that is known."""
    if isinstance(error, OSError) and error.errno in OF_PATHS and error.filename is not None:
        return InputError(f"cannot use {error.filename}: {error.strerror}; check the path, and its rights")
    frames = traceback.extract_tb(error.__traceback__)
    file = frames[-1].filename if frames else ""
    for mistake in MISTAKES:
        found = re.search(mistake.words, str(error))
        if found and file.endswith(mistake.where) and (mistake.where == "" or isinstance(error, AssertionError | ValueError)):
            groups = [group.replace("_", "-") if mistake.words.startswith("Error merging") else group for group in found.groups()]
            return InputError(mistake.sentence.format(*groups))
    return None


def explain_unwritable_folder() -> None:
    """checkpoint_utils.py::verify_checkpoint_directory, ``raise e``: names neither the option nor what to do."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.verify_checkpoint_directory

    def verify_checkpoint_directory(save_dir: str) -> None:
        try:
            plain(save_dir)
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"cannot write to --save-dir {save_dir}: {reason}; name a folder that can be written to") from error

    checkpoint_utils.verify_checkpoint_directory = verify_checkpoint_directory
