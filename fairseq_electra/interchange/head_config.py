"""The kind of task that a head of transformers is for; heads that compute something else are refused."""

from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import REMEDY
from fairseq_electra.finetuning.kind import TaskKind
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.interchange.names import HEADS


def kind_of_head(config: dict, head: str, family: str, classes: int, source: Path) -> TaskKind:
    """Find the kind of task that a head is for.

    Args:
        config: of the network.
        head: as in :data:`names.HEADS`.
        family: transformers' model_type.
        classes: scores of the head.
        source: names config.json in errors.

    Raises:
        InputError: the head computes another function than ours, or its scores are meant otherwise.
    """
    kinds = [kind for kind in KINDS.values() if kind.counterpart.head == head]
    kind = next((kind for kind in kinds if kind.counterpart.accepts(config, classes)), kinds[0])
    try:
        kind.counterpart.check(config, family, classes, source)
    except InputError as error:
        raise InputError(f"{error}; {REMEDY.format(HEADS['none', family].class_name)}") from error
    return kind
