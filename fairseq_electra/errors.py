"""The one exception that speaks to the user."""


class InputError(ValueError):
    """Something outside the program is wrong: data, options or a checkpoint.

    Its message is one sentence for the person at the keyboard: what is wrong, which value, what to do. Commands print it without
    a traceback and end with status 1 (:func:`fairseq_electra.compat.speak_plainly` does so for fairseq's own commands).
    """
