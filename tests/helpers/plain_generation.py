"""A small table as generator and discriminator, and text generation by plain loops, one text at a time."""

import math
from collections import Counter

import numpy as np
import torch

from fairseq_electra.generation.drawing import Rows
from fairseq_electra.generation.uniforms import Purpose, Uniforms

BOS, PAD, EOS, UNK = range(4)
WORDS = range(4, 10)
MASK = 10
SPECIAL = [BOS, PAD, EOS, UNK, MASK]
LONGEST = 24


class TableNetworks:
    """Scores are sums over the tokens of a row, of a random number for each distance and pair of tokens."""

    mask, pad = MASK, PAD

    def __init__(self, seed=0, scale=0.7):
        random = torch.Generator().manual_seed(seed)
        shape = (2 * LONGEST, MASK + 1, MASK + 1)
        self.of_generator, self.of_discriminator = (
            torch.randn(shape, generator=random, dtype=torch.float64) * scale for _ in range(2)
        )
        self.read: list[list[int]] = []  # all rows that the discriminator was given
        self.passes = 0

    def scores(self, tokens, positions):
        self.passes += 1
        logits = torch.stack([self._sums(self.of_generator, tokens, column) for column in positions.T], 1)
        return logits.index_fill(-1, torch.tensor(SPECIAL), float("-inf"))

    def replaced(self, tokens):
        self.read += tokens.tolist()
        columns = [torch.full((len(tokens),), i) for i in range(tokens.shape[1])]
        sums = torch.stack([self._sums(self.of_discriminator, tokens, column) for column in columns], 1)
        return sums.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)

    def _sums(self, table, tokens, column):
        distances = torch.arange(tokens.shape[1]) - column[:, None] + LONGEST
        return (table[distances, tokens] * (tokens != PAD).unsqueeze(-1)).sum(1)


def rows_of(texts) -> Rows:
    """Rows of texts in which None is to be generated."""
    width = max(map(len, texts)) + 2
    tokens = [
        [BOS, *(MASK if token is None else token for token in text), EOS, *[PAD] * (width - len(text) - 2)]
        for text in texts
    ]
    tokens = torch.tensor(tokens)
    return Rows(tokens, tokens == MASK)


def plain_probabilities(logits, temperature=1.0, top_k=0, top_p=1.0) -> np.ndarray:
    """The distribution of one token, by sorting."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    probs = np.zeros(len(logits))
    if temperature == 0:
        probs[order[0]] = 1
        return probs
    kept = order[:top_k] if top_k else order
    weights = {i: math.exp((logits[i] - logits[order[0]]) / temperature) for i in kept}
    total, sum_so_far = sum(weights.values()), 0.0
    for i in kept:
        if sum_so_far >= top_p and top_p < 1:
            break
        probs[i] = weights[i] / total
        sum_so_far += probs[i]
    return probs / probs.sum()


def repeats(row, size) -> set[tuple[int, ...]]:
    """The n-grams that a row has twice, those with a mask left out."""
    counts = Counter(tuple(row[i : i + size]) for i in range(len(row) - size + 1))
    return {ngram for ngram, number in counts.items() if number > 1 and MASK not in ngram}


def repeats_through(row, position, size) -> set[tuple[int, ...]]:
    """The n-grams through a position that a row has twice."""
    starts = range(max(0, position - size + 1), min(position, len(row) - size) + 1)
    return repeats(row, size) & {tuple(row[start : start + size]) for start in starts}


def plain_draw(networks, row, positions, uniforms, settings) -> dict[int, tuple[int, float]]:
    """The token drawn for each position, each alone, and its log-probability."""
    drawn = {}
    for position in positions:
        logits = networks.scores(torch.tensor([row]), torch.tensor([[position]]))[0, 0].numpy()
        logprobs = logits - math.log(sum(math.exp(score) for score in logits))
        if settings.no_repeat:
            allowed = [
                -math.inf
                if repeats_through(
                    [*row[:position], token, *row[position + 1 :]], position, settings.no_repeat
                )
                else score
                for token, score in enumerate(logits)
            ]
            logits = allowed if max(allowed) > -math.inf else logits
        probs = plain_probabilities(logits, settings.temperature, settings.top_k, settings.top_p)
        token, sum_so_far = 0, probs[0]
        while sum_so_far <= uniforms[position]:
            token += 1
            sum_so_far += probs[token]
        drawn[position] = token, logprobs[token]
    return drawn


def put_in(row, drawn, doubt, settings) -> list[int]:
    """The row with the drawn tokens that do not repeat an n-gram together."""
    row, placed = list(row), False
    for position in sorted(drawn, key=lambda i: (doubt[i], i)):
        changed = [*row[:position], drawn[position], *row[position + 1 :]]
        if placed and settings.no_repeat and repeats_through(changed, position, settings.no_repeat):
            continue
        row, placed = changed, True
    return row


def plain_unmask(networks, text, settings, number=0, candidate=0):
    """Complete one text by unmasking; returns its row, and the log-probabilities by position."""
    row, uniforms, is_open = _start(text, settings, number, candidate)
    steps = list(_plain_steps(len(is_open), settings))
    logprobs: dict[int, float] = {}
    step = 0
    while step < len(steps) or MASK in row:
        start, end, left = steps[step] if step < len(steps) else (len(is_open), len(is_open), 0)
        masked = [i for i in is_open if row[i] == MASK]
        active = [i for i in masked if i in is_open[:end]]
        where = masked if settings.critic else active
        found = plain_draw(networks, row, where, uniforms(Purpose.TOKEN, step, len(row))[0], settings)
        logprobs |= {i: logprob for i, (_, logprob) in found.items()}
        full = list(row)
        for i, (token, _) in found.items():
            full[i] = token
        if settings.critic:
            doubt = networks.replaced(torch.tensor([full]))[0].tolist()
        elif settings.order == "random":
            doubt = uniforms(Purpose.ORDER, step, len(row))[0].tolist()
        else:
            doubt = [-logprobs.get(i, 0.0) for i in range(len(row))]
        candidates = active + [i for i in is_open[start:end] if settings.masks_again and i not in active]
        again = sorted(candidates, key=lambda i: -doubt[i])[:left]
        row = [MASK if i in again else token for i, token in enumerate(row)]
        drawn = {i: found[i][0] for i in active if i not in again}
        row = put_in(row, drawn, doubt, settings)
        step += 1
    return row, [logprobs.get(i, 0.0) for i in range(len(row))], step


def _plain_steps(number, settings):
    steps = settings.steps if settings.masks_again else min(settings.steps, number)
    blocks = min(math.ceil(number / settings.block) if settings.block else 1, steps, number)
    ends = [math.floor(number * i / blocks) for i in range(blocks + 1)]
    shares = [math.floor(steps * i / blocks) for i in range(blocks + 1)]
    for block in range(blocks):
        size, own = ends[block + 1] - ends[block], shares[block + 1] - shares[block]
        lefts = [math.floor(size * (own - step) / own) for step in range(1, own + 1)]
        for left in lefts[: lefts.index(0) + 1]:
            yield ends[block], ends[block + 1], left


def plain_gibbs(networks, text, settings, number=0, candidate=0):
    """Complete one text by Gibbs sampling; result as of :func:`plain_unmask`."""
    row, uniforms, is_open = _start(text, settings, number, candidate)
    in_a_step = math.ceil(len(is_open) / settings.steps)
    visits: list[int] = []
    while len(visits) < in_a_step * settings.steps:
        order = uniforms(Purpose.ORDER, len(visits) // len(is_open), len(row))[0]
        visits += sorted(is_open, key=lambda i: order[i])
    logprobs: dict[int, float] = {}
    seen: set[int] = set()
    step = 0
    while step < settings.steps or MASK in row:
        chosen = {i for i in seen if row[i] == MASK}
        if step < settings.steps:
            chosen |= set(visits[step * in_a_step : (step + 1) * in_a_step])
        seen |= chosen
        row = [MASK if i in chosen else token for i, token in enumerate(row)]
        found = plain_draw(
            networks, row, sorted(chosen), uniforms(Purpose.TOKEN, step, len(row))[0], settings
        )
        logprobs |= {i: logprob for i, (_, logprob) in found.items()}
        doubt = {i: -logprob for i, logprob in logprobs.items()}
        row = put_in(row, {i: token for i, (token, _) in found.items()}, doubt, settings)
        step += 1
    return row, [logprobs.get(i, 0.0) for i in range(len(row))], step


def _start(text, settings, number, candidate):
    row = [BOS, *(MASK if token is None else token for token in text), EOS]
    uniforms = Uniforms(settings.seed, np.array([number]), np.array([candidate]))
    return row, uniforms, [i for i, token in enumerate(row) if token == MASK]
