"""Options that Electric cannot have. fairseq does not import files that start with ``_``."""

from fairseq_electra.errors import InputError

# with their only value: noise must be drawn from q itself, whose log-probability enters the loss, and the
# towers and the main encoder read the same embeddings
FIXED = {
    "tie_embeddings": "all",
    "untie_lm_head": False,
    "temperature": 1.0,
    "disallow_correct": False,
    "duplicate_samples": "first",
}


def refuse_unread_options(cfg) -> None:
    """Refuse options of the generator that would change nothing.

    Raises:
        InputError: one is given; names it.
    """
    for name, only in FIXED.items():
        given = cfg[name] if isinstance(only, bool | float) else str(cfg[name])
        if given != only:
            option = f"--{name.replace('_', '-')}" + ("" if isinstance(only, bool) else f" {given}")
            raise InputError(
                f"--objective electric has no {option}: its noise is drawn from the noise model's own"
                " probabilities, and all networks share their embeddings; leave it out"
            )
