"""Batches of questions and windows of their contexts."""

import itertools

import numpy as np
import torch

from fairseq_electra.finetuning.questions.folder import SPECIAL, Questions
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
        width = int(self.sizes[windows].max())
        tokens = np.full((len(windows), width), PAD_ID, dtype=np.int64)
        allowed, begins = np.zeros((2, len(windows), width), dtype=bool)
        allowed[:, 0] = True
        context_first = np.empty(len(windows), dtype=np.int64)
        for i, window in enumerate(windows):
            question, context = self.questions.row(window)
            begin = context_first[i] = len(question) + SPECIAL - 1
            end = begin + len(context)
            tokens[i, 0], tokens[i, begin - 1], tokens[i, end] = BOS_ID, EOS_ID, EOS_ID
            tokens[i, 1 : begin - 1], tokens[i, begin:end] = question, context
            allowed[i, begin:end] = True
            first, last = self._most_context[window]
            begins[i, begin + first : begin + last] = True
        columns = self.questions.windows[windows]
        held = columns[:, 4] >= 0
        first, last = (np.where(held, context_first + columns[:, k] - columns[:, 2], 0) for k in (4, 5))
        arrays = {
            "context_first": context_first,
            "window_first": columns[:, 2].astype(np.int64),
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
        windows: the columns of :data:`fairseq_electra.finetuning.questions.folder.WINDOW`, those of one
            question together. Shape: (windows, 6).

    Returns:
        first and end of them, counted from the window's first. They are side by side: what has more context
        in a later window lies behind. Shape: (windows, 2).
    """
    found = np.stack([np.zeros(len(windows), dtype=np.int64), windows[:, 3] - windows[:, 2]], 1)
    bounds = np.flatnonzero(np.diff(windows[:, 0], prepend=-1, append=-2))
    for a, b in itertools.pairwise(bounds):
        if b - a == 1:
            continue
        spans = [(int(first), int(end)) for first, end in windows[a:b, 2:4]]
        best = best_window(spans[-1][1], spans)
        for i, (first, _) in enumerate(spans):
            own = np.flatnonzero(best == i) - first
            found[a + i] = (own[0], own[-1] + 1) if len(own) else (0, 0)
    return found
