"""The steps of an adaptation in their order. Each is recorded once it is done."""

import functools
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from fairseq_electra.adaptation.figures import Figures, table, validate
from fairseq_electra.adaptation.new_words import choose_words, extended, rarity_of, sources_of, unknown_share
from fairseq_electra.adaptation.replay import PART_TOKENS, Mixture, encoded_documents
from fairseq_electra.adaptation.resizing import resized_model
from fairseq_electra.adaptation.source import load_source, notes_on
from fairseq_electra.adaptation.text import DomainText, check_text
from fairseq_electra.adaptation.training import Recipe, train, training_arguments
from fairseq_electra.checkpoints import read_checkpoint
from fairseq_electra.electra.encoder import check_row_length
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_folder, atomic_write
from fairseq_electra.finetuning.results import RESULTS_FILE
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.interchange.checkpoint import state_of
from fairseq_electra.pretraining.encode import encode_to_binary, write_binarized
from fairseq_electra.pretraining.prepare import RunningText
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import EOS_ID, load_wordpiece, save_vocabulary, symbols_of
from fairseq_electra.resuming import LAST_CHECKPOINT
from fairseq_electra.speedrun.machine import this_machine
from fairseq_electra.speedrun.state import State, holds_speedrun

DOMAIN, GENERAL = "valid", "general"  # names of the held-out texts
BEFORE, UNTRAINED, AFTER = "before", "with new tokens, untrained", "after"
MAX_UNKNOWN = 0.5  # share of <unk> in the words of a text from which on it is refused
WORDS_SHOWN = 12
COMMAND = "run of adapt"


class Adaptation:
    """One adaptation of a model to a domain.

    Args:
        folder: folder for all output.
        settings: all settings that influence the results, by the names of the command's options.
        say: receives each line of progress.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], say: Callable[[str], None] = print):
        self.folder, self.settings, self.say = folder, settings, say
        self.start, self.data, self.log = folder / "start", folder / "data-bin", folder / "training.log"
        self.save_dir, self.machine = folder / "checkpoints", this_machine()
        self.splits = [DOMAIN] + [GENERAL] * bool(settings["--general-valid"])

    @functools.cached_property
    def source(self) -> Pretrained:
        """The model to adapt."""
        return load_source(
            self.settings["CHECKPOINT"], self.settings["--vocab"], self.settings["--new-tokens"] > 0
        )

    @functools.cached_property
    def text(self) -> DomainText:
        """The text of the domain."""
        return DomainText(list(self.settings["TEXT"]), list(self.settings["--valid"]))

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
        rarity = None
        if not holds_speedrun(self.folder, COMMAND):  # errors in the input come before a folder is made
            rarity = self.check_input()
        state = State(self.folder, self.settings, COMMAND)
        self.say("1/4 vocabulary and model")
        rarity = state.stage("words", lambda: self.choose_words() if rarity is None else rarity)
        for line in state.stage("start", lambda: self.make_start(rarity)):
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
            stream.write(json.dumps({"new_tokens": list(rarity), "figures": figures}, indent=2) + "\n")
        return self.report(figures)

    def check_input(self) -> dict[str, float]:
        """Read all input once; returns the words to add to the vocabulary, with their rarity."""
        wanted = self.settings["--tokens-per-sample"]
        if wanted is not None:
            check_row_length(self.source.model.sizes, wanted, "give a smaller --tokens-per-sample")
        for name in ("--replay", "--general-valid"):
            if self.settings[name]:
                check_text(list(self.settings[name]))
        return self.choose_words()

    def choose_words(self) -> dict[str, float]:
        """Choose the words to add to the vocabulary; returns the rarity of each.

        Raises:
            InputError: the vocabulary does not know the text.
        """
        tokenizer = self.source.tokenizer
        if not isinstance(tokenizer.model, WordPiece):  # byte-level BPE, which knows all text
            return {}
        words = self.text.words(tokenizer)
        unknown = unknown_share(tokenizer, words)
        if unknown >= MAX_UNKNOWN:
            raise InputError(
                f"{unknown:.0%} of the words of the text are <unk> in the vocabulary of"
                f" {self.settings['CHECKPOINT']}: it was made for another script, or for other characters;"
                " adapt a model whose vocabulary knows the text"
            )
        return rarity_of(tokenizer, choose_words(tokenizer, words, self.settings["--new-tokens"]), words)

    def make_start(self, rarity: dict[str, float]) -> list[str]:
        """Write the checkpoint to start from and its vocabulary; returns what to say.

        Args:
            rarity: the words to add, and the rarity of each.
        """
        source, words = self.source, list(rarity)
        assert source.cfg is not None  # a checkpoint's
        model, tokenizer = source.model, source.tokenizer
        if words:
            tokenizer = extended(source.tokenizer, words)
            sources = sources_of(source.tokenizer, tokenizer, rarity)
            model = resized_model(model, source.cfg["model"], sources)  # type: ignore[arg-type]
        shutil.rmtree(self.start, ignore_errors=True)  # of a run that was killed before it was recorded
        with atomic_folder(self.start) as folder:
            save_vocabulary(tokenizer, folder)
            symbols = symbols_of(tokenizer)
            state = state_of(source.cfg, model, symbols, source.initialised, source.updates)
            checkpoint_utils.torch_persistent_save(state, str(folder / "checkpoint.pt"))
        shown = ", ".join(words[:WORDS_SHOWN]) + (", ..." if len(words) > WORDS_SHOWN else "")
        added = f"{len(words):,} new tokens: {shown}" if words else "no new tokens"
        return [f"{self.start}: {len(symbols_of(tokenizer)):,} tokens, {added}", *notes_on(source)]

    def encode(self) -> list[str]:
        """Encode the text, mixed with the old text, and the held-out texts; returns what to say."""
        tokenizer, unknown = load_wordpiece(self.start), Unknown()
        old = RunningText(list(self.settings["--replay"])).lines()
        mixture = Mixture(
            encoded_documents(tokenizer, self.text.lines("train"), unknown),
            encoded_documents(tokenizer, old, longest=PART_TOKENS),
            self.settings["--replay-share"] if self.settings["--replay"] else 0.0,
        )
        shutil.rmtree(self.data, ignore_errors=True)
        with atomic_folder(self.data) as folder:
            batches = ([*document, []] for document in mixture)  # a blank line ends a document
            write_binarized(folder / "train", batches, tokenizer.get_vocab_size(), EOS_ID)
            self.encode_held_out(tokenizer, self.start, folder)
        said = [f"{self.data}: {mixture.new_tokens:,} tokens of the domain; {unknown}"]
        if self.settings["--replay"]:
            asked = self.settings["--replay-share"]
            short = f", not the {asked:.0%} asked for: it ends there" if mixture.share < asked else ""
            said.append(
                f"{mixture.old_tokens:,} tokens of the old text between them, {mixture.share:.1%}{short}"
            )
        warning = unknown.warning(str(self.data))
        return said + [warning] * bool(warning)

    def encode_held_out(self, tokenizer: Tokenizer, vocabulary: Path, folder: Path) -> None:
        """Encode the held-out texts into a folder; ``vocabulary`` is the folder of the tokenizer."""
        encode_to_binary(tokenizer, self.text.lines(DOMAIN), folder / DOMAIN, vocabulary)
        if general := list(self.settings["--general-valid"]):
            encode_to_binary(tokenizer, RunningText(general).lines(), folder / GENERAL, vocabulary)

    def figures_before(self) -> dict[str, Figures]:
        """Validate the model as it was, and with its new tokens; returns the figures by title."""
        start = self.start / "checkpoint.pt"
        source_vocabulary = self.source.tokenizer
        if symbols_of(source_vocabulary) == symbols_of(load_wordpiece(self.start)):
            return {BEFORE: self.validate(start, self.data)}
        data = self.folder / "before-bin"
        shutil.rmtree(data, ignore_errors=True)
        with atomic_folder(data) as folder:
            save_vocabulary(source_vocabulary, folder)
            self.encode_held_out(source_vocabulary, folder, folder)
        source = Path(self.settings["CHECKPOINT"])
        return {BEFORE: self.validate(source, data), UNTRAINED: self.validate(start, self.data)}

    def validate(self, checkpoint: Path, data: Path) -> Figures:
        """Validate a checkpoint on the held-out texts in a folder."""
        rows, tokens = self.settings["--batch-size"], self.recipe.tokens
        log = self.folder / "validation.log"
        return validate(checkpoint, data, self.splits, rows, tokens, self.machine, log)

    @functools.cached_property
    def cfg(self) -> dict[str, Any]:
        """Options of the earlier training, as the checkpoint to start from has them."""
        return read_checkpoint(self.start / "checkpoint.pt")["cfg"]

    @functools.cached_property
    def recipe(self) -> Recipe:
        """How long and how fast to train; rows are as long as they were."""
        settings = self.settings
        tokens = settings["--tokens-per-sample"] or self.cfg["task"]["tokens_per_sample"]
        return Recipe(settings["--updates"], settings["--batch-size"], tokens, settings["--lr"])

    def training_arguments(self) -> list[str]:
        """Return the arguments of ``fairseq-train``."""
        start = self.start / "checkpoint.pt"
        return training_arguments(
            self.data, start, self.save_dir, self.splits, self.recipe, self.cfg, self.machine
        )

    def train(self, arguments: list[str]) -> None:
        """Train to the end, resuming from the last checkpoint if there is one."""
        train(arguments, self.log, self.splits, self.say)
        # the loss of ELECTRA rises as the generator improves, so the lowest is not the best
        for path in [*self.save_dir.glob("checkpoint_*_*.pt"), self.save_dir / "checkpoint_best.pt"]:
            path.unlink(missing_ok=True)

    def report(self, figures: dict[str, Figures]) -> str:
        """Return the table, and what is to be known about it."""
        lines = [table(figures), "", f"{self.save_dir / LAST_CHECKPOINT} is the adapted model"]
        if UNTRAINED in figures:
            lines.append(
                f"the column {BEFORE!r} is of the same text in other tokens, so it compares with the others"
                " roughly"
            )
        return "\n".join(lines)
