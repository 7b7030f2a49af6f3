"""ELECTRA's loss: that of the generator and that of the discriminator, over one denominator."""

import math
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from fairseq_electra.electra.losses import LossWeights, MaskedBatch, SpecialIds, entropy_sum
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.metrics import log_metrics
from fairseq_electra.pretraining.score_histogram import score_histogram
from fairseq_electra.pretraining.unread_options import refuse_unread_options


@dataclass
class ReplacedTokenDetectionConfig(FairseqDataclass):
    """Options of ``--criterion replaced_token_detection``."""

    gen_weight: float = field(default=1.0, metadata={"help": "weight of the generator's loss"})
    disc_weight: Optional[float] = field(
        default=None,
        metadata={
            "help": (
                "weight of the discriminator's loss, or the main encoder's (the paper's lambda); default: 50,"
                " of language models 1"
            )
        },
    )
    z_loss: float = field(
        default=0.0,
        metadata={
            "help": (
                "weight of (log Z)^2 of the generator's scores, which keeps them from growing without bound;"
                " PaLM: 1e-4"
            )
        },
    )


@register_criterion("replaced_token_detection", dataclass=ReplacedTokenDetectionConfig)
class ReplacedTokenDetection(FairseqCriterion):
    """``gen_weight * mlm_sum + disc_weight * share * rtd_sum`` over the number of masked tokens. In nats.

    That is the loss of ``--objective electra``; :mod:`fairseq_electra.electra.losses` has the others.

    mlm_sum is the cross-entropy summed over masked tokens, rtd_sum the binary cross-entropy summed over all
    tokens but padding. share, masked tokens by all tokens of the training text
    (:mod:`fairseq_electra.tasks._masked_share`), stands for the ratio of the two counts in a batch, so this
    is ELECTRA's ``gen_weight * mean + disc_weight * mean`` (Clark et al. 2020 section 2) in a form that adds
    up: the same rows in one batch, in two, or on two ranks give the same gradient.

    With a masking rate drawn for each row, masked tokens weigh one over it, and the sum of the weights takes
    the place of the number of masked tokens.

    ``--z-loss`` is the weight of :func:`fairseq_electra.electra.losses.z_loss`, a sum over masked tokens.
    """

    def __init__(self, cfg: ReplacedTokenDetectionConfig, task):
        super().__init__(task)
        default = task.objective.disc_weight
        self.gen_weight = cfg.gen_weight
        self.disc_weight = default if cfg.disc_weight is None else cfg.disc_weight
        self.z_loss = cfg.z_loss
        for name in ("gen_weight", "disc_weight", "z_loss"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"--{name.replace('_', '-')} must be a number of 0 or more, got {getattr(cfg, name)}"
                )
        refuse_unread_options(task.objective, cfg, ReplacedTokenDetectionConfig)
        dictionary = task.source_dictionary
        self.ids = SpecialIds(dictionary.pad(), dictionary.unk(), dictionary.index("<mask>"))
        self.compute = self.loss_of

    def forward(self, model, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Compute the loss of a batch.

        Returns:
            the summed loss, the number of masked tokens or the sum of their weights (fairseq divides the
            gradient by it), and sums for the log.
        """
        net_input = sample["net_input"]
        batch = MaskedBatch(
            net_input["src_tokens"],
            net_input["padding_mask"],
            net_input["masked_positions"],
            sample["target"],
            sample.get("row_weights"),
        )
        size = sample.get("nweighted", sample["nmasked"])
        loss, sums = self.compute(model(**net_input), batch, self.training)
        log = {
            "sample_size": size,
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            **sums,
        }
        if batch.row_weights is not None:
            log["unmasked_in_size"] = size - sample["nmasked"]
        return loss, size, log

    def compile_loss(self, **options: Any) -> None:
        """Compile the loss; options as those of ``torch.compile``. The model is compiled by itself."""
        self.compute = torch.compile(self.loss_of, **options)

    def loss_of(self, output: Any, batch: MaskedBatch, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the summed loss of a batch, and sums for the log; ``output`` is the model's."""
        gen, disc, share = self.gen_weight, self.disc_weight, self.task.masked_share.of_loss(training)
        weights = LossWeights(gen, disc * share, disc, gen_at_all=gen * share, z=self.z_loss)
        sums = self.task.objective.sums(output, batch, self.ids, weights)
        if "flagged" in sums:
            logits = output.disc_logits.detach()
            sums["disc_histogram"] = score_histogram(logits, output.is_replaced, ~batch.padding_mask)
        if not training and self.task.objective.has_generator:  # one more pass over all scores
            sums["gen_entropy_sum"] = entropy_sum(output.gen_logits, batch.target != self.ids.pad)
        return sums["loss"], sums | {"loss": sums["loss"].detach()}

    @staticmethod
    def reduce_metrics(logging_outputs: list[dict]) -> None:
        """Log the metrics of all ranks' batches."""
        log_metrics(logging_outputs)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """All entries are sums, so ranks add theirs up before they are logged."""
        return True
