"""The steps of a further pre-training in their order. Each is recorded once it is done."""

import contextlib
import functools
import json
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from tokenizers import Tokenizer

from fairseq_electra.adaptation.figures import Figures, table, validate
from fairseq_electra.adaptation.replay import Document
from fairseq_electra.adaptation.source import load_source
from fairseq_electra.adaptation.text import DomainText
from fairseq_electra.adaptation.training import Recipe, train, training_arguments
from fairseq_electra.checkpoints import read_checkpoint
from fairseq_electra.electra.configuration import encoder_sizes
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_folder, atomic_write
from fairseq_electra.finetuning.results import RESULTS_FILE
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.interchange.checkpoint import state_of
from fairseq_electra.originals import value_of
from fairseq_electra.pretraining.encode import encode_to_binary, write_binarized
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import EOS_ID, save_vocabulary, symbols_of
from fairseq_electra.resuming import LAST_CHECKPOINT
from fairseq_electra.speedrun.machine import this_machine
from fairseq_electra.speedrun.state import State, holds_speedrun
from fairseq_electra.speedrun.text import UNIT_CHARACTERS
from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig, check_packing

VALID = "valid"  # name of the held-out text
BEFORE, AFTER = "before", "after"  # titles of models in the table


class Continuation(ABC):
    """A model goes on with its pre-training: on other text, or on longer rows.

    Args:
        folder: folder for all output.
        settings: all settings that influence the results, by the names of the command's options.
        say: receives each line of progress.

    Attributes:
        command: what ``state.json`` is of, for messages.
        trained: what the model is afterwards, for messages.
    """

    command: str
    trained: str

    def __init__(self, folder: Path, settings: dict[str, Any], say: Callable[[str], None] = print):
        self.folder, self.settings, self.say = folder, settings, say
        self.start, self.data, self.log = folder / "start", folder / "data-bin", folder / "training.log"
        self.save_dir, self.machine = folder / "checkpoints", this_machine()
        self.splits = [VALID]

    @abstractmethod
    def choose(self) -> dict[str, Any]:
        """Read all input once; returns what follows from it, as plain data for the next steps.

        Raises:
            InputError: the model or the text cannot be used.
        """

    @abstractmethod
    def make_start(self, chosen: dict[str, Any]) -> list[str]:
        """Write the model to start from and its vocabulary, by :meth:`write_start`; returns what to say.

        Args:
            chosen: what :meth:`choose` returned.
        """

    @abstractmethod
    def encode(self) -> list[str]:
        """Encode the text into ``data``, by :meth:`write_text`; returns what to say."""

    @abstractmethod
    def figures_before(self) -> dict[str, Figures]:
        """Score the model before the training; returns the figures by title."""

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """How long and how fast to train."""

    def remarks(self, figures: dict[str, Figures]) -> list[str]:
        """Return what is to be known about the table."""
        return []

    @functools.cached_property
    def source(self) -> Pretrained:
        """The model that goes on."""
        return load_source(self.settings["CHECKPOINT"], self.settings["--vocab"])

    @functools.cached_property
    def text(self) -> DomainText:
        """The new text."""
        return DomainText(list(self.settings["TEXT"]), list(self.settings["--valid"]), self.unit_characters)

    @property
    def unit_characters(self) -> int:
        """Characters of the parts in which long documents are held out."""
        return UNIT_CHARACTERS

    def run(self, only_print: bool = False) -> str:
        """Run the steps that are not done yet.

        Args:
            only_print: leave the training to the user.

        Returns:
            the table of figures, or the command line of the training.

        Raises:
            InputError: the model, the text or the folder cannot be used. Nothing is left behind if this is
                seen before the training.
        """
        found = None
        if not holds_speedrun(self.folder, self.command):  # errors in the input come before a folder is made
            found = self.choose()
        with contextlib.closing(State(self.folder, self.settings, self.command)) as state:
            return self.run_steps(state, found, only_print)

    def run_steps(self, state: State, found: dict[str, Any] | None, only_print: bool) -> str:
        """Run the steps that are not done yet; ``found`` is what was chosen, if this start chose it."""
        self.say("1/4 vocabulary and model")
        chosen = state.stage("chosen", lambda: self.choose() if found is None else found)
        for line in state.stage("start", lambda: self.make_start(chosen)):
            self.say(f"    {line}")
        self.say("2/4 text")
        for line in state.stage("data", self.encode):
            self.say(f"    {line}")
        self.say("3/4 figures before")
        before = state.stage("before", self.figures_before)
        arguments = self.training_arguments()
        line = shlex.join(["fairseq-electra", "train", *arguments])
        if only_print:
            return line
        self.say(f"4/4 training; the same as: {line}")
        state.stage("training", lambda: self.train(arguments))
        after = state.stage("after", lambda: self.validate(self.save_dir / LAST_CHECKPOINT, self.data))
        figures = {**before, AFTER: after}
        with atomic_write(self.folder / RESULTS_FILE) as stream:
            stream.write(json.dumps({**chosen, "figures": figures}, indent=2) + "\n")
        lines = [table(figures), "", f"{self.save_dir / LAST_CHECKPOINT} is the {self.trained} model"]
        return "\n".join([*lines, *self.remarks(figures)])

    def write_start(
        self, cfg: dict[str, Any], model: Generator | Discriminator, tokenizer: Tokenizer
    ) -> None:
        """Write the checkpoint to start from and its vocabulary into ``start``.

        Args:
            cfg: options of the model by group, as fairseq saves them.
            model: the model.
            tokenizer: its vocabulary.
        """
        shutil.rmtree(self.start, ignore_errors=True)  # of a run that was killed before it was recorded
        with atomic_folder(self.start) as folder:
            save_vocabulary(tokenizer, folder)
            source, symbols = self.source, symbols_of(tokenizer)
            state = state_of(cfg, model, symbols, source.initialised, source.updates)
            checkpoint_utils.torch_persistent_save(state, str(folder / "checkpoint.pt"))

    def write_text(self, documents: Iterable[Document], tokenizer: Tokenizer) -> list[str]:
        """Write the documents to train on and the held-out texts into ``data``; returns what to warn of."""
        shutil.rmtree(self.data, ignore_errors=True)
        with atomic_folder(self.data) as folder:
            batches = ([*document, []] for document in documents)  # a blank line ends a document
            write_binarized(folder / "train", batches, tokenizer.get_vocab_size(), EOS_ID)
            return self.encode_held_out(tokenizer, self.start, folder)

    def encode_held_out(self, tokenizer: Tokenizer, vocabulary: Path, folder: Path) -> list[str]:
        """Encode the held-out texts into a folder.

        Args:
            tokenizer: the vocabulary.
            vocabulary: its folder.
            folder: the folder to write to.

        Returns:
            warnings of text that the vocabulary does not know.
        """
        unknown = Unknown()
        encode_to_binary(tokenizer, self.text.lines(VALID), folder / VALID, vocabulary, unknown)
        return warnings_of({"the held-out text": unknown})

    def validate(self, checkpoint: Path, data: Path) -> Figures:
        """Score a checkpoint on the held-out texts in a folder."""
        rows, tokens, log = self.recipe.rows, self.recipe.tokens, self.folder / "validation.log"
        return validate(checkpoint, data, self.splits, rows, tokens, self.machine, log)

    @functools.cached_property
    def cfg(self) -> dict[str, Any]:
        """Options of the earlier training, as the checkpoint to start from has them."""
        return read_checkpoint(self.start / "checkpoint.pt")["cfg"]

    def training_arguments(self) -> list[str]:
        """Return the arguments of ``fairseq-train``; rows that were packed are not, where this cannot be."""
        start = self.start / "checkpoint.pt"
        arguments = training_arguments(
            self.data, start, self.save_dir, self.splits, self.recipe, self.cfg, self.machine
        )
        return [each for each in arguments if each != "--pack" or self.can_pack()]

    def can_pack(self) -> bool:
        """Tell whether the model and the machine can train on packed rows of this length."""
        sizes, on_gpu = encoder_sizes(self.cfg["model"]), self.machine.kind != "cpu"
        autocast = value_of("--autocast", self.machine.pretraining_options) or "none"
        cfg = ElectraPretrainingConfig(tokens_per_sample=self.recipe.tokens, autocast=autocast)  # type: ignore[arg-type]
        try:
            check_packing(
                cfg, "--compile" in self.machine.pretraining_options, sizes.attention_dropout, on_gpu
            )
        except InputError:
            return False
        return not sizes.recurrence

    def train(self, arguments: list[str]) -> None:
        """Train to the end, resuming from the last checkpoint if there is one."""
        train(arguments, self.log, self.splits, self.say)
        # the loss of ELECTRA rises as the generator improves, so the lowest is not the best
        for path in [*self.save_dir.glob("checkpoint_*_*.pt"), self.save_dir / "checkpoint_best.pt"]:
            path.unlink(missing_ok=True)


def warnings_of(unknown: Mapping[str, Unknown]) -> list[str]:
    """Return a warning for each text, by its name, of which the vocabulary does not know much."""
    return [warning for name, each in unknown.items() if (warning := each.warning(name))]
