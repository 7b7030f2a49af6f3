"""ELECTRA's loss: the generator's masked-language-model loss and the discriminator's, over one denominator."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from fairseq_electra.electra.fast.cross_entropy import cross_entropy, precise
from fairseq_electra.errors import InputError
from fairseq_electra.models.electra import ElectraOutput
from fairseq_electra.pretraining.metrics import log_metrics, score_histogram


@dataclass
class ReplacedTokenDetectionConfig(FairseqDataclass):
    """Options of ``--criterion replaced_token_detection``."""

    gen_weight: float = field(default=1.0, metadata={"help": "weight of the generator's loss"})
    disc_weight: float = field(default=50.0, metadata={"help": "weight of the discriminator's loss (the paper's lambda)"})


@register_criterion("replaced_token_detection", dataclass=ReplacedTokenDetectionConfig)
class ReplacedTokenDetection(FairseqCriterion):
    """``gen_weight * mlm_sum + disc_weight * share * rtd_sum`` over the number of masked tokens. In nats.

    mlm_sum is the cross-entropy summed over masked tokens, rtd_sum the binary cross-entropy summed over all tokens but padding.
    share, masked tokens by all tokens of the training text (:mod:`fairseq_electra.tasks._masked_share`), stands for the ratio of the two
    counts in a batch, so this is ELECTRA's ``gen_weight * mean + disc_weight * mean`` (Clark et al. 2020 section 2) in a form that adds
    up: the same rows in one batch, in two, or on two ranks give the same gradient.
    """

    def __init__(self, cfg: ReplacedTokenDetectionConfig, task):
        super().__init__(task)
        for name in ("gen_weight", "disc_weight"):
            if getattr(cfg, name) < 0:
                raise InputError(f"--{name.replace('_', '-')} must not be negative, got {getattr(cfg, name)}")
        self.gen_weight, self.disc_weight = cfg.gen_weight, cfg.disc_weight
        self.pad, self.mask = task.source_dictionary.pad(), task.source_dictionary.index("<mask>")
        self.unk = task.source_dictionary.unk()

    @property
    def share(self) -> float:
        """Masked tokens by all tokens; not known before fairseq has loaded the training text, which it does after it builds this."""
        return self.task.masked_share.value

    def forward(self, model, sample: dict, reduce: bool = True) -> tuple[Tensor, int, dict]:
        """Compute the loss of a batch.

        Returns:
            the summed loss, the number of masked tokens (fairseq divides the gradient by it), and sums for the log.
        """
        net_input = sample["net_input"]
        loss, sums = self.score(model(**net_input), net_input, sample["target"], self.training)
        log = {"sample_size": sample["nmasked"], "ntokens": sample["ntokens"], "nsentences": sample["nsentences"], **sums}
        return loss, sample["nmasked"], log

    def compile_score(self, **options: Any) -> None:
        """Put :meth:`score` under ``torch.compile``, options as there; the network is compiled apart, within what distributes it."""
        self.score = torch.compile(self.score, **options)  # type: ignore[method-assign]

    def score(
        self, output: ElectraOutput, net_input: dict[str, Tensor], target: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the summed loss of a batch, and sums for the log. Shape of ``target``: (B, K)."""
        padding_mask, used = net_input["padding_mask"], target != self.pad
        scores = cross_entropy(output.gen_logits, target, output.gen_probs)
        mlm_sum = scores.nll.masked_fill(~used, 0.0).sum()
        loss = self.gen_weight * mlm_sum
        sums = {"masked_lm_sum": mlm_sum.detach(), **self._generator_counts(scores.best, output, net_input, target, used)}
        if not training:  # one more pass over all scores
            logprobs = output.gen_logits.detach().log_softmax(-1, dtype=torch.float32)
            sums["gen_entropy_sum"] = -((logprobs.exp() * logprobs).sum(-1) * used).sum()
        if output.disc_logits is not None:
            assert output.is_replaced is not None  # they come together
            disc_logits = output.disc_logits.to(precise(output.disc_logits.dtype))
            rtd = F.binary_cross_entropy_with_logits(disc_logits, output.is_replaced.to(disc_logits.dtype), reduction="none")
            rtd_sum = rtd.masked_fill(padding_mask, 0.0).sum()
            loss = loss + self.disc_weight * self.share * rtd_sum
            sums |= {"disc_sum": rtd_sum.detach(), **_discriminator_counts(disc_logits.detach(), output.is_replaced, ~padding_mask)}
        return loss, {"loss": loss.detach(), **sums}

    def _generator_counts(self, best: Tensor, output, net_input: dict, target: Tensor, used: Tensor) -> dict[str, Tensor]:
        known = used & (target != self.unk)  # to guess <unk> is to know nothing, and it is learnt at once where there are many
        correct = (best == target) & known
        hidden = known & (net_input["src_tokens"].gather(1, net_input["masked_positions"]) == self.mask)
        counts = {
            "masked_unknown": (target == self.unk).sum(),
            "masked_lm_correct": correct.sum(),
            "mask_token_correct": (correct & hidden).sum(),
            "mask_token_count": hidden.sum(),
        }
        if output.corrupted_tokens is not None:
            sampled = output.corrupted_tokens.gather(1, net_input["masked_positions"])
            counts["sampled_correct"] = ((sampled == target) & known).sum()
        return counts

    @staticmethod
    def reduce_metrics(logging_outputs: list[dict]) -> None:
        """Log the metrics of all ranks' batches."""
        log_metrics(logging_outputs)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """All entries are sums, so ranks add theirs up before they are logged."""
        return True


def _discriminator_counts(logits: Tensor, is_replaced: Tensor, real: Tensor) -> dict[str, Tensor]:
    """Count hits and misses over the tokens that are not padding. All shapes (B, T)."""
    flagged = (logits > 0) & real
    return {
        "replaced": is_replaced.sum(),
        "flagged": flagged.sum(),
        "flagged_replaced": (flagged & is_replaced).sum(),
        "disc_histogram": score_histogram(logits, is_replaced, real),
    }
