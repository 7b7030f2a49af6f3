"""The files of one network in a folder of transformers: config.json and the tensors. Needs safetensors, not transformers."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fairseq_electra.errors import InputError
from fairseq_electra.interchange.heads import head_of
from fairseq_electra.interchange.json_files import read_json
from fairseq_electra.interchange.names import (
    CLASSES,
    COMPUTED,
    HEADS,
    OTHER_HEADS,
    TASK_OF_HEAD,
    Part,
    embeddings_part,
    encoder_part,
    to_ours,
)
from fairseq_electra.interchange.transformers_config import family_of, read_sizes
from fairseq_electra.modules.attention import rotary_turns
from fairseq_electra.modules.embeddings import Embeddings
from fairseq_electra.modules.encoder import Encoder
from fairseq_electra.modules.heads import MaskedLMHead, ReplacedTokenHead
from fairseq_electra.modules.sizes import EncoderSizes

DECODER_BIAS = "cls.predictions.decoder.bias"


@dataclass
class Network:
    """One network as it lies in a folder.

    Args:
        folder: where.
        config: its config.json.
        sizes: of its encoder.
        vocabulary_size: V.
        head: which of :data:`names.HEADS` it has; ``none`` too for heads of other tasks.
        tensors: by our names, beginning with ``embeddings.``, ``encoder.`` and ``head.``; rows of the vocabulary in their order.
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


def is_transformers_folder(path: str | Path) -> bool:
    """Tell a folder of transformers by its config.json."""
    return (Path(path) / "config.json").is_file()


def read_network(folder: Path) -> Network:
    """Read one network.

    Raises:
        InputError: something is missing, unknown, damaged, not finite or does not fit the rest.
    """
    if not is_transformers_folder(folder):
        raise InputError(f"{folder} is no model of transformers: it has no config.json; give the folder that holds it")
    config = read_json(folder / "config.json")
    sizes, vocabulary_size = read_sizes(config, folder / "config.json")
    family = family_of(sizes)
    tensors, source = read_tensors(folder)
    if DECODER_BIAS in tensors:  # RoFormer computes with this one; where its tables are untied, the other one may differ
        tensors["cls.predictions.bias"] = tensors[DECODER_BIAS]
    class_name = (config.get("architectures") or [None])[0]
    head = CLASSES[class_name][0] if class_name in CLASSES else _head_in(tensors, family)
    if head in TASK_OF_HEAD and class_name is not None and class_name not in CLASSES:
        raise InputError(
            f"{folder} is of the class {class_name}, which may compute something else with its head than transformers' "
            f'{HEADS[head, family].class_name}; if it does not, name that under "architectures" in its config.json'
        )
    base = f"{family}." if any(name.startswith(f"{family}.") for name in tensors) else ""
    names = dict(HEADS[head, family].names)
    table = names.pop("table.weight", None)
    parts = [
        embeddings_part("embeddings.", base, sizes),
        encoder_part("encoder.", base, sizes),
        Part("head.", "", names),
    ]
    found, left = to_ours(tensors, parts, str(source))
    if table in left and not torch.equal(tensors[table], found["embeddings.tokens.weight"]):
        found["head.table.weight"] = tensors[table]
    unused = {}
    for name in left:
        if name == table:
            if "head.table.weight" not in found:
                unused[name] = "the token table once more"
            continue
        unused[name] = _reason(name, class_name)
        if not unused[name]:
            raise InputError(f"{source} has a tensor {name} that no ELECTRA has; it cannot be imported without loss")
    _check_computed(tensors, sizes, source)
    network = Network(folder, config, sizes, vocabulary_size, head, found, unused, tensors)
    _check_shapes(network, source)
    return network


def _head_in(tensors: dict[str, Tensor], family: str) -> str:
    """Tell the head by its tensors, where config.json names no class, or one without a head of ours."""
    for (kind, its_family), head in HEADS.items():
        needed = [name for ours, name in head.names.items() if ours != "table.weight"]
        if its_family == family and needed and all(name in tensors for name in needed):
            return kind
    return "none"


def _reason(name: str, class_name: str | None) -> str:
    for ending, reason in COMPUTED.items():
        if name.endswith(ending):
            return reason
    return f"the head of {class_name}" if class_name and name.startswith(OTHER_HEADS) else ""


def _check_computed(tensors: dict[str, Tensor], sizes: EncoderSizes, source: Path) -> None:
    """A table of sines that was changed would be another network."""
    for name, tensor in tensors.items():
        if name.endswith("encoder.embed_positions.weight"):
            expected = sines(sizes)
            if tensor.shape != expected.shape or not torch.allclose(tensor, expected, atol=1e-6):
                raise InputError(f"{source}: {name} is not the table of sines that rotary positions have; it cannot be imported")


def sines(sizes: EncoderSizes, dtype: torch.dtype = torch.float32) -> Tensor:
    """RoFormer's table: sines in the first half, cosines in the second. Shape: (positions, head size).

    Source: transformers modeling_roformer.py::RoFormerSinusoidalPositionalEmbedding.
    """
    head_size = sizes.hidden_size // sizes.num_attention_heads
    cos, sin = rotary_turns(sizes.max_position_embeddings, head_size, torch.device("cpu")).unbind(-1)
    return torch.cat([sin, cos], 1).to(dtype)


def _check_shapes(network: Network, source: Path) -> None:
    s, v, c = network.sizes, network.vocabulary_size, network.sizes.hidden_size
    with torch.device("meta"):
        skeleton = _skeleton(s, v, network)
    for name, tensor in network.tensors.items():
        if tensor.shape != skeleton[name]:
            raise InputError(
                f"{source}: {name} has the shape {tuple(tensor.shape)}, but config.json makes it {tuple(skeleton[name])} "
                f"(V {v}, hidden {c}); the two do not belong together"
            )
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{source}: {name} holds numbers that are not finite; copy it again")


def _skeleton(sizes: EncoderSizes, vocabulary_size: int, network: Network) -> dict[str, torch.Size]:
    modules = {"embeddings": Embeddings(sizes, vocabulary_size, 1), "encoder": Encoder(sizes)}
    if network.head == "replaced_token":
        modules["head"] = ReplacedTokenHead(sizes)
    elif network.head == "masked_lm":
        modules["head"] = MaskedLMHead(sizes, vocabulary_size, untied=True)
    elif network.head in TASK_OF_HEAD:
        own = {name.removeprefix("head."): tensor for name, tensor in network.tensors.items() if name.startswith("head.")}
        modules["head"] = head_of(TASK_OF_HEAD[network.head], own, sizes.hidden_size, 0.0)
    return {f"{part}.{name}": tensor.shape for part, module in modules.items() for name, tensor in module.state_dict().items()}


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """Read model.safetensors, or pytorch_model.bin without running any code in it, as float32; and name the file."""
    path = folder / "model.safetensors"
    if path.is_file():
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
        except (SafetensorError, ValueError, OSError) as error:
            raise InputError(
                f"{path}, {path.stat().st_size:,} bytes: damaged or cut short ({str(error).splitlines()[0]}); copy it again"
            ) from error
    else:
        path = folder / "pytorch_model.bin"
        if not path.is_file():
            raise InputError(f"no model.safetensors or pytorch_model.bin in {folder}; a file of another framework must be converted first")
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # PyTorch raises many kinds
            kind = re.search(r"Unsupported (?:global: GLOBAL|operand|class) (\S+)", str(error))
            reason = f"it holds {kind[1]}, which is code and not only numbers" if kind else "damaged, cut short, or no file of PyTorch"
            raise InputError(f"{path}, {path.stat().st_size:,} bytes: not loaded: {reason}; use its model.safetensors") from error
        if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise InputError(f"{path} holds no table of tensors; use its model.safetensors")
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    # before 2021 LayerNorm's two were called as in TensorFlow
    old = {".gamma": ".weight", ".beta": ".bias"}
    return {next((name.removesuffix(a) + b for a, b in old.items() if name.endswith(a)), name): t for name, t in floats.items()}, path
