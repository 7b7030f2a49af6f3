"""The sizes of the small models of the tests, and random parameters for a model of any size."""

import torch

NET = {
    "hidden_size": 32,
    "embedding_size": 16,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TINY_NET = [word for name, size in NET.items() for word in (f"--{name.replace('_', '-')}", str(size))]


def randomize_parameters(model, seed=0, std=0.1):
    """Fill every parameter, also biases and LayerNorm (around 1), so that a comparison can miss none."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * std
            parameter.copy_(noise + 1 if name.endswith(("norm.weight", "norm.gain")) else noise)
