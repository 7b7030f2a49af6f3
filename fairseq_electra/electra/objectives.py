"""Objectives of pre-training: which model is trained by which loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fairseq_electra.electra import losses
from fairseq_electra.electra.adversarial import AdversarialElectra
from fairseq_electra.electra.electric import Electric
from fairseq_electra.electra.frozen_generator import FrozenGeneratorElectra
from fairseq_electra.electra.language_models import (
    AllTokensMLM,
    AllTokensMLMWithoutCopy,
    CorruptedTextModel,
    ReplaceMLM,
)
from fairseq_electra.electra.model import Discriminator, Electra, Generator, MaskedLanguageModel
from fairseq_electra.electra.random_substitution import RandomSubstitution


@dataclass(frozen=True)
class Objective:
    """A way to pre-train.

    Args:
        model: the class of the model that it trains.
        sums: function that computes the loss and the counts; arguments and result as :func:`.losses.electra`.
        help: what it is, for the help of ``--objective``.
        disc_weight: the weight of the main encoder's loss, unless another one is given.
        random_tokens: the distribution that a model without a generator draws from.
    """

    model: type[Generator] | type[Discriminator]
    sums: Callable[..., dict[str, Tensor]]
    help: str
    disc_weight: float = 50.0
    random_tokens: Literal["uniform", "unigram"] | None = None

    @property
    def has_discriminator(self) -> bool:
        """Whether the model has an encoder beside the generator; fine-tuning then starts from it."""
        return issubclass(self.model, Discriminator)

    @property
    def has_generator(self) -> bool:
        """Whether tokens are predicted by a generator."""
        return issubclass(self.model, Generator)

    @property
    def trains_generator(self) -> bool:
        """Whether the generator learns."""
        return self.has_generator and not issubclass(self.model, FrozenGeneratorElectra)

    @property
    def has_noise_model(self) -> bool:
        """Whether a noise model, of two encoders of the generator's sizes, predicts tokens."""
        return issubclass(self.model, Electric)

    @property
    def predicts_originals(self) -> bool:
        """Whether the main encoder predicts the original tokens."""
        return issubclass(self.model, CorruptedTextModel)

    @property
    def detects(self) -> bool:
        """Whether the main encoder predicts which tokens were replaced."""
        return self.has_discriminator and getattr(self.model, "has_copy_head", True)


OBJECTIVES = {
    "electra": Objective(Electra, losses.electra, "replaced-token detection"),
    "electra_at_masked": Objective(
        Electra, losses.electra_at_masked, "the same with the discriminator's loss at masked tokens alone"
    ),
    "adversarial": Objective(
        AdversarialElectra,
        losses.adversarial,
        "a generator that is trained to fool the discriminator, by REINFORCE",
    ),
    "frozen_generator": Objective(
        FrozenGeneratorElectra, losses.frozen_generator, "detection beside the generator of --generator-from"
    ),
    # the loss of predicting a token is as large as the generator's, so it weighs as much
    "all_tokens_mlm": Objective(
        AllTokensMLM,
        losses.all_tokens_mlm,
        "predict the original of every token, or copy it",
        disc_weight=1.0,
    ),
    "all_tokens_mlm_without_copy": Objective(
        AllTokensMLMWithoutCopy, losses.all_tokens_mlm, "predict the original of every token", disc_weight=1.0
    ),
    "replace_mlm": Objective(
        ReplaceMLM, losses.replace_mlm, "predict the original of the replaced tokens", disc_weight=1.0
    ),
    "unigram": Objective(
        RandomSubstitution,
        losses.detection,
        "detection of random tokens, drawn by frequency",
        random_tokens="unigram",
    ),
    "uniform": Objective(
        RandomSubstitution, losses.detection, "detection of random tokens", random_tokens="uniform"
    ),
    "electric": Objective(
        Electric,
        losses.electric,
        "energies of all tokens, by noise-contrastive estimation beside a two-tower model",
    ),
    "mlm": Objective(
        MaskedLanguageModel,
        losses.masked_lm,
        "a masked language model of the sizes named, without a discriminator",
    ),
}
