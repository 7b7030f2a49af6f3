"""A --save-dir that cannot be written to is explained in one sentence.

checkpoint_utils.py::verify_checkpoint_directory, ``raise e``, names neither the option nor what to do. Here
the sentence does.
"""

import functools

from fairseq_electra.errors import InputError


def explain_unwritable_folder() -> None:
    """Change checkpoint_utils.py::verify_checkpoint_directory."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.verify_checkpoint_directory

    @functools.wraps(plain)
    def verify_checkpoint_directory(save_dir: str) -> None:
        try:
            plain(save_dir)
        except OSError as error:
            raise InputError(
                f"cannot write to --save-dir {save_dir}: {error.strerror or error}; give a folder that can be"
                " written to"
            ) from error

    checkpoint_utils.verify_checkpoint_directory = verify_checkpoint_directory
