"""What text generation asks of a model: scores of tokens, and how likely tokens were replaced."""

import re
from typing import Protocol

import torch
from torch import Tensor

from fairseq_electra.electra.electric import Electric
from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.state import is_random
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.pretraining.symbols import SPECIAL_SYMBOL
from fairseq_electra.pretraining.wordpiece import LEADING, PAD_ID

UNUSED = re.compile(r"\[unused\d+\]")  # BERT's spare pieces, and import's names of rows that belong to none


class Networks(Protocol):
    """A generator, and maybe a discriminator, with one vocabulary of V entries.

    Attributes:
        mask: id of ``<mask>``.
        pad: id of padding.
    """

    mask: int
    pad: int

    def scores(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Score the vocabulary at positions; special symbols have minus infinity.

        Shapes: (B, T), (B, K) -> (B, K, V).
        """

    def replaced(self, tokens: Tensor) -> Tensor:
        """Compute the log-odds that each token was replaced. Shape: (B, T) -> (B, T)."""


class NetworksOfModels:
    """The networks of one or two pre-trained models.

    Args:
        model: a model with a generator.
        critic: a model with a discriminator and the same vocabulary; None: p(replaced) is not asked for.

    Raises:
        InputError: the model has no generator, the critic no discriminator, or their vocabularies differ.
    """

    def __init__(self, model: ElectraHubInterface, critic: ElectraHubInterface | None = None):
        self.model, self.critic = model, critic
        self._generator, self._discriminator = _generator_of(model), None
        self.mask, self.pad = model.mask, PAD_ID
        if critic is not None:
            self._discriminator = _discriminator_of(critic)
            if critic.symbols != model.symbols:
                raise InputError(
                    f"the critic has another vocabulary ({len(critic.symbols):,} entries) than the generator"
                    f" ({len(model.symbols):,}); use models that were trained on the same data folder"
                )
        special = {
            i
            for i, token in model.tokenizer.get_added_tokens_decoder().items()
            # an import keeps <|endoftext|> and the like as text
            if i < len(model.symbols) and (token.special or SPECIAL_SYMBOL.fullmatch(token.content))
        }
        special |= {i for i, symbol in enumerate(model.symbols) if UNUSED.fullmatch(symbol)}
        self._special = torch.tensor(sorted({*range(len(LEADING)), model.mask, *special}))

    @torch.no_grad()
    def scores(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """See :meth:`Networks.scores`."""
        logits = self._generator.generate(tokens, torch.zeros_like(tokens), _padding(tokens), positions)
        logits = logits.to(loss_dtype(logits.dtype))
        return logits.index_fill(-1, self._special.to(logits.device), float("-inf"))

    @torch.no_grad()
    def replaced(self, tokens: Tensor) -> Tensor:
        """See :meth:`Networks.replaced`."""
        assert self._discriminator is not None, "no critic was given"
        logits = self._discriminator.discriminate(tokens, torch.zeros_like(tokens), _padding(tokens))
        return logits.to(loss_dtype(logits.dtype))


def _padding(tokens: Tensor) -> Tensor | None:
    padding = tokens == PAD_ID
    return padding if bool(padding.any()) else None


def _generator_of(model: ElectraHubInterface) -> Generator:
    net = model.model
    if isinstance(net, EncoderWithHeads):
        raise InputError(
            "a fine-tuned checkpoint has no generator to write text with; give the pre-training checkpoint"
        )
    if isinstance(net, Electric) or not isinstance(net, Generator):
        raise InputError(
            "the checkpoint has no generator, as it was trained with --objective unigram, uniform or"
            " electric; give one that was trained with --objective electra or mlm"
        )
    if is_random("generator", model.initialised):
        raise InputError(
            "the folder of transformers has no generator, or one without its head; name the generator's"
            " folder, or give the run's own checkpoint"
        )
    return net


def _discriminator_of(critic: ElectraHubInterface) -> Discriminator:
    net = critic.model
    if (
        not isinstance(net, Discriminator)
        or isinstance(net, Electric)
        or is_random("discriminator_head", critic.initialised)
    ):
        raise InputError(
            "--critic and --candidates need a discriminator that tells replaced tokens, and this checkpoint"
            " has none; name one that has: --critic-from CHECKPOINT"
        )
    return net
