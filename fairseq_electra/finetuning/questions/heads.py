"""Heads that find the answer to a question in its context: the paper's, and the plain one of transformers.

Both read hidden states (B, T, C) and ``allowed`` (B, T), which is true where an answer may begin or end, and
at ``<s>``, which stands for none. An answer is the tokens from its first to its last.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.initialization import initialize_glorot
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.head import TaskHead

DISALLOWED = -1e4  # score of tokens that are not allowed


class AnswerScores(NamedTuple):
    """Scores for training: of first and last token, (B, T) each, and of having no answer, (B,) or None."""

    first: Tensor
    last: Tensor
    unanswerable: Tensor | None


class Answers(NamedTuple):
    """The n best answers, best first: first and last token and log-probability, (B, n) each.

    ``unanswerable``, (B,), is the score of having no answer.
    """

    first: Tensor
    last: Tensor
    score: Tensor
    unanswerable: Tensor


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    initialize_glorot(layer)
    return layer


class IndependentAnswerHead(TaskHead):
    """First and last token are scored by one linear layer each; without an answer both are ``<s>``.

    Args:
        hidden_size: C.

    Source: google-research/bert run_squad.py::create_model, and transformers' ElectraForQuestionAnswering.
    """

    of_tokens = True

    def __init__(self, hidden_size: int):
        super().__init__()
        self.prediction = _linear(hidden_size, 2)

    def forward(self, hidden: Tensor, allowed: Tensor, first: Tensor | None = None) -> AnswerScores:
        """Score every token; ``first`` is not used."""
        scores = _to_loss_dtype(self.prediction(self.transformed(hidden))).masked_fill(
            ~allowed.unsqueeze(-1), DISALLOWED
        )
        return AnswerScores(scores[..., 0], scores[..., 1], None)

    def search(
        self, hidden: Tensor, allowed: Tensor, begins: Tensor, beam: int, count: int, max_answer_length: int
    ) -> Answers:
        """Find the best of all possible answers.

        Arguments and result are as in :meth:`ConditionalAnswerHead.search`; ``beam`` is not used.
        ``unanswerable`` is the log-probability of ``<s>``, twice, less that of the best answer.
        """
        scores = self(hidden, allowed)
        first, last = scores.first.log_softmax(-1), scores.last.log_softmax(-1)
        starts = first.masked_fill(~begins, -torch.inf)
        # answers by first token and length: (B, T, max_answer_length)
        ends = F.pad(
            last.masked_fill(~_without_bos(allowed), -torch.inf), (0, max_answer_length - 1), value=-torch.inf
        ).unfold(1, max_answer_length, 1)
        best, index = _best((starts.unsqueeze(-1) + ends).flatten(1), count)
        first_tokens = index // max_answer_length
        none = first[:, 0] + last[:, 0]
        return Answers(
            first_tokens,
            first_tokens + index % max_answer_length,
            best,
            none - best[:, 0].clamp(min=DISALLOWED),
        )


class ConditionalAnswerHead(TaskHead):
    """The paper's head: it scores the last token given the first, and whether there is an answer at all.

    Each of these two scores comes from a small MLP.

    Args:
        hidden_size: C.
        answerability: there are questions without an answer.
        inner_size: hidden size of the MLPs.

    Source: google-research/electra finetune/qa/qa_tasks.py::QATask.get_prediction_module.
    """

    of_tokens = True

    def __init__(self, hidden_size: int, answerability: bool, inner_size: int = 512):
        super().__init__()
        self.first = _linear(hidden_size, 1)
        self.dense = _linear(2 * hidden_size, inner_size)  # of the first token, and of each
        self.last = _linear(inner_size, 1)
        self.answerability = (
            nn.Sequential(_linear(2 * hidden_size, inner_size), nn.GELU(), _linear(inner_size, 1))
            if answerability
            else None
        )

    def forward(self, hidden: Tensor, allowed: Tensor, first: Tensor | None = None) -> AnswerScores:
        """Score every token.

        Args:
            hidden: hidden states. Shape: (B, T, C).
            allowed: where an answer may begin or end, and ``<s>``. Shape: (B, T).
            first: first tokens of the answers. Shape: (B,).
        """
        assert first is not None
        starts = self._starts(hidden, allowed)
        return AnswerScores(
            starts, self._ends(hidden, allowed, first.unsqueeze(1))[:, 0], self._unanswerable(hidden, starts)
        )

    def search(
        self, hidden: Tensor, allowed: Tensor, begins: Tensor, beam: int, count: int, max_answer_length: int
    ) -> Answers:
        """Find the best answers.

        Args:
            hidden: hidden states. Shape: (B, T, C).
            allowed: as in :meth:`forward`. Shape: (B, T).
            begins: where an answer may begin: where the window has most context. Shape: (B, T).
            beam: first tokens to try.
            count: answers to return, n.
            max_answer_length: largest number of tokens of an answer.

        Returns:
            the answers; ``unanswerable`` is a logit, 0 without an MLP for it.
        """
        scores = self._starts(hidden, allowed)
        starts, first = (
            scores.log_softmax(-1).masked_fill(~begins, -torch.inf).topk(min(beam, scores.shape[1]), -1)
        )
        ends = (
            self._ends(hidden, allowed, first)
            .log_softmax(-1)
            .masked_fill(~_without_bos(allowed).unsqueeze(1), -torch.inf)
        )
        length = torch.arange(ends.shape[-1], device=ends.device) - first.unsqueeze(-1)
        ends = ends.masked_fill((length < 0) | (length >= max_answer_length), -torch.inf)
        best, index = _best((starts.unsqueeze(-1) + ends).flatten(1), count)
        row_length = ends.shape[-1]
        unanswerable = self._unanswerable(hidden, scores)
        first_tokens = first.gather(1, (index // row_length).clamp(max=first.shape[1] - 1))
        return Answers(
            first_tokens,
            index % row_length,
            best,
            best.new_zeros(len(best)) if unanswerable is None else unanswerable,
        )

    def add_transform(self, sizes: EncoderSizes) -> None:
        """Leave the head as it is: it has dense layers of its own, and no counterpart in transformers."""

    def exported(self, layer_norm: nn.LayerNorm) -> dict[str, Tensor]:
        """See :meth:`TaskHead.exported`.

        Raises:
            InputError: always.
        """
        raise InputError(
            "transformers has no head whose end depends on its start; fine-tune with --answer-head"
            " independent"
        )

    def _starts(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        return _to_loss_dtype(self.first(hidden)).squeeze(-1).masked_fill(~allowed, DISALLOWED)

    def _ends(self, hidden: Tensor, allowed: Tensor, first: Tensor) -> Tensor:
        """Score last tokens for each first one.

        Shapes: (B, k) -> (B, k, T). A product with [a; b] is a sum of two, so a is done once.
        """
        of_first, of_each = self.dense.weight.chunk(2, 1)
        chosen = hidden.gather(1, first.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        given = F.linear(chosen, of_first, self.dense.bias)
        each = F.linear(hidden, of_each)
        # (B, T, inner) for all would be large
        scores = [self.last(F.gelu(each + one.unsqueeze(1))).squeeze(-1) for one in given.unbind(1)]
        return _to_loss_dtype(torch.stack(scores, 1)).masked_fill(~allowed.unsqueeze(1), DISALLOWED)

    def _unanswerable(self, hidden: Tensor, starts: Tensor) -> Tensor | None:
        if self.answerability is None:
            return None
        attended = (starts.softmax(-1).to(hidden.dtype).unsqueeze(1) @ hidden).squeeze(1)
        return _to_loss_dtype(self.answerability(torch.cat([hidden[:, 0], attended], -1))).squeeze(-1)


def _to_loss_dtype(scores: Tensor) -> Tensor:
    return scores.to(loss_dtype(scores.dtype))


def _without_bos(allowed: Tensor) -> Tensor:
    """Return where an answer may begin or end, without ``<s>``, which stands for none."""
    return torch.cat([torch.zeros_like(allowed[:, :1]), allowed[:, 1:]], 1)


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest of (B, n) and their indices, padded with -inf to ``count``."""
    best, index = scores.topk(min(count, scores.shape[1]), -1)
    missing = count - best.shape[1]
    return F.pad(best, (0, missing), value=-torch.inf), F.pad(index, (0, missing))
