"""Sizes and files of small models of transformers."""

import json

import pytest
import torch

transformers = pytest.importorskip("transformers")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SMALL = {
    "hidden_size": 32,
    "embedding_size": 16,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
}
GENERATOR = {**SMALL, "hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 3, "num_hidden_layers": 1}


def in_double(theirs):
    """A net of transformers in float64, with RoFormer's table of sines (its paper, section 3.2.2), which it stores in float32, anew.

    In float64 two ways to compute one function differ by some 1e-13 of its size on every machine; in float32, by what the machine's order
    of sums makes of it.
    """
    theirs.double()
    for name, table in theirs.named_parameters():
        if "embed_positions" in name:
            positions, width = table.shape
            angle = torch.arange(positions).double()[:, None] / 10000 ** (torch.arange(0, width, 2).double() / width)
            table.data.copy_(torch.cat([angle.sin(), angle.cos()], 1))
    return theirs.eval()


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
