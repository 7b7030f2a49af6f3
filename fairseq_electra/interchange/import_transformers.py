"""A checkpoint of fairseq, from a folder of transformers."""

from pathlib import Path
from typing import Any

from fairseq_electra.data.wordpiece import DICTIONARY_FILE, TOKENIZER_FILE, save_vocabulary
from fairseq_electra.errors import InputError
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.names import HEADS
from fairseq_electra.interchange.network_files import Network
from fairseq_electra.interchange.pretrained import checkpoint_state
from fairseq_electra.interchange.transformers_config import family_of
from fairseq_electra.interchange.transformers_folder import Imported, read_folder
from fairseq_electra.models.electra import ElectraModel


def import_transformers(folder: str | Path, checkpoint: str | Path, generator: str | Path | None = None, seed: int = 1) -> list[str]:
    """Write a checkpoint, and its vocabulary beside it, once the networks agree with transformers'.

    Args:
        folder: of transformers, with the discriminator.
        checkpoint: file to write; ``dict.txt`` and ``tokenizer.json`` come into its folder.
        generator: folder of the generator; by default the subfolder ``generator``.
        seed: of what the folder does not have.

    Returns:
        lines that say what was used, what was not, and how large the differences are.

    Raises:
        InputError: something does not fit, or the networks do not agree. Nothing is written.
    """
    from fairseq import checkpoint_utils

    checkpoint = Path(checkpoint)
    if checkpoint.exists():
        raise InputError(f"{checkpoint} is there already; name a new file")
    imported = read_folder(folder, generator, seed)
    model = imported.pretrained.model
    if not isinstance(model, ElectraModel):
        raise InputError(
            f"{folder} holds a fine-tuned net, and pre-training checkpoints have no place for its head; "
            "fairseq_electra.from_pretrained uses it as it is"
        )
    differences = compare(imported)
    line = parity.check(differences)
    data = checkpoint.parent
    present = [name for name in (DICTIONARY_FILE, TOKENIZER_FILE) if (data / name).exists()]
    if present:
        raise InputError(f"{data / present[0]} is there already, of another vocabulary perhaps; name a checkpoint in a new folder")
    state = checkpoint_state(model, imported.model_cfg, str(data), imported.pretrained.longest)
    save_vocabulary(imported.pretrained.tokenizer, data)
    try:
        checkpoint_utils.torch_persistent_save(state, str(checkpoint))
    except BaseException:
        for name in (DICTIONARY_FILE, TOKENIZER_FILE):
            (data / name).unlink(missing_ok=True)
        raise
    used = sum(len(network.tensors) for network in imported.networks.values())
    lines = [f"{checkpoint}: {used} tensors of {', '.join(imported.networks)}; {DICTIONARY_FILE} and {TOKENIZER_FILE} beside it"]
    lines += [f"not used: {name}: {reason}" for name, reason in imported.unused.items()]
    if imported.pretrained.initialised:
        parts = dict.fromkeys(name.split(".")[0] for name in imported.pretrained.initialised)
        lines.append(
            f"not in the folder, initialised with --seed {seed}: {', '.join(parts)} ({len(imported.pretrained.initialised)} tensors)"
        )
    return [*lines, line]


def compare(imported: Imported) -> dict[str, dict[str, float]]:
    """Compare every network with transformers' own, filled with the tensors of the file."""
    pretrained = imported.pretrained
    limit = min(network.sizes.max_position_embeddings for network in imported.networks.values())
    rows = parity.rows_of_text(pretrained.tokenizer, limit)
    return {
        role: parity.difference(pretrained.model, role, transformers_model(network), rows, imported.order)
        for role, network in imported.networks.items()
    }


def transformers_model(network: Network):
    """Build transformers' model from the tensors that were read, so that no file is read in another way."""
    import transformers

    family = family_of(network.sizes)
    name = str(HEADS[network.head, family].class_name)
    config_class: Any = {"electra": transformers.ElectraConfig, "roformer": transformers.RoFormerConfig}[family]
    config = config_class.from_dict({**network.config, "tie_word_embeddings": "head.table.weight" not in network.tensors})
    model = getattr(transformers, name)(config).eval()
    own = model.state_dict()
    tensors = network.theirs
    if network.head == "none":  # the file may be that of a class with a head
        tensors = {key.removeprefix(f"{family}."): tensor for key, tensor in tensors.items()}
    missing = [key for key in own if key not in tensors and not key.endswith(("decoder.bias", "decoder.weight", "lm_head.weight"))]
    if missing:
        raise InputError(f"{network.folder} lacks {missing[0]}, which transformers' {name} has")
    model.load_state_dict({key: tensors.get(key, tensor) for key, tensor in own.items()})
    model.tie_weights()
    return model
