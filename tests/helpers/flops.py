"""The operations of an update, as PyTorch counts them."""

import torch
import torch.nn.functional as F
from fairseq.data import Dictionary
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from fairseq_electra.models.electra import ElectraConfig, ElectraModel

ROWS, WIDTH, MASKED, VOCABULARY = 4, 128, 19, 8192


def flops_of_an_update(generator_only: bool) -> int:
    dictionary = Dictionary()
    for i in range(VOCABULARY - len(dictionary)):
        dictionary.add_symbol(f"piece{i}")
    cfg = {"model_size": "tiny", "generator_only": generator_only, "finetune_from_model": None, "save_dir": ""}
    model = ElectraModel(OmegaConf.merge(OmegaConf.structured(ElectraConfig), cfg), dictionary)
    tokens, target = torch.randint(4, VOCABULARY, (ROWS, WIDTH)), torch.randint(4, VOCABULARY, (ROWS, MASKED))
    positions = torch.arange(MASKED).repeat(ROWS, 1)
    segments, padding = torch.zeros_like(tokens), torch.zeros(ROWS, WIDTH, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter:
        output = model(tokens, segments, padding, positions, target, torch.rand(ROWS, MASKED))
        loss = F.cross_entropy(output.gen_logits.flatten(0, 1), target.flatten())
        (loss if output.disc_logits is None else loss + output.disc_logits.sum()).backward()
    return counter.get_total_flops()
