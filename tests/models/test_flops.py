"""Comparisons at equal FLOPs are at equal FLOPs."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from fairseq_electra.electra.configuration import build

ROWS, WIDTH, MASKED, VOCABULARY = 4, 128, 19, 8192
UPDATES = {"electra": 18000, "mlm": 22750}  # examples/glue/README.md


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


def test_the_masked_language_model_of_the_glue_page_has_as_many_flops_as_electra():
    both, alone = flops_of_an_update("electra"), flops_of_an_update("mlm")
    assert both * UPDATES["electra"] == pytest.approx(alone * UPDATES["mlm"], rel=0.005)
    assert [round(flops / ROWS / WIDTH / 3 / 1e6, 2) for flops in (both, alone)] == [2.72, 2.15]
