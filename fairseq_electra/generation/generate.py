"""Complete texts, and of several candidates for each keep the one that looks most original."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.generation import gibbs
from fairseq_electra.generation.drawing import Rows, check_scores
from fairseq_electra.generation.networks import Networks
from fairseq_electra.generation.settings import Settings
from fairseq_electra.generation.templates import Template
from fairseq_electra.generation.uniforms import Uniforms
from fairseq_electra.generation.unmasking import unmask
from fairseq_electra.progress import Progress

BATCH_SIZE = 16


@dataclass(frozen=True)
class Generated:
    """A text that was completed.

    Args:
        ids: its tokens, without ``<s>`` and ``</s>``.
        is_open: whether each token was generated; else it was given.
        logprobs: log-probability of each token when it was drawn, in nats; 0 for given ones.
        logprobs_original: log-probability that each token was not replaced, in nats; None: there is no
            discriminator.
    """

    ids: tuple[int, ...]
    is_open: tuple[bool, ...]
    logprobs: tuple[float, ...]
    logprobs_original: tuple[float, ...] | None = None

    @property
    def score(self) -> float | None:
        """Mean of ``logprobs_original``, by which candidates are ranked."""
        return None if self.logprobs_original is None else float(np.mean(self.logprobs_original))


def generate(
    networks: Networks,
    templates: Sequence[Template],
    settings: Settings,
    device: torch.device,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> list[Generated]:
    """Complete texts.

    A text depends on the seed, its number and the model, not on the other texts of its batch; but rounding
    may differ between batches, and where two tokens are nearly equally good, so may the text.

    Args:
        networks: the generator; with a critic or several candidates also the discriminator.
        templates: the texts.
        settings: how to generate.
        device: where the networks are.
        batch_size: number of texts that are completed at once, candidates counted.
        progress: reports the progress; by default none is.

    Raises:
        InputError: the scores of the model are not finite numbers.
    """
    progress = progress or Progress()
    count = settings.candidates
    progress.stage("generate", "texts", len(templates) * count)
    found: list[Generated] = [Generated((), (), ())] * (len(templates) * count)
    for numbers in _batches([len(template.ids) for template in templates], count, batch_size):
        chosen = [templates[number // count] for number in numbers]
        rows = _padded(chosen, networks.pad, device)
        uniforms = Uniforms(settings.seed, np.array(numbers) // count, np.array(numbers) % count)
        for number, text in zip(numbers, _completed(networks, chosen, rows, uniforms, settings), strict=True):
            found[number] = text
        progress.add(len(numbers))
    return [
        max(found[first : first + count], key=lambda text: text.score or 0.0)
        for first in range(0, len(found), count)
    ]


def _completed(
    networks: Networks, templates: Sequence[Template], rows: Rows, uniforms: Uniforms, settings: Settings
) -> Iterator[Generated]:
    """Complete the texts of a batch."""
    complete = gibbs.sample if settings.method == "gibbs" else unmask
    tokens, logprobs = complete(networks, rows, uniforms, settings)
    original = F.logsigmoid(-networks.replaced(tokens)) if settings.needs_discriminator else None
    if original is not None:
        check_scores(original)
    for i, template in enumerate(templates):
        within = slice(1, len(template.ids) - 1)

        def numbers(values: Tensor, row: int = i, within: slice = within) -> tuple:
            return tuple(values[row, within].tolist())

        yield Generated(
            numbers(tokens),
            template.is_open[within],
            numbers(logprobs),
            None if original is None else numbers(original),
        )


def _batches(lengths: Sequence[int], candidates: int, batch_size: int) -> Iterator[list[int]]:
    """Yield the numbers of the candidates of some texts of like length."""
    order = sorted(range(len(lengths) * candidates), key=lambda number: lengths[number // candidates])
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]


def _padded(templates: Sequence[Template], pad: int, device: torch.device) -> Rows:
    width = max(len(template.ids) for template in templates)
    tokens = [[*template.ids, *[pad] * (width - len(template.ids))] for template in templates]
    is_open = [[*template.is_open, *[False] * (width - len(template.ids))] for template in templates]
    return Rows(torch.tensor(tokens, device=device), torch.tensor(is_open, device=device))
