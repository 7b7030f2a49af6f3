"""What is asked of a fine-tuned model: which file it reads, of which form, and how answers are written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """What to predict on, and how.

    Args:
        path: of the file to read; ``-`` for standard input.
        is_gold: the file is labelled, and the answers are scored.
        text: columns of JSON lines, CSV or TSV with the texts; empty: those of the training.
        label: column with the label; empty: that of the training.
        header: names of the columns, where a TSV does not begin with them.
        quoted: cells of a TSV may stand in quotes.
        scheme: how the file writes its tags; empty: as that of the training.
        words: the file is a word a line, and each word gets its tag.
        output: file for the answers; None: standard output.
        threshold: above it a question gets no answer; None: not given.
        n_best: how many answers to a question are listed.
        logits: the scores are among the answers.
    """

    path: str = "-"
    is_gold: bool = False
    text: tuple[str, ...] = ()
    label: str = ""
    header: tuple[str, ...] | None = None
    quoted: bool = False
    scheme: str = ""
    words: bool = False
    output: str | None = None
    threshold: float | None = None
    n_best: int = 0
    logits: bool = False
