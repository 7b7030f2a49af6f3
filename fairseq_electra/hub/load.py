"""A network with its vocabulary, out of a fairseq checkpoint or on its way into one."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from fairseq_electra.checkpoints import find_checkpoint, read_checkpoint
from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.state import check_dictionary, check_tensors, drawn_in, version_of
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import HEADS_PREFIX, EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.info import TASK_FILE, TUNED_FOR, TaskInfo, task_info, tuned_for
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.pretraining.dictionary import dictionary_digest, read_vocabulary
from fairseq_electra.pretraining.languages import vocabulary_folder
from fairseq_electra.pretraining.wordpiece import (
    TOKENIZER_FILE,
    load_wordpiece,
    symbols_of,
)

Known = tuple[list[str], TaskInfo | None]  # a list of labels, and a task


@dataclass
class Pretrained:
    """A network in evaluation mode, and what it reads with.

    Args:
        model: for pre-training, or an encoder with heads.
        tokenizer: its tokenizer, with the same ids.
        symbols: its vocabulary, in the order of the ids.
        cfg: the run's options by group, as fairseq saves them, if there was a run.
        updates: of the run.
        task: what an encoder was fine-tuned for, where known.
        labels: of each head, in the order of its scores, where known.
        initialised: tensors that were not found, in the folder of transformers that the model comes from, and
            are random.
        cut_to: of a folder of transformers, tokens that its tokenizer cuts text to.
        settings: of a folder of transformers, options of the fine-tuning that :data:`names.SETTINGS` keeps
            there.
        threshold: above it a question has no answer, as the validation of these weights has chosen it, if
            there was one.
    """

    model: Generator | Discriminator | EncoderWithHeads
    tokenizer: Tokenizer
    symbols: list[str]
    cfg: dict[str, Any] | None = None
    updates: int = 0
    task: TaskInfo | None = None
    labels: dict[str, list[str]] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)
    cut_to: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    threshold: float | None = None

    @property
    def max_length(self) -> int:
        """Tokens of the longest row in training, if known; at most the number of learned positions."""
        known = [self.cut_to, self.task.max_positions if self.task is not None else None]
        if self.cfg is not None:
            of_pretraining = not isinstance(self.model, EncoderWithHeads)
            known.append(self.options.get("tokens_per_sample" if of_pretraining else "max_positions"))
        sizes = self.model.sizes
        limits = [int(length) for length in known if length]
        if not limits or sizes.positions == "learned":
            limits.append(sizes.max_position_embeddings)
        return min(limits)

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the task that the model was trained on, as far as they are known."""
        return self.settings if self.cfg is None else self.cfg["task"]

    @property
    def kind(self) -> str:
        """Kind of task that the heads are for: a name in :data:`fairseq_electra.finetuning.kinds.KINDS`."""
        if self.cfg is not None:
            name = self.cfg["task"].get("_name")
            return name if name in KINDS else PREDICTION
        return self.task.kind if self.task is not None else PREDICTION


def load_checkpoint(path: str | Path, vocabulary: str | Path | None = None) -> Pretrained:
    """Load what fairseq-train saved; neither fairseq nor the data that it was trained on is needed.

    Args:
        path: a checkpoint, or a folder of them (:func:`fairseq_electra.checkpoints.find_checkpoint`).
        vocabulary: folder with ``dict.txt`` and ``tokenizer.json``; by default the checkpoint's, or that of
            its data.

    Raises:
        InputError: it is no checkpoint of ours, or the vocabulary is missing or another one.
    """
    path = find_checkpoint(path)
    state = read_checkpoint(path)
    options: dict[str, Any] = state["cfg"]
    saved = options.get("model") or {}
    name = saved.get("_name") or saved.get("arch")
    # an arch names the model in old checkpoints, the model itself in new ones
    if name is None or not name.startswith("electra"):
        raise InputError(
            f"{path} is a checkpoint of {name}, not of ELECTRA; give one that --arch electra_* or"
            " electra_encoder has saved"
        )
    # of a task without a dataclass, sentence_ranking: all options of the run
    if isinstance(options["task"], argparse.Namespace):
        options["task"] = {**vars(options["task"]), "_name": options["task"].task}
    task = options["task"]
    data = vocabulary_folder(str(task.get("data", "")), task.get("languages"))
    folders = [Path(vocabulary)] if vocabulary else [path.parent, data, data / "input0"]
    found = next((folder for folder in folders if (folder / TOKENIZER_FILE).is_file()), None)
    if found is None:
        raise InputError(
            f"no {TOKENIZER_FILE} in {' or '.join(map(str, folders))}; name the vocabulary's folder:"
            " --vocab DIR"
        )
    tokenizer = load_wordpiece(found)
    symbols = symbols_of(tokenizer)
    if symbols != read_vocabulary(found):
        raise InputError(
            f"{found}: {TOKENIZER_FILE} and dict.txt have different ids; make both with fairseq-electra vocab"
        )

    tensors: dict[str, Tensor] = state["model"]
    check_dictionary(tensors, version_of(dictionary_digest(symbols)))
    del tensors["dictionary_version"]
    labels: dict[str, list[str]] = {}
    extra = state.get("extra_state") or {}
    known: list[Known] = []
    model: Generator | Discriminator | EncoderWithHeads
    if name == "electra_encoder":
        model = EncoderWithHeads(**encoder_arguments({**saved, "autocast": "none"}, len(symbols)))
        known = _tuned_for(path, data, extra)
        kind = KINDS.get(str(task.get("_name")), KINDS[PREDICTION])
        tensors_of_heads = {
            key.removeprefix(HEADS_PREFIX): tensor
            for key, tensor in tensors.items()
            if key.startswith(HEADS_PREFIX)
        }
        for head in dict.fromkeys(key.split(".")[0] for key in tensors_of_heads):
            head_tensors = {
                key.removeprefix(f"{head}."): tensor
                for key, tensor in tensors_of_heads.items()
                if key.startswith(f"{head}.")
            }
            model.register_head(
                head, kind.head_for(head_tensors, model.sizes.hidden_size, model.head_dropout, model.pooling)
            )
            labels[head] = read_labels(known, kind.number_of_labels(head_tensors))
    else:
        model = build(saved, len(symbols))
    check_tensors(tensors, model.state_dict())
    model.load_state_dict(tensors)
    history = state.get("optimizer_history") or [{}]
    infos = [task for _, task in known if labels and task]
    updates = int(history[-1].get("num_updates", 0))
    initialised = drawn_in(state)  # which training takes away
    threshold = (state.get("task_state") or {}).get("threshold")
    info = infos[0] if infos else None
    return Pretrained(
        model.eval(), tokenizer, symbols, options, updates, info, labels, initialised, threshold=threshold
    )


def read_labels(known: list[Known], number: int) -> list[str]:
    """Return a head's labels: the first list of labels, or else of a task, that has as many as the head.

    LABEL_0, LABEL_1, ... where none fits.
    """
    if not number:
        return []
    for listed, task in known:
        for labels in (listed, task.labels if task else ()):
            if len(labels) == number:
                return list(labels)
    return [f"LABEL_{i}" for i in range(number)]


def _tuned_for(path: Path, data: Path, extra: dict[str, Any]) -> list[Known]:
    """Return the labels and the task that a checkpoint holds.

    Of older and of imported checkpoints, which do not, those of its folder, and of its data's.
    """
    sources = (
        {path: extra[TUNED_FOR]}
        if TUNED_FOR in extra
        else {folder / TASK_FILE: tuned_for(folder) for folder in (path.parent, data)}
    )
    return [
        (each["labels"], task_info(each["task"], source) if each["task"] else None)
        for source, each in sources.items()
    ]
