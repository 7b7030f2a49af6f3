"""A model learns to read longer rows: with another base of its rotary angles, on rows of two lengths."""

from pathlib import Path
from typing import Any

from fairseq_electra.adaptation.continuation import BEFORE, VALID, Continuation, warnings_of
from fairseq_electra.adaptation.figures import Figures, validate
from fairseq_electra.adaptation.long_rows import ROWS_OF_A_STRETCH, TwoLengths, longer_base
from fairseq_electra.adaptation.replay import encoded_documents, tokens_of
from fairseq_electra.adaptation.source import notes_on
from fairseq_electra.adaptation.training import Recipe
from fairseq_electra.electra.configuration import build, encoder_sizes
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.unknown import Unknown
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from fairseq_electra.tasks._pretraining_options import MAX_TOKENS_PER_SAMPLE

UNTRAINED = "with the new base, untrained"
CHARACTERS_OF_A_TOKEN = 12  # at most, on average: twice what English has
BASE, LENGTH_BEFORE = "rotary_base", "tokens_before"  # what is chosen


class Lengthening(Continuation):
    """A model goes on with longer rows; arguments as those of :class:`Continuation`.

    All figures are given for rows of each length, from that of the earlier training on, twice as long each
    time.
    """

    command, trained = "run of lengthen", "lengthened"

    @property
    def length(self) -> int:
        """Tokens of the longest row from now on."""
        return self.settings["--length"]

    @property
    def unit_characters(self) -> int:
        """See :meth:`Continuation.unit_characters`; parts that are held out fill a long row, too."""
        return max(super().unit_characters, CHARACTERS_OF_A_TOKEN * self.length)

    def choose(self) -> dict[str, Any]:
        """Read all input once; returns the new base and the length of rows so far."""
        source, name = self.source, self.settings["CHECKPOINT"]
        assert source.cfg is not None  # a checkpoint's
        sizes, before = encoder_sizes(source.cfg["model"]), int(source.cfg["task"]["tokens_per_sample"])
        if sizes.positions != "rotary":
            raise InputError(
                f"{name} has learned positions, a table of {sizes.max_position_embeddings} rows, which cannot"
                " be lengthened; give a model with --positions rotary"
            )
        if not before < self.length <= MAX_TOKENS_PER_SAMPLE:
            raise InputError(
                f"--length must lie above the {before} tokens of the rows that {name} was trained on, up to"
                f" {MAX_TOKENS_PER_SAMPLE}, got {self.length}"
            )
        for split, title in (("train", "text"), (VALID, "held-out text")):
            self.check_documents(split, title)
        base = self.settings["--rotary-base"]
        if base is None:
            base = sizes.rotary_base
            if not sizes.recurrence:  # with it, tokens see no further in longer rows
                head_size = sizes.hidden_size // sizes.num_attention_heads
                base = round(longer_base(base, before, self.length, head_size))
        return {BASE: float(base), LENGTH_BEFORE: before}

    def check_documents(self, split: str, title: str) -> None:
        """Refuse text that has no long document; ``title`` names it."""
        longest = 0
        for document in encoded_documents(self.source.tokenizer, self.text.lines(split)):
            longest = max(longest, tokens_of(document))
            if longest >= self.length:
                return
        raise InputError(
            f"the longest document of the {title} has {longest:,} tokens, which fill no row of {self.length};"
            " give text with longer documents (--valid FILE for the held-out one), or a smaller --length"
        )

    def make_start(self, chosen: dict[str, Any]) -> list[str]:
        """Write the model with the new base; returns what to say."""
        source = self.source
        assert source.cfg is not None
        before = encoder_sizes(source.cfg["model"]).rotary_base
        options = {**source.cfg["model"], BASE: chosen[BASE]}
        model = build(options, len(source.symbols))
        model.load_state_dict(source.model.state_dict())
        self.write_start({**source.cfg, "model": options}, model, source.tokenizer)
        base = f"{self.start}: rotary base {chosen[BASE]:g}, {before:g} before"
        return [base, *notes_on(source)]

    def encode(self) -> list[str]:
        """Encode the text in documents of two lengths, and the held-out text; returns what to say."""
        tokenizer, unknown = load_wordpiece(self.start), Unknown()
        stretches = encoded_documents(
            tokenizer, self.text.lines("train"), unknown, longest=ROWS_OF_A_STRETCH * self.length
        )
        short = self.cfg["task"]["tokens_per_sample"]
        asked = self.settings["--short-share"]
        text = TwoLengths(stretches, short, self.length, asked)
        warnings = self.write_text(text, tokenizer)
        found = text.short_tokens / text.tokens
        few = f", not {asked:.0%}: the text has few documents" if found < 0.8 * asked else ""
        said = (
            f"{self.data}: {text.tokens:,} tokens, {text.long_tokens / text.tokens:.0%} of them in documents"
            f" of {self.length:,} or more, {found:.0%} in parts of about {short}{few}; {unknown}"
        )
        return [said, *warnings_of({str(self.data): unknown}), *warnings]

    def lengths(self) -> list[int]:
        """Return the lengths of rows that the model is scored on."""
        lengths = [self.cfg["task"]["tokens_per_sample"]]
        while 2 * lengths[-1] < self.length:
            lengths.append(2 * lengths[-1])
        return [*lengths, self.length]

    def figures_before(self) -> dict[str, Figures]:
        """Score the model as it was, and with the new base; returns the figures by title."""
        source = Path(self.settings["CHECKPOINT"])
        return {
            BEFORE: self.validate(source, self.data),
            UNTRAINED: self.validate(self.start / "checkpoint.pt", self.data),
        }

    def validate(self, checkpoint: Path, data: Path) -> Figures:
        """Score a checkpoint on the held-out text in rows of each length."""
        figures: Figures = {}
        for length in self.lengths():
            rows = self.recipe.rows * self.length // length
            log = self.folder / "validation.log"
            (found,) = validate(checkpoint, data, [VALID], rows, length, self.machine, log).values()
            figures[f"rows of {length:,}"] = found
        return figures

    @property
    def recipe(self) -> Recipe:
        """How long and how fast to train."""
        settings = self.settings
        return Recipe(settings["--updates"], settings["--batch-size"], self.length, settings["--lr"])

    def training_arguments(self) -> list[str]:
        """Return the arguments of ``fairseq-train``; short parts share rows where attention allows it.

        Rows end with their documents, also if the earlier ones did not: else short parts would be joined to
        long rows.
        """
        dropped = ("--across-documents", "--pack")
        arguments = [each for each in super().training_arguments() if each not in dropped]
        return arguments + ["--pack"] * self.can_pack()
