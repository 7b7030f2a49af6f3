"""The operations of an update, as PyTorch counts them."""

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from fairseq_electra.electra.configuration import build

ROWS, WIDTH, MASKED, VOCABULARY = 4, 128, 19, 8192


def flops_of_an_update(objective: str) -> int:
    model = build({"model_size": "tiny", "objective": objective}, VOCABULARY)
    tokens, target = torch.randint(4, VOCABULARY, (ROWS, WIDTH)), torch.randint(4, VOCABULARY, (ROWS, MASKED))
    positions = torch.arange(MASKED).repeat(ROWS, 1)
    segments, padding = torch.zeros_like(tokens), torch.zeros(ROWS, WIDTH, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter:
        output = model(tokens, segments, padding, positions, target, torch.rand(ROWS, MASKED))
        loss = F.cross_entropy(output.gen_logits.flatten(0, 1), target.flatten())
        (loss + output.disc_logits.sum() if objective == "electra" else loss).backward()
    return counter.get_total_flops()
