"""Scores of sentences by a pre-trained model that was not fine-tuned: higher is more acceptable.

A score is a sum over the sentence's tokens, in nats; ``<s>`` and ``</s>`` do not count.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.electric import Electric
from fairseq_electra.electra.encoder import check_row_length
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.state import is_random
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID
from fairseq_electra.progress import Progress

MAX_TOKENS = (2048, 16_384)  # of a batch, on a CPU and on a GPU
Row = tuple[int, ...]  # ids of a sentence, with <s> and </s>
TokenScores = Iterator[tuple[Tensor, Tensor]]  # numbers of rows, and a score for each of their tokens


@torch.no_grad()
def masked_log_probabilities(
    net: ElectraHubInterface, rows: Sequence[Row], max_tokens: int, progress: Progress
) -> TokenScores:
    """Compute the log-probability that the generator gives to each token while that token alone is masked.

    Their sum over a sentence is its pseudo-log-likelihood.

    Args:
        net: a model with a generator.
        rows: ids.
        max_tokens: the number of tokens in a batch.
        progress: gets a stage of its own.

    Yields:
        the numbers of some rows of one length, and the scores of their tokens but ``<s>`` and ``</s>``,
        float64, on the model's device. Shapes: (rows,), (rows, length - 2).

    Source: Salazar et al. 2020 (arXiv 1910.14659), equation 1.
    """
    model = net.model
    assert isinstance(model, Generator)
    progress.stage("generator", "masked tokens", sum(len(row) - 2 for row in rows))
    for numbers, tokens in _by_length(rows, net.device):
        length = tokens.shape[1]
        copies = length - 2  # of each row, one for every token but <s> and </s>
        logprobs = torch.zeros(len(numbers) * copies, dtype=torch.float64, device=net.device)
        for chosen in torch.arange(len(logprobs), device=net.device).split(max(1, max_tokens // length)):
            position = (1 + chosen % copies).unsqueeze(1)
            batch = tokens[chosen // copies]
            target = batch.gather(1, position).squeeze(1)
            batch.scatter_(1, position, net.mask)
            logits = model.generate(batch, torch.zeros_like(batch), None, position).squeeze(1)
            logits = logits.to(loss_dtype(logits.dtype))
            logprobs[chosen] = -F.cross_entropy(logits, target, reduction="none").double()
            progress.add(len(chosen))
        yield numbers, logprobs.view(-1, copies)


def not_replaced_log_probabilities(
    net: ElectraHubInterface, rows: Sequence[Row], max_tokens: int, progress: Progress
) -> TokenScores:
    """Compute the discriminator's log-probability that each token was not replaced, in the text as it is.

    Where the main encoder predicts tokens without a copy head, this is the log-probability of each token at
    its place. Arguments and result as :func:`masked_log_probabilities`, of a model with a discriminator.
    """
    progress.stage("discriminator", "sentences", len(rows))
    return _in_one_pass(net, rows, max_tokens, progress, lambda logits: F.logsigmoid(-logits))


def negative_energies(
    net: ElectraHubInterface, rows: Sequence[Row], max_tokens: int, progress: Progress
) -> TokenScores:
    """Compute the negative energies of an Electric model: their sum is its pseudo-log-likelihood.

    The negative energy estimates the log-probability of a token where it stands. It is not normalised: the
    probabilities of all tokens of the vocabulary in one place need not add up to 1, so a score can be above
    0, and compares texts rather than measuring one. Arguments and result as
    :func:`masked_log_probabilities`.

    Source: Clark et al. 2020b (arXiv 2012.08561).
    """
    progress.stage("energy", "sentences", len(rows))
    return _in_one_pass(net, rows, max_tokens, progress, torch.neg)


@torch.no_grad()
def _in_one_pass(
    net: ElectraHubInterface,
    rows: Sequence[Row],
    max_tokens: int,
    progress: Progress,
    of_token: Callable[[Tensor], Tensor],
) -> TokenScores:
    """Compute a function of the main encoder's score of each token; arguments and result as above."""
    model = net.model
    assert isinstance(model, Discriminator)
    for numbers, tokens in _by_length(rows, net.device):
        at_once = max(1, max_tokens // tokens.shape[1])
        for chosen, batch in zip(numbers.split(at_once), tokens.split(at_once), strict=True):
            scores = model.discriminate(batch, torch.zeros_like(batch), None)[:, 1:-1]
            progress.add(len(chosen))
            yield chosen, of_token(scores.to(loss_dtype(scores.dtype))).double()


class Score(NamedTuple):
    """A way to score sentences.

    Args:
        suits: tells whether a model can compute it.
        part: the beginning of the names of the tensors that must have been trained.
        compute: computes it for each token; arguments and result as :func:`masked_log_probabilities`.
    """

    suits: Callable[[nn.Module], bool]
    part: str
    compute: Callable[[ElectraHubInterface, Sequence[Row], int, Progress], TokenScores]


SCORES = {
    "generator": Score(lambda model: isinstance(model, Generator), "generator", masked_log_probabilities),
    "discriminator": Score(
        lambda model: isinstance(model, Discriminator) and not isinstance(model, Electric),
        "discriminator_head",
        not_replaced_log_probabilities,
    ),
    "energy": Score(lambda model: isinstance(model, Electric), "discriminator_head", negative_energies),
}


def chosen_scores(net: ElectraHubInterface, wanted: Sequence[str] | None = None) -> list[str]:
    """Return the scores to compute, keys of :data:`SCORES`: those wanted, or all that the model can compute.

    Raises:
        InputError: the model cannot compute one of them, or none at all.
    """
    if isinstance(net.model, EncoderWithHeads):
        raise InputError(
            "a fine-tuned checkpoint has neither a generator nor a discriminator's head to score sentences"
            " with; give the pre-training checkpoint"
        )
    known = [
        name
        for name, score in SCORES.items()
        if score.suits(net.model) and not is_random(score.part, net.initialised)
    ]
    for name in wanted if wanted is not None else known or SCORES:
        if name not in known:
            remedy = f"use {' or '.join(known)}" if known else "pre-train it first"
            raise InputError(f"the model has no trained {name} to score sentences with; {remedy}")
    return list(dict.fromkeys(known if wanted is None else wanted))


def encode(net: ElectraHubInterface, sentences: Sequence[str]) -> list[Row]:
    """Cut sentences into tokens.

    Raises:
        InputError: a sentence has more tokens than the model has positions.
    """
    pieces = net.tokenizer.encode_batch_fast(list(sentences), add_special_tokens=False)
    rows = [(BOS_ID, *encoding.ids, EOS_ID) for encoding in pieces]
    longest = max(map(len, rows), default=0)
    check_row_length(net.sizes, longest, "shorten the sentences")
    net.check_length(longest)
    return rows


def score_rows(
    net: ElectraHubInterface,
    rows: Sequence[Row],
    score: str,
    max_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Score sentences that are cut into tokens.

    Rows of one length are computed together, so none is padded. Rows that are the same are computed once, so
    that their scores are exactly equal.

    Args:
        net: the model.
        rows: result of :func:`encode`.
        score: a key of :data:`SCORES` that :func:`chosen_scores` allows.
        max_tokens: the number of tokens in a batch; by default :data:`MAX_TOKENS`.
        progress: reports the progress; by default none is.

    Raises:
        InputError: a score is not a finite number.
    """
    number_of = _numbered(rows)
    found = torch.zeros(len(number_of), dtype=torch.float64)
    for numbers, of_tokens in _computed(net, list(number_of), score, max_tokens, progress):
        found[numbers] = of_tokens.sum(1).cpu()
    sums = found.tolist()
    return [sums[number_of[row]] for row in rows]


def score_tokens(
    net: ElectraHubInterface,
    rows: Sequence[Row],
    score: str,
    max_tokens: int | None = None,
    progress: Progress | None = None,
) -> list[Tensor]:
    """Score each token of sentences; arguments and errors as :func:`score_rows`.

    Returns:
        for each row the scores of its tokens but ``<s>`` and ``</s>``, float64. Shape: (length - 2,).
    """
    number_of = _numbered(rows)
    found = [torch.zeros(0, dtype=torch.float64)] * len(number_of)
    for numbers, of_tokens in _computed(net, list(number_of), score, max_tokens, progress):
        for number, of_row in zip(numbers.tolist(), of_tokens.cpu(), strict=True):
            found[number] = of_row
    return [found[number_of[row]] for row in rows]


def _numbered(rows: Sequence[Row]) -> dict[Row, int]:
    """Number the rows that are not the same."""
    return {row: number for number, row in enumerate(dict.fromkeys(rows))}


def _computed(
    net: ElectraHubInterface,
    rows: Sequence[Row],
    score: str,
    max_tokens: int | None,
    progress: Progress | None,
) -> TokenScores:
    """Compute a score of distinct rows, and check it; arguments and errors as :func:`score_rows`."""
    at_once = max_tokens or MAX_TOKENS[net.device.type == "cuda"]
    for numbers, of_tokens in SCORES[score].compute(net, rows, at_once, progress or Progress()):
        if not of_tokens.isfinite().all():
            raise InputError(
                f"the {score} gives a sentence a score that is not a finite number: the run has diverged, or"
                " the checkpoint is damaged; use an earlier one"
            )
        yield numbers, of_tokens


def score_sentences(net: ElectraHubInterface, sentences: Sequence[str], score: str) -> list[float]:
    """Score sentences; errors as :func:`encode`, :func:`chosen_scores` and :func:`score_rows`."""
    (score,) = chosen_scores(net, [score])
    return score_rows(net, encode(net, sentences), score)


def _by_length(rows: Sequence[Row], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each length the numbers of its rows, and their ids. Shapes: (rows,), (rows, length).

    Rows without a token between ``<s>`` and ``</s>`` are left out: nothing is to be summed up.
    """
    of_length: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        if len(row) > 2:
            of_length.setdefault(len(row), []).append(i)
    for _, numbers in sorted(of_length.items()):
        yield torch.tensor(numbers), torch.tensor([rows[i] for i in numbers], device=device)
