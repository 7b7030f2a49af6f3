"""The files of one network in a folder of transformers: config.json and what its tensors are.

Needs safetensors, not transformers.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.heads import MaskedLMHead, ReplacedTokenHead
from fairseq_electra.electra.rotary import rotary_angles
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import REMEDY
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.interchange.json_files import read_json
from fairseq_electra.interchange.names import (
    BIAS,
    CLASSES,
    CLASSES_WITH_POOLER,
    COMPUTED,
    DECODER_BIAS,
    HEADS,
    OTHER_HEADS,
    TASK_HEADS,
    UNUSED_OF_BERT,
    UNUSED_OF_MODERNBERT,
    Part,
    embeddings_part,
    encoder_part,
    head_names,
    prefix_of,
    to_ours,
)
from fairseq_electra.interchange.rotary_halves import as_pairs
from fairseq_electra.interchange.tensor_files import read_tensors
from fairseq_electra.interchange.transformers_config import read_sizes


@dataclass
class Network:
    """One network as it lies in a folder.

    Args:
        folder: where.
        config: its config.json.
        sizes: of its encoder.
        vocabulary_size: V.
        head: which of :data:`names.HEADS` it has; ``none`` too for heads of other tasks.
        tensors: by our names, beginning with ``embeddings.``, ``encoder.`` and ``head.``; rows of the
            vocabulary in their order.
        unused: tensors of the file that are not among them, each with the reason.
        theirs: all tensors of the file.
    """

    folder: Path
    config: dict
    sizes: EncoderSizes
    vocabulary_size: int
    head: str
    tensors: dict[str, Tensor]
    unused: dict[str, str]
    theirs: dict[str, Tensor]

    @property
    def family(self) -> str:
        """The model_type of transformers."""
        return self.config["model_type"]

    @property
    def head_tensors(self) -> dict[str, Tensor]:
        """The tensors of the head, by the head's names."""
        prefix = "head."
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def is_transformers_folder(path: str | Path) -> bool:
    """Tell a folder of transformers by its config.json."""
    return (Path(path) / "config.json").is_file()


def read_network(folder: Path) -> Network:
    """Read one network.

    Raises:
        InputError: something is missing, unknown, damaged, not finite or does not fit the rest.
    """
    if not is_transformers_folder(folder):
        raise InputError(
            f"{folder} is no model of transformers: it has no config.json; give the folder that holds it"
        )
    config = read_json(folder / "config.json")
    sizes, vocabulary_size = read_sizes(config, folder / "config.json")
    family = config["model_type"]
    tensors, source = read_tensors(folder)
    # RoFormer computes with this one; where its tables are untied, the other one may differ
    if DECODER_BIAS in tensors:
        tensors[BIAS] = tensors[DECODER_BIAS]
    architectures = config.get("architectures") or [None]
    if not isinstance(architectures, list) or not isinstance(architectures[0], str | None):
        raise InputError(
            f"{folder / 'config.json'} has architectures {architectures!r}; it must be a list of"
            " names of classes"
        )
    class_name = architectures[0]
    head = _head_of(class_name, tensors, family, folder)
    base = prefix_of(family)
    base = base if any(name.startswith(base) for name in tensors) else ""
    names = head_names(head, family, sizes)
    table = names.pop("table.weight", None)
    parts = [
        embeddings_part("embeddings.", base, sizes),
        encoder_part("encoder.", base, sizes),
        Part("head.", "", names),
    ]
    zeros = _zero_biases(config, head, sizes, vocabulary_size)
    if twice := sorted(zeros.keys() & tensors.keys()):
        raise InputError(
            f"{source} has a tensor {twice[0]}, and config.json says that there is none; correct its"
            " classifier_bias or decoder_bias"
        )
    ours, not_read = to_ours(tensors | zeros, parts, str(source))
    not_read = [name for name in not_read if name in tensors]
    if table in not_read and not torch.equal(tensors[table], ours["embeddings.tokens.weight"]):
        ours["head.table.weight"] = tensors[table]
    unused = {}
    for name in not_read:
        if name == table:
            if "head.table.weight" not in ours:
                unused[name] = "the token table once more"
            continue
        unused[name] = _reason(name, class_name, family)
        if not unused[name]:
            raise InputError(
                f"{source} has a tensor {name} that no ELECTRA has; it cannot be imported without loss"
            )
    _check_computed(tensors, sizes, source)
    network = Network(folder, config, sizes, vocabulary_size, head, ours, unused, tensors)
    _check_shapes(network, source)
    if family == "modernbert":
        network.tensors = as_pairs(network.tensors, "encoder.", sizes)
    return network


def _zero_biases(config: dict, head: str, sizes: EncoderSizes, vocabulary_size: int) -> dict[str, Tensor]:
    """Return the biases that the heads of a ModernBERT lack if its config.json says so, by their names."""
    if config["model_type"] != "modernbert" or head == "none":
        return {}
    zeros = {}
    if not config.get("classifier_bias", False):
        zeros["head.dense.bias"] = torch.zeros(sizes.hidden_size)
    if head == "masked_lm" and not config.get("decoder_bias", True):
        zeros["decoder.bias"] = torch.zeros(vocabulary_size)
    return zeros


def _head_of(class_name: str | None, tensors: dict[str, Tensor], family: str, folder: Path) -> str:
    """Tell the head by the class that config.json names, or else by the tensors.

    Raises:
        InputError: the head may compute something else than ours.
    """
    if family == "modernbert":
        return _head_of_modernbert(class_name, tensors, folder)
    if class_name in CLASSES_WITH_POOLER:
        raise InputError(
            f"{folder / 'config.json'} names the class {class_name}, whose head reads BERT's pooler, as no"
            " head here does; " + REMEDY.format(HEADS["none", family].class_name)
        )
    if class_name in CLASSES and (CLASSES[class_name][0], family) in HEADS:
        return CLASSES[class_name][0]
    head = _head_in(tensors, family)
    if class_name is None and head == "token" and _may_be_of_sentences(tensors):
        raise InputError(
            f"{folder} has a classifier that may be for tags, sentences or multiple choice, and its"
            " config.json names no class; name it "
            f'under "architectures" there, such as {HEADS[head, family].class_name}'
        )
    if head in TASK_HEADS and class_name is not None and class_name not in CLASSES:
        raise InputError(
            f"{folder} is of the class {class_name}, which may compute something else with its head than"
            " transformers' "
            f'{HEADS[head, family].class_name}; if it does not, name that under "architectures" in its'
            " config.json"
        )
    return head


def _head_of_modernbert(class_name: str | None, tensors: dict[str, Tensor], folder: Path) -> str:
    """Tell the head of a ModernBERT by its class: all of its heads have tensors of the same names.

    One score for each token is p(replaced).
    """
    if class_name is None and not any(name.startswith(tuple(UNUSED_OF_MODERNBERT)) for name in tensors):
        return "none"
    if class_name == HEADS["replaced_token", "modernbert"].class_name:
        return "replaced_token" if len(tensors.get("classifier.weight", ())) == 1 else "token"
    if class_name in CLASSES and CLASSES[class_name][1] == "modernbert":
        return CLASSES[class_name][0]
    raise InputError(
        f"{folder / 'config.json'} names the class {class_name}, which cannot be imported; "
        + REMEDY.format(HEADS["none", "modernbert"].class_name)
    )


def _may_be_of_sentences(tensors: dict[str, Tensor]) -> bool:
    """Tell whether a classifier may be for something else than tags of tokens.

    That is so if there is a pooler, as BERT's, or a single score, as for multiple choice.
    """
    return any(".pooler." in f".{name}" for name in tensors) or len(tensors["classifier.bias"]) == 1


def _head_in(tensors: dict[str, Tensor], family: str) -> str:
    """Tell the head by its tensors, where config.json names no class, or one without a head of ours."""
    for (kind, its_family), head in HEADS.items():
        needed = [name for ours, name in head.names.items() if ours != "table.weight"]
        if its_family == family and needed and all(name in tensors for name in needed):
            return kind
    return "none"


def _reason(name: str, class_name: str | None, family: str) -> str:
    for ending, reason in COMPUTED.items():
        if name.endswith(ending):
            return reason
    unused = {"bert": UNUSED_OF_BERT, "modernbert": UNUSED_OF_MODERNBERT}.get(family, {})
    for beginning, reason in unused.items():
        if name.removeprefix(prefix_of(family)).startswith(beginning):
            return reason
    return f"the head of {class_name}" if class_name and name.startswith(OTHER_HEADS) else ""


def _check_computed(tensors: dict[str, Tensor], sizes: EncoderSizes, source: Path) -> None:
    """A table of sines that was changed would be another network."""
    for name, tensor in tensors.items():
        if name.endswith("encoder.embed_positions.weight") and not are_sines(tensor, sizes):
            raise InputError(
                f"{source}: {name} is not the table of sines that rotary positions have; it cannot be"
                " imported"
            )


def are_sines(table: Tensor, sizes: EncoderSizes) -> bool:
    """Tell whether a table is that of :func:`sines`, as it is or rounded to 16 bits, as some folders are."""
    exact, tolerance = sines(sizes, torch.float64), 1e-5
    for dtype in (torch.float16, torch.bfloat16):
        if torch.equal(table, table.to(dtype).to(table.dtype)):  # so it may have been rounded to it
            tolerance = torch.finfo(dtype).eps
    return table.shape == exact.shape and torch.allclose(table.double(), exact, rtol=tolerance, atol=1e-6)


def sines(sizes: EncoderSizes, dtype: torch.dtype = torch.float32) -> Tensor:
    """RoFormer's table: sines in the first half, cosines in the second. Shape: (positions, head size).

    Source: transformers modeling_roformer.py::RoFormerSinusoidalPositionalEmbedding.
    """
    head_size = sizes.hidden_size // sizes.num_attention_heads
    cos, sin = rotary_angles(sizes.max_position_embeddings, head_size, torch.device("cpu")).unbind(-1)
    return torch.cat([sin, cos], 1).to(dtype)


def _check_shapes(network: Network, source: Path) -> None:
    with torch.device("meta"):
        skeleton = _skeleton(network)
    for name, tensor in network.tensors.items():
        if tensor.shape != skeleton[name]:
            raise InputError(
                f"{source}: {name} has the shape {tuple(tensor.shape)}, but config.json makes it"
                f" {tuple(skeleton[name])} (V {network.vocabulary_size}, hidden"
                f" {network.sizes.hidden_size}); the two do not belong together"
            )
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{source}: {name} holds numbers that are not finite; copy it again")


def _skeleton(network: Network) -> dict[str, torch.Size]:
    sizes, vocabulary_size = network.sizes, network.vocabulary_size
    modules = {"embeddings": Embeddings(sizes, vocabulary_size, 1), "encoder": Encoder(sizes)}
    if network.head == "replaced_token":
        modules["head"] = ReplacedTokenHead(sizes)
    elif network.head == "masked_lm":
        modules["head"] = MaskedLMHead(sizes, vocabulary_size, untied=True)
    elif network.head in TASK_HEADS:
        kind = next(kind for kind in KINDS.values() if kind.counterpart.head == network.head)
        head = kind.head_for(network.head_tensors, sizes.hidden_size, 0.0)
        if sizes.normed_head:
            head.add_transform(sizes)
        modules["head"] = head
    return {
        f"{part}.{name}": tensor.shape
        for part, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
