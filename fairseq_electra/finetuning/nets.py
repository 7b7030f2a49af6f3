"""The models to fine-tune, as ``--net`` names them, and where they come from."""

from dataclasses import dataclass

from fairseq_electra.checkpoints import find_checkpoint, sha256_of
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import is_plain_name


@dataclass(frozen=True)
class Net:
    """A model to fine-tune: where it comes from.

    Args:
        name: name in the table of results.
        checkpoint: path of the checkpoint to start from; empty: from scratch.
        size: name of its size in the size table.
        network: the checkpoint's discriminator, or its generator.
        has_head: the checkpoint was fine-tuned before.
        sha256: of the checkpoint; empty without one.
        dictionary: digest of its vocabulary; empty without one.
    """

    name: str
    checkpoint: str
    size: str
    network: str = "discriminator"
    has_head: bool = False
    sha256: str = ""
    dictionary: bytes = b""

    @property
    def options(self) -> list[str]:
        """Arguments of ``fairseq-train``, but for the checkpoint."""
        if not self.checkpoint:
            return ["--model-size", self.size]
        return ["--network", self.network] if self.network != "discriminator" else []

    @property
    def description(self) -> dict[str, str]:
        """What results say of it."""
        network = self.network if self.checkpoint else "none: from scratch"
        return {"name": self.name, "size": self.size, "network": network, "sha256": self.sha256}


def read_net(text: str) -> Net:
    """Read ``NAME=CHECKPOINT``, ``NAME=generator:CHECKPOINT`` or ``NAME=scratch:SIZE``.

    A checkpoint may be a folder of checkpoints.

    Raises:
        InputError: it is none of these, or the checkpoint is not there or not ours.
    """
    from fairseq import checkpoint_utils

    from fairseq_electra.electra.size_table import MODEL_SIZES
    from fairseq_electra.finetuning.encoder import HEADS_PREFIX

    name, _, source = text.partition("=")
    kind, _, rest = source.partition(":")
    if not name or not source or not is_plain_name(name):
        raise InputError(
            f"--net {text}: give NAME=CHECKPOINT, NAME=generator:CHECKPOINT or NAME=scratch:SIZE"
        )
    if kind == "scratch":
        if rest not in MODEL_SIZES:
            raise InputError(f"--net {text}: no size {rest!r}; choose from {', '.join(MODEL_SIZES)}")
        return Net(name, "", rest)
    checkpoint = str(find_checkpoint(rest if kind == "generator" else source))
    state = checkpoint_utils.load_checkpoint_to_cpu(checkpoint)
    saved = state.get("cfg")
    size = saved.model.get("model_size") if saved is not None and "model" in saved else None
    if size is None:
        raise InputError(
            f"--net {text}: {checkpoint} holds no ELECTRA; give a checkpoint that --arch electra_* or"
            " electra_encoder has saved"
        )
    network = "generator" if kind == "generator" else "discriminator"
    has_head = any(key.startswith(HEADS_PREFIX) for key in state["model"])
    if has_head and network == "generator":
        raise InputError(
            f"--net {text}: {checkpoint} was fine-tuned and holds one network; give --net {name}={checkpoint}"
        )
    if not has_head and not any(key.startswith(f"{network}.") for key in state["model"]):
        advice = (
            f"give --net {name}=generator:{checkpoint}"
            if network == "discriminator"
            else f"give --net {name}={checkpoint}"
        )
        raise InputError(f"--net {text}: {checkpoint} holds no {network}; {advice}")
    dictionary = (
        bytes(state["model"]["dictionary_version"].tolist())
        if "dictionary_version" in state["model"]
        else b""
    )
    return Net(name, checkpoint, str(size), network, has_head, sha256_of(checkpoint), dictionary)
