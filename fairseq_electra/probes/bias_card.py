"""The section of a model card with the results of pairs about groups of people."""

import json
from pathlib import Path

from fairseq_electra.checkpoints import sha256_of
from fairseq_electra.errors import InputError
from fairseq_electra.files.json_values import parsed
from fairseq_electra.probes.bias_results import in_words, table


def card_section(path: str | Path, checkpoint: str | Path, fine_tuned: bool) -> str:
    """Write the section.

    Args:
        path: a file that ``fairseq-electra bias --output`` has written.
        checkpoint: the checkpoint that the card is of, or its folder.
        fine_tuned: whether this checkpoint was fine-tuned. Then the results are those of a pre-training
            checkpoint, and the section says so.

    Returns:
        Markdown.

    Raises:
        InputError: the file holds no such results, or they are those of another pre-training checkpoint.
    """
    try:
        found = parsed(Path(path).read_text(encoding="utf-8"))
        if found["probe"] != "bias":
            raise ValueError(f"results of the probe {found['probe']!r}")
        measured, body = found["net"]["sha256"], f"{table(found)}\n\n{in_words(found)}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not hold results of pairs ({_reason(error)}); give the file that fairseq-electra"
            " bias --output has written"
        ) from error
    if fine_tuned:
        whose = (
            f"Measured on a pre-training checkpoint (SHA-256 {measured}), not on this fine-tuned model, which"
            " has no network that scores sentences."
        )
    elif measured != sha256_of(checkpoint):
        raise InputError(
            f"{path} holds the results of another checkpoint, of SHA-256 {measured}; run fairseq-electra bias"
            f" {checkpoint} and give its file"
        )
    else:
        whose = "Measured on the checkpoint that was exported."
    return f"## Pairs about groups of people\n\n{whose}\n\n{body}\n"


def _reason(error: Exception) -> str:
    """Say in a few words what is wrong with the file."""
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return "not JSON"
    return f"no {error}" if isinstance(error, KeyError) else str(error)
