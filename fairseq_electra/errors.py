"""The exceptions that speak to the user."""


class InputError(ValueError):
    """Something outside the program is wrong: data, options or a checkpoint.

    Its message is one sentence for the person at the keyboard: what is wrong, which value, what to do. Commands print it without
    a traceback and end with ``status`` (:func:`fairseq_electra.compat.speak_plainly` does so for fairseq's own commands).
    """

    status = 1


class RunCollapsedError(InputError):
    """Pre-training has failed for so long that ``--stop-when-collapsed`` ends it; the status tells scripts that it was this."""

    status = 3
