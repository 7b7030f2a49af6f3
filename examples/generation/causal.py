"""A causal language model of fairseq's ``language_modeling``: perplexity of texts, and texts of its own.

python -m generation.causal causal data-bin --samples 200 --length 64 --output causal.jsonl
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fairseq_electra
from fairseq_electra.checkpoints import find_checkpoint
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_write
from fairseq_electra.generation.detokenize import Detokenizer
from fairseq_electra.generation.distribution import token_probabilities
from fairseq_electra.generation.settings import Settings
from fairseq_electra.paths import CHECKPOINT, require
from fairseq_electra.pretraining.pieces import pieces_of_symbols
from fairseq_electra.pretraining.wordpiece import LEADING
from generation import positive_integer, run

BATCH_SIZE = 32


class CausalModel:
    """A trained model, and the vocabulary of the data that it was trained on.

    Every text stands behind ``</s>``, as the lines of binarized text do.

    Args:
        checkpoint: what ``fairseq-train --task language_modeling`` saved: a file, or its folder.
        data: folder with ``dict.txt``.
    """

    def __init__(self, checkpoint: str | Path, data: str | Path):
        from fairseq import checkpoint_utils
        from fairseq.tasks.language_modeling import LanguageModelingTask

        found = find_checkpoint(checkpoint)
        require(CHECKPOINT, found)
        fairseq_electra.register()
        (self.model,), _, task = checkpoint_utils.load_model_ensemble_and_task(
            [str(found)], arg_overrides={"data": str(data)}
        )
        if not isinstance(task, LanguageModelingTask):
            raise InputError(
                f"{checkpoint} was not trained with --task language_modeling; give a causal language model"
            )
        self.dictionary: Any = task.source_dictionary
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device).eval()

    @torch.no_grad()
    def _logits(self, tokens: Tensor) -> Tensor:
        """Score each next token. Shapes: (B, T) -> (B, T, V), float32."""
        return self.model(tokens)[0].float()

    def negative_log_likelihoods(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Compute the negative log-likelihood of each text, in nats; the end of the text is not predicted.

        Args:
            texts: ids, no special symbols among them; at least one in each text.
        """
        found = [0.0] * len(texts)
        eos, pad = self.dictionary.eos(), self.dictionary.pad()
        for numbers in _batches_of_one_length([len(text) for text in texts]):
            target = torch.tensor([texts[i] for i in numbers], device=self.device)
            read = torch.cat([torch.full_like(target[:, :1], eos), target[:, :-1]], 1)
            losses = torch.nn.functional.cross_entropy(
                self._logits(read).transpose(1, 2), target, reduction="none", ignore_index=pad
            )
            for i, loss in zip(numbers, losses.double().sum(1).tolist(), strict=True):
                found[i] = loss
        return found

    def perplexity(self, texts: Sequence[Sequence[int]]) -> float:
        """Compute the exponential of the mean negative log-likelihood of a token, over all texts."""
        return math.exp(sum(self.negative_log_likelihoods(texts)) / sum(map(len, texts)))

    def sample(self, number: int, length: int, settings: Settings) -> list[list[int]]:
        """Draw texts of a fixed length from left to right; special symbols are never drawn.

        Args:
            number: number of texts.
            length: number of tokens of each.
            settings: temperature, top-k, top-p and seed; the rest is not read.
        """
        random = torch.Generator(self.device).manual_seed(settings.seed)
        special = torch.tensor([*range(len(LEADING)), len(self.dictionary) - 1], device=self.device)
        texts: list[list[int]] = []
        while len(texts) < number:
            rows = min(BATCH_SIZE, number - len(texts))
            tokens = torch.full((rows, 1), self.dictionary.eos(), device=self.device)
            for _ in range(length):
                logits = self._logits(tokens)[:, -1].index_fill(-1, special, float("-inf"))
                drawn = torch.multinomial(token_probabilities(logits, settings), 1, generator=random)
                tokens = torch.cat([tokens, drawn], 1)
            texts += tokens[:, 1:].tolist()
        return texts


def _batches_of_one_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    for length in sorted(set(lengths)):
        numbers = np.flatnonzero(np.array(lengths) == length).tolist()
        for first in range(0, len(numbers), BATCH_SIZE):
            yield numbers[first : first + BATCH_SIZE]


def main() -> None:
    """Write texts of the model, as ``fairseq-electra generate --json`` writes them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="checkpoint of fairseq-train --task language_modeling, or its folder")
    parser.add_argument("data", help="data folder with dict.txt")
    parser.add_argument(
        "--samples", type=positive_integer, default=200, help="number of texts (default: %(default)s)"
    )
    parser.add_argument(
        "--length", type=positive_integer, default=64, help="tokens of each (default: %(default)s)"
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the scores")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from the likeliest tokens alone")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument("--language", default="en", help="language of the text (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="FILE", help="file for JSON lines")
    args = parser.parse_args()
    settings = Settings(temperature=args.temperature, top_p=args.top_p, seed=args.seed)
    causal = CausalModel(args.model, args.data)
    symbols = causal.dictionary.symbols
    detokenize = Detokenizer(pieces_of_symbols(symbols), args.language)
    with atomic_write(args.output) as stream:
        for ids in causal.sample(args.samples, args.length, settings):
            tokens = [{"id": i, "token": symbols[i], "generated": True} for i in ids]
            text = detokenize([symbols[i] for i in ids])
            stream.write(json.dumps({"text": text, "tokens": tokens}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    run(main)
