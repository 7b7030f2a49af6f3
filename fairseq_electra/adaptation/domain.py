"""A model is adapted to a domain: on its text, with words of its own, and with old text mixed in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import BPE

from fairseq_electra.adaptation import new_merges, new_words
from fairseq_electra.adaptation.continuation import BEFORE, VALID, Continuation, warnings_of
from fairseq_electra.adaptation.extending import extended, sources_of
from fairseq_electra.adaptation.figures import Figures
from fairseq_electra.adaptation.replay import PART_TOKENS, Mixture, encoded_documents
from fairseq_electra.adaptation.resizing import resized_model
from fairseq_electra.adaptation.source import notes_on
from fairseq_electra.adaptation.text import HeldOut, check_apart, check_text
from fairseq_electra.adaptation.training import Recipe
from fairseq_electra.electra.encoder import check_row_length
from fairseq_electra.electra.mask_rate import MaskRate
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_folder
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.pieces import pieces_of
from fairseq_electra.pretraining.prepare import RunningText
from fairseq_electra.pretraining.recipes import MASK_PROB
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, symbols_of
from fairseq_electra.tasks._pretraining_options import (
    MAX_TOKENS_PER_SAMPLE,
    MIN_TOKENS_PER_SAMPLE,
    ElectraPretrainingConfig,
    check_spans,
)

GENERAL = "general"  # name of the held-out text of another kind
UNTRAINED = "with new tokens, untrained"
MAX_UNKNOWN = 0.5  # share of <unk> in the words of a text from which on it is refused
WORDS_SHOWN = 12
# what is chosen: tokens to add to the vocabulary, with the rarity of each; and merges of byte-level BPE
NEW_TOKENS, MERGES = "new_tokens", "merges"


class Adaptation(Continuation):
    """One adaptation of a model to a domain; arguments as those of :class:`Continuation`."""

    command, trained = "run of adapt", "adapted"

    def __init__(self, folder: Path, settings: dict[str, Any], say: Callable[[str], None] = print):
        super().__init__(folder, settings, say)
        self.splits += [GENERAL] * bool(settings["--general-valid"])

    def choose(self) -> dict[str, Any]:
        """Read all input once; returns the tokens to add to the vocabulary."""
        wanted = self.settings["--tokens-per-sample"]
        if wanted is not None:
            if not MIN_TOKENS_PER_SAMPLE <= wanted <= MAX_TOKENS_PER_SAMPLE:
                raise InputError(
                    f"--tokens-per-sample must lie between {MIN_TOKENS_PER_SAMPLE} and"
                    f" {MAX_TOKENS_PER_SAMPLE}, got {wanted}"
                )
            check_row_length(self.source.model.sizes, wanted, "give a smaller --tokens-per-sample")
            self.check_parts_of_rows(wanted)
        for name in ("--replay", "--general-valid"):
            if self.settings[name]:
                check_text(list(self.settings[name]))
        _ = self.text  # errors in it come now, whatever the vocabulary
        trained_on, held_out = (
            [file for name in names for file in self.settings[name]]
            for names in (("TEXT", "--replay"), ("--valid", "--general-valid"))
        )
        check_apart(trained_on, held_out)
        return self.choose_merges() if self.is_byte_level else self.choose_words()

    def check_parts_of_rows(self, tokens: int) -> None:
        """Refuse rows that are too short for the parts or the spans of the earlier training."""
        assert self.source.cfg is not None  # a checkpoint's
        parts, task = self.source.model.sizes.recurrence, self.source.cfg["task"]
        if parts >= tokens:
            raise InputError(
                f"{self.settings['CHECKPOINT']} reads rows in parts of {parts} tokens (--recurrence);"
                f" --tokens-per-sample must be larger, got {tokens}"
            )
        rate = MaskRate.parse(task["mask_prob"], task.get("mask_prob_schedule"))
        check_spans(
            ElectraPretrainingConfig(
                tokens_per_sample=tokens,
                mask_prob=MASK_PROB if rate.is_drawn else rate.validated,
                mask_spans=task.get("mask_spans") or 0.0,
            )
        )

    @property
    def is_byte_level(self) -> bool:
        """Whether the vocabulary is byte-level BPE, which knows all text; else it is WordPiece."""
        return isinstance(self.source.tokenizer.model, BPE)

    def choose_words(self) -> dict[str, Any]:
        """Choose the words to add to WordPiece.

        Raises:
            InputError: the vocabulary does not know the text.
        """
        tokenizer = self.source.tokenizer
        words = self.text.words(tokenizer)
        unknown = new_words.unknown_share(tokenizer, words)
        if unknown >= MAX_UNKNOWN:
            raise InputError(
                f"{unknown:.0%} of the words of the text are <unk> in the vocabulary of"
                f" {self.settings['CHECKPOINT']}: it was made for another script, or for other characters;"
                " adapt a model whose vocabulary knows the text"
            )
        chosen = new_words.choose_words(tokenizer, words, self.settings["--new-tokens"])
        return {NEW_TOKENS: new_words.rarity_of(tokenizer, chosen, words)}

    def choose_merges(self) -> dict[str, Any]:
        """Choose the pieces to add to byte-level BPE, and the merges that make them."""
        if not self.settings["--new-tokens"]:
            return {NEW_TOKENS: {}, MERGES: []}
        tokenizer = self.source.tokenizer
        words = self.text.cut_words(tokenizer)
        merges = new_merges.choose_merges(tokenizer, words, self.settings["--new-tokens"])
        return {NEW_TOKENS: new_merges.rarity_of(merges, words), MERGES: merges}

    def make_start(self, chosen: dict[str, Any]) -> list[str]:
        """Write the model with rows for the new tokens; returns what to say."""
        source, rarity = self.source, chosen[NEW_TOKENS]
        assert source.cfg is not None  # a checkpoint's
        model, tokenizer, tokens = source.model, source.tokenizer, list(rarity)
        if tokens:
            merges = [(first, second) for first, second in chosen.get(MERGES, [])]
            pieces = (
                new_merges.pieces_of_new(merges) if merges else new_words.pieces_of_new(tokenizer, tokens)
            )
            tokenizer = extended(tokenizer, tokens, merges)
            sources = sources_of(source.tokenizer, tokenizer, pieces, rarity)
            model = resized_model(model, source.cfg["model"], sources)  # type: ignore[arg-type]
        self.write_start(source.cfg, model, tokenizer)  # type: ignore[arg-type]
        texts = map(pieces_of(tokenizer).cell, tokens[:WORDS_SHOWN])
        shown = ", ".join(texts) + (", ..." if len(tokens) > WORDS_SHOWN else "")
        added = f"{len(tokens):,} new tokens: {shown}" if tokens else "no new tokens"
        return [f"{self.start}: {len(symbols_of(tokenizer)):,} tokens, {added}", *notes_on(source)]

    def encode(self) -> list[str]:
        """Encode the text, mixed with the old text, and the held-out texts; returns what to say."""
        tokenizer, unknown, of_old = load_wordpiece(self.start), Unknown(), Unknown()
        replay, general = (list(self.settings[name]) for name in ("--replay", "--general-valid"))
        held_out = HeldOut(self.text.lines(VALID), RunningText(general).lines())
        old = held_out.leave_out(RunningText(replay).lines())
        mixture = Mixture(
            encoded_documents(tokenizer, self.text.lines("train"), unknown),
            encoded_documents(tokenizer, old, of_old, longest=PART_TOKENS),
            self.settings["--replay-share"] if self.settings["--replay"] else 0.0,
        )
        warnings = self.write_text(mixture, tokenizer)
        said = [f"{self.data}: {mixture.new_tokens:,} tokens of the domain; {unknown}"]
        if self.settings["--replay"]:
            asked = self.settings["--replay-share"]
            short = f", not the {asked:.0%} asked for: it ends there" if mixture.share < asked else ""
            said.append(
                f"{mixture.old_tokens:,} tokens of the old text between them, {mixture.share:.1%}{short}"
            )
        if held_out.left_out:
            said.append(f"{held_out.left_out:,} lines of the old text are held out, and were left out of it")
        return said + warnings_of({str(self.data): unknown, "the text of --replay": of_old}) + warnings

    def encode_held_out(self, tokenizer: Tokenizer, vocabulary: Path, folder: Path) -> list[str]:
        """See :meth:`Continuation.encode_held_out`."""
        warnings, unknown = super().encode_held_out(tokenizer, vocabulary, folder), Unknown()
        if general := list(self.settings["--general-valid"]):
            lines = RunningText(general).lines()
            encode_to_binary(tokenizer, lines, folder / GENERAL, vocabulary, unknown)
        return warnings + warnings_of({"the text of --general-valid": unknown})

    def figures_before(self) -> dict[str, Figures]:
        """Score the model as it was, and with its new tokens; returns the figures by title."""
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

    @property
    def recipe(self) -> Recipe:
        """How long and how fast to train; rows are as long as they were."""
        settings = self.settings
        tokens = settings["--tokens-per-sample"] or self.cfg["task"]["tokens_per_sample"]
        return Recipe(settings["--updates"], settings["--batch-size"], tokens, settings["--lr"])

    def remarks(self, figures: dict[str, Figures]) -> list[str]:
        """See :meth:`Continuation.remarks`."""
        if UNTRAINED not in figures:
            return []
        return [
            f"the column {BEFORE!r} is of the same text in other tokens, so it compares with the others"
            " roughly"
        ]
