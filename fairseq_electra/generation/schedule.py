"""How many tokens are masked after each step of unmasking, block by block."""

from typing import NamedTuple


class Step(NamedTuple):
    """One pass through the generator. Tokens to be generated are counted from the left of their text."""

    start: int  # the block begins with this token
    end: int  # and ends before this one
    left: int  # number of the block's tokens that are masked after the step


def plan(number: int, steps: int, block: int, masks_again: bool) -> list[Step]:
    """Share the steps among the blocks of a text.

    The text is cut into blocks of almost equal length, at most ``block`` tokens each, but no more blocks than
    steps. In a block of n tokens and S steps, n (S - s) / S tokens are masked after step s, rounded down.

    Args:
        number: number of tokens to be generated.
        steps: number of steps; a text whose tokens are not masked again has at most one for each token.
        block: see :class:`fairseq_electra.generation.settings.Settings`.
        masks_again: tokens that stayed may be masked again, so that further steps have something to do.

    Returns:
        the steps in order. Those after which a block has no masked token, though it had none before, are left
        out.

    Source: Nie et al. 2025 (LLaDA, arXiv 2502.09992) (blocks); Ghazvininejad et al. 2019 (arXiv 1904.09324)
    (number of masks).
    """
    if not masks_again:
        steps = min(steps, number)
    blocks = min(-(-number // block) if block else 1, steps, number)
    found = []
    for i in range(blocks):
        start, end = number * i // blocks, number * (i + 1) // blocks
        steps_of_block = steps * (i + 1) // blocks - steps * i // blocks
        for step in range(1, steps_of_block + 1):
            left = (end - start) * (steps_of_block - step) // steps_of_block
            found.append(Step(start, end, left))
            if not left:
                break
    return found
