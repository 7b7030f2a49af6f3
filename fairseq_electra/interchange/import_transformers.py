"""A checkpoint of fairseq, from a folder of transformers."""

import json
from dataclasses import asdict
from pathlib import Path

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TASK_FILE
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.hub.network_files import Network
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.checkpoint import checkpoint_state
from fairseq_electra.interchange.names import BIAS, DECODER_BIAS, HEADS, prefix_of
from fairseq_electra.interchange.tokenizer_parity import compare_rows, compare_tokenizers
from fairseq_electra.interchange.transformers_folder import Imported, read_folder
from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE, TOKENIZER_FILE, save_vocabulary

HEAD = "imported_head"  # a name that no task gives to its own, so that a new task begins with a new head
FILES_BESIDE = (DICTIONARY_FILE, TOKENIZER_FILE, TASK_FILE)


def import_transformers(
    folder: str | Path, checkpoint: str | Path, generator: str | Path | None = None, seed: int = 1
) -> list[str]:
    """Write a checkpoint, and its vocabulary beside it, once tokenizer and networks agree with transformers'.

    A fine-tuned model becomes an encoder with a head; fine-tuned again, it leaves the head and gets that of
    the new task.

    Args:
        folder: of transformers or sentence-transformers, with a discriminator, a BERT, or a fine-tuned model.
        checkpoint: file to write; ``dict.txt`` and ``tokenizer.json`` come into its folder, and ``task.json``
            of a fine-tuned model.
        generator: folder of the generator; by default the subfolder ``generator``.
        seed: of what the folder does not have.

    Returns:
        lines that say what was used, what was not, and how large the differences are.

    Raises:
        InputError: something does not fit, or transformers computes something else. Nothing is written.
    """
    checkpoint = Path(checkpoint)
    if checkpoint.exists():
        raise InputError(f"{checkpoint} is there already; name a new file")
    present = [name for name in FILES_BESIDE if (checkpoint.parent / name).exists()]
    if present:
        raise InputError(
            f"{checkpoint.parent / present[0]} is there already, of another vocabulary perhaps; name a"
            " checkpoint in a new folder"
        )
    imported = read_folder(folder, generator, seed, head=HEAD)
    pretrained, order = imported.pretrained, imported.order.tolist()
    with_segments, is_tuned = not pretrained.model.sizes.no_segments, pretrained.task is not None
    agreed = [
        compare_tokenizers(imported.folder, pretrained.tokenizer, order),
        compare_rows(imported.folder, order, with_segments, is_tuned),
        parity.check(compare(imported)),
    ]
    _save(imported, checkpoint)
    return [*_report(imported, checkpoint, seed), *filter(None, agreed)]


def _save(imported: Imported, checkpoint: Path) -> None:
    """Write the checkpoint and what belongs beside it, or nothing."""
    from fairseq import checkpoint_utils

    pretrained, folder = imported.pretrained, checkpoint.parent
    state = checkpoint_state(
        pretrained.model,
        pretrained.symbols,
        imported.model_cfg,
        str(folder),
        pretrained.max_length,
        pretrained.task,
        pretrained.settings,
        pretrained.initialised,
    )
    try:
        save_vocabulary(pretrained.tokenizer, folder)
        if pretrained.task is not None:
            (folder / TASK_FILE).write_text(
                json.dumps(asdict(pretrained.task), indent=2) + "\n", encoding="utf-8"
            )
        checkpoint_utils.torch_persistent_save(state, str(checkpoint))
    except BaseException:
        for name in FILES_BESIDE:
            (folder / name).unlink(missing_ok=True)
        raise


def _report(imported: Imported, checkpoint: Path, seed: int) -> list[str]:
    """Say what was used and what was not."""
    pretrained, used = (
        imported.pretrained,
        sum(len(network.tensors) for network in imported.networks.values()),
    )
    roles = ", ".join(imported.networks)
    if pretrained.task is not None:
        classes = f" ({', '.join(pretrained.task.labels)})" if pretrained.task.labels else ""
        roles = f"a net fine-tuned for {pretrained.kind}{classes}, head {HEAD}"
    lines = [f"{checkpoint}: {used} tensors of {roles}; {DICTIONARY_FILE} and {TOKENIZER_FILE} beside it"]
    lines += imported.notes
    if pretrained.task is not None and (note := KINDS[pretrained.kind].counterpart.import_note):
        lines.append(f"note: {note}")
    lines += [f"not used: {name}: {reason}" for name, reason in imported.unused.items()]
    if pretrained.initialised:
        parts = dict.fromkeys(name.split(".")[0] for name in pretrained.initialised)
        lines.append(
            f"not in the folder, initialised with --seed {seed}: {', '.join(parts)}"
            f" ({len(pretrained.initialised)} tensors)"
        )
    if imported.unnamed:
        number, names = len(imported.unnamed), _span(imported.unnamed)
        lines.append(f"rows of the token table without a piece: {number}, named {names}, which no text gives")
    return lines


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def compare(imported: Imported) -> dict[str, dict[str, float]]:
    """Compare every network with transformers' own, filled with the tensors of the file."""
    pretrained = imported.pretrained
    limit = min(network.sizes.max_position_embeddings for network in imported.networks.values())
    rows = parity.rows_of_text(pretrained.tokenizer, limit)
    exact = parity.in_double(pretrained.model)
    return {
        role: parity.difference(exact, role, transformers_model(network), rows, imported.order)
        for role, network in imported.networks.items()
    }


def transformers_model(network: Network):
    """Build transformers' model from the tensors that were read, so that no file is read in another way.

    Raises:
        InputError: transformers refuses an entry of config.json, or builds another model than the tensors'.
    """
    try:
        return _transformers_model(network)
    except InputError:
        raise
    except Exception as error:  # whatever a value of config.json leads to
        said = " ".join(str(error).split())[:300]
        raise InputError(
            f"{network.folder / 'config.json'}: transformers cannot build the model with these entries and"
            f" tensors ({type(error).__name__}: {said}); mend the entry"
        ) from error


def _transformers_model(network: Network):
    import transformers

    family = network.family
    name = str(HEADS[network.head, family].class_name)
    config = transformers.CONFIG_MAPPING[family].from_dict(
        {**network.config, "tie_word_embeddings": "head.table.weight" not in network.tensors}
    )
    without_pooler = {"add_pooling_layer": False} if name == "BertModel" else {}
    model = getattr(transformers, name)(config, **without_pooler).eval()
    expected = model.state_dict()
    tensors = dict(network.theirs)
    if BIAS in tensors:  # the one number that transformers may store under either name
        tensors.setdefault(DECODER_BIAS, tensors[BIAS])
    if network.head == "none":  # the file may be that of a class with a head
        tensors = {key.removeprefix(prefix_of(family)): tensor for key, tensor in tensors.items()}
    missing = [
        key
        for key in expected
        if key not in tensors and not key.endswith(("decoder.bias", "decoder.weight", "lm_head.weight"))
    ]
    if missing:
        raise InputError(f"{network.folder} lacks {missing[0]}, which transformers' {name} has")
    model.load_state_dict({key: tensors.get(key, tensor) for key, tensor in expected.items()})
    model.tie_weights()
    return model
