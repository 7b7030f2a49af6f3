"""Batches of questions and windows of their contexts."""

import itertools

import numpy as np
import torch

from fairseq_electra.finetuning.questions.folder import NUM_SPECIAL, Questions, WindowColumn
from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.finetuning.windows import best_window
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, PAD_ID


class QuestionRows(TaskRows):
    """Rows ``<s> question </s> window </s>``.

    Args:
        questions: the questions and their windows.
    """

    def __init__(self, questions: Questions):
        super().__init__(questions.sizes())
        self.questions = questions
        self._most_context = most_context(questions.windows)

    def collater(self, samples: list[int]) -> dict:
        """Make a batch.

        Returns:
            ``id`` (B,), ``split``, ``ntokens``, ``net_input`` with ``src_tokens`` (B, T); ``allowed`` (B, T),
            where an answer may begin or end, and ``<s>``; ``begins`` (B, T), where this window has more
            context than the question's others; ``context_first`` (B,), the column of the window's first
            piece, and ``window_first`` (B,), its number in the context; ``first`` and ``last`` (B,), columns
            of the answer, 0 where there is none.
        """
        if not samples:
            return {}
        windows = np.array(samples)
        length = int(self.sizes[windows].max())
        tokens = np.full((len(windows), length), PAD_ID, dtype=np.int64)
        allowed, begins = np.zeros((2, len(windows), length), dtype=bool)
        allowed[:, 0] = True
        context_first = np.empty(len(windows), dtype=np.int64)
        for i, window in enumerate(windows):
            question, context = self.questions.row(window)
            start = context_first[i] = len(question) + NUM_SPECIAL - 1
            end = start + len(context)
            tokens[i, 0], tokens[i, start - 1], tokens[i, end] = BOS_ID, EOS_ID, EOS_ID
            tokens[i, 1 : start - 1], tokens[i, start:end] = question, context
            allowed[i, start:end] = True
            first, stop = self._most_context[window]
            begins[i, start + first : start + stop] = True
        columns = self.questions.windows[windows].T
        window_first = columns[WindowColumn.FIRST]
        holds_answer = columns[WindowColumn.ANSWER_FIRST] >= 0
        first, last = (
            np.where(holds_answer, context_first + columns[name] - window_first, 0)
            for name in (WindowColumn.ANSWER_FIRST, WindowColumn.ANSWER_LAST)
        )
        arrays = {
            "context_first": context_first,
            "window_first": window_first.astype(np.int64),
            "first": first,
            "last": last,
        }
        arrays |= {"allowed": allowed, "begins": begins}
        return {
            "id": torch.from_numpy(windows),
            "nsentences": len(windows),
            "ntokens": int(self.sizes[windows].sum()),
            "split": self.questions.split,
            "net_input": {"src_tokens": torch.from_numpy(tokens)},
            **{name: torch.from_numpy(array) for name, array in arrays.items()},
        }


def most_context(windows: np.ndarray) -> np.ndarray:
    """Find the pieces of each window that have more context there than in the question's other windows.

    Args:
        windows: the columns of :class:`WindowColumn`; the windows of one question stand together. Shape:
            (windows, 6).

    Returns:
        the half-open range of them, counted from the window's first. They are one range: pieces with more
        context in a later window come after them. Shape: (windows, 2).
    """
    lengths = windows[:, WindowColumn.END] - windows[:, WindowColumn.FIRST]
    ranges = np.stack([np.zeros(len(windows), dtype=np.int64), lengths], 1)
    bounds = np.flatnonzero(np.diff(windows[:, WindowColumn.QUESTION], prepend=-1, append=-2))
    for start, stop in itertools.pairwise(bounds):
        if stop - start == 1:
            continue
        spans = [
            (int(first), int(end))
            for first, end in windows[start:stop, [WindowColumn.FIRST, WindowColumn.END]]
        ]
        best = best_window(spans[-1][1], spans)
        for i, (first, _) in enumerate(spans):
            pieces = np.flatnonzero(best == i) - first
            ranges[start + i] = (pieces[0], pieces[-1] + 1) if len(pieces) else (0, 0)
    return ranges
