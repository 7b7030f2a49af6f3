"""Masked diffusion and mask-predict: from masked rows to text, many tokens in a step.

In each step the generator draws a token for every masked position, each as if the others stayed masked. The
most doubtful ones are masked again, fewer in each step. Doubt is minus the log-probability with which a token
was drawn, a random number, or the discriminator's p(replaced).
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from fairseq_electra.generation.drawing import Filled, Rows, draw, without_joint_repeats
from fairseq_electra.generation.networks import Networks
from fairseq_electra.generation.schedule import Step, plan
from fairseq_electra.generation.settings import Settings
from fairseq_electra.generation.uniforms import Purpose, Uniforms


def unmask(networks: Networks, rows: Rows, uniforms: Uniforms, settings: Settings) -> Filled:
    """Complete rows.

    With ``no_repeat``, tokens drawn at once may repeat an n-gram only together. Such a token stays masked
    until a later step; steps are added at the end if need be.

    Args:
        networks: the generator; with a critic also the discriminator.
        rows: the rows, each with a token to be generated.
        uniforms: random numbers of the rows.
        settings: method ``diffusion`` or ``mask-predict``.

    Source: Sahoo et al. 2024 (MDLM, arXiv 2406.07524) with ``order`` random; Nie et al. 2025 (LLaDA, arXiv
    2502.09992) with ``order`` confidence; Ghazvininejad et al. 2019 (mask-predict, arXiv 1904.09324) with
    ``masks_again``; Lezama et al. 2022 (Token-Critic, arXiv 2209.04439) with ``critic``. Deviations: the
    number of masks falls linearly in all; there is no noise on the critic's scores.
    """
    tokens, number = rows.tokens, rows.is_open.cumsum(1) - 1  # number of each open token, from the left
    logprobs = torch.zeros_like(tokens, dtype=torch.float64)
    plans = [
        plan(n, settings.steps, settings.block, settings.masks_again) for n in rows.is_open.sum(1).tolist()
    ]
    for step in itertools.count():
        masked = rows.is_open & (tokens == networks.mask)
        if step >= max(map(len, plans)) and not masked.any():
            return Filled(tokens, logprobs)
        start, end, left = _steps(plans, step, tokens.device)
        active = masked & (number < end)
        where = masked if settings.critic else active  # the discriminator must not see <mask>
        drawn = draw(networks, tokens, where, uniforms.tensor(Purpose.TOKEN, step, tokens), settings)
        logprobs = torch.where(where, drawn.logprobs.double(), logprobs)
        if settings.critic:
            doubt = networks.replaced(drawn.tokens)
        elif settings.order == "random":
            doubt = uniforms.tensor(Purpose.ORDER, step, tokens)
        else:
            doubt = -logprobs
        may_be_masked = active
        if settings.masks_again:
            may_be_masked = active | (rows.is_open & (number >= start) & (number < end))
        again = _highest(doubt, may_be_masked, left) | (masked & ~active)
        before = torch.where(again | masked, networks.mask, tokens)
        tokens = torch.where(again, networks.mask, drawn.tokens)
        if settings.no_repeat:
            tokens = without_joint_repeats(before, tokens, doubt, settings.no_repeat, networks.mask)
    raise AssertionError("unreachable")


def _steps(plans: Sequence[Sequence[Step]], step: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the step of every row; behind the last, all masked tokens are drawn. Shapes: (B, 1) thrice."""
    steps = [each[step] if step < len(each) else Step(each[-1].end, each[-1].end, 0) for each in plans]
    start, end, left = torch.tensor(steps, device=device).unsqueeze(-1).unbind(1)
    return start, end, left


def _highest(doubt: Tensor, candidates: Tensor, numbers: Tensor) -> Tensor:
    """Choose in each row the candidates with the highest doubt. Shapes: (B, T) twice, (B, 1) -> (B, T)."""
    order = (
        doubt.double().masked_fill(~candidates, float("-inf")).argsort(dim=1, descending=True, stable=True)
    )
    ranks = torch.zeros_like(order).scatter(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return candidates & (ranks < numbers)
