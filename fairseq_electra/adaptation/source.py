"""The model that is adapted to a domain."""

from pathlib import Path

from fairseq_electra.electra.configuration import objective_of
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.electra.state import check_trained
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.hub.load import Pretrained, load_checkpoint

NETWORKS = ("generator", "discriminator")


def load_source(checkpoint: str | Path, vocabulary: str | Path | None) -> Pretrained:
    """Load a checkpoint of pre-training, or an imported one, with its vocabulary.

    Args:
        checkpoint: the checkpoint, or a folder of them.
        vocabulary: folder of its vocabulary; None: beside the checkpoint, or in its data folder.

    Raises:
        InputError: it cannot be pre-trained further.
    """
    source = load_checkpoint(checkpoint, vocabulary)
    if isinstance(source.model, EncoderWithHeads):
        raise InputError(
            f"{checkpoint} was fine-tuned and has no generator, which pre-training needs; give the"
            " pre-training checkpoint that it started from"
        )
    for network in NETWORKS:
        check_trained(source.initialised, f"{network}.", checkpoint)
    return source


def notes_on(source: Pretrained) -> list[str]:
    """Return a sentence for each part of a full ELECTRA that a model lacks, or has only at random."""
    assert source.cfg is not None  # a checkpoint's
    objective = objective_of(source.cfg["model"])
    notes = []
    if not OBJECTIVES[objective].has_discriminator:
        notes.append(
            f"the checkpoint has no discriminator (--objective {objective}): its generator alone goes on, and"
            " disc_auc and fixed_auc have no values"
        )
    elif not OBJECTIVES[objective].has_generator:
        notes.append(
            f"the checkpoint has no generator (--objective {objective}): it goes on by its own objective, and"
            " masked_lm_accuracy has no value"
        )
    heads = dict.fromkeys(name.split(".")[0] for name in source.initialised)
    if heads:
        notes.append(f"not in the folder that was imported, so starting at random: {', '.join(heads)}")
    return notes
