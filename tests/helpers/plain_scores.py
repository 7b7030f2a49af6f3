"""Scores of the tokens of a sentence by plain loops: one token at a time, in NumPy."""

import math

import numpy as np
import torch


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@torch.no_grad()
def generator_tokens(net, sentence: str) -> list[float]:
    """Mask one token after the other, and run the generator's parts on all of the row."""
    model, ids = net.model, net.encode(sentence).tolist()
    found = []
    for i in range(1, len(ids) - 1):
        row = torch.tensor([[*ids[:i], len(net.symbols) - 1, *ids[i + 1 :]]])
        hidden = model.extract_generator_features(row, torch.zeros_like(row), None)
        scores = model.generator_head(hidden, model.generator_tokens.weight)[0, i].numpy()
        found.append(math.log(softmax(scores)[ids[i]]))
    return found


@torch.no_grad()
def discriminator_tokens(net, sentence: str, objective: str = "electra") -> list[float]:
    """Compute the log-probability that each token was not replaced, or that of the token itself."""
    model, row = net.model, net.encode(sentence)[None]
    hidden = model.extract_features(row, torch.zeros_like(row), None)
    found = []
    for i in range(1, row.shape[1] - 1):
        probability, replaced = 0.0, 1.0
        if objective in ("replace_mlm", "all_tokens_mlm"):
            scores = model.language_head(hidden, model.embeddings.tokens.weight)[0, i].numpy()
            probability = softmax(scores)[int(row[0, i])]
        if objective != "replace_mlm":
            replaced = 1 / (1 + math.exp(-float(model.discriminator_head(hidden)[0, i])))
        found.append(math.log(1 - replaced + replaced * probability))
    return found


@torch.no_grad()
def energy_tokens(net, sentence: str) -> list[float]:
    """Compute the negative energy of each token."""
    row = net.encode(sentence)[None]
    energies = net.model.discriminator_head(net.model.extract_features(row, torch.zeros_like(row), None))
    return [-float(energy) for energy in energies[0, 1:-1]]
