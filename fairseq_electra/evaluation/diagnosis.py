"""Is pre-training going well? The trivial baselines, and advice in words when a run goes the known wrong ways."""

from dataclasses import dataclass, field

import numpy as np

CHANCE_AUC = 0.55
PATIENCE = 1000  # updates before silence at the start counts as a failure


@dataclass(frozen=True)
class Unigram:
    """What a generator reaches that knows only how frequent each piece is. ``loss`` in nats, ``accuracy`` a share of 1."""

    loss: float
    accuracy: float


def unigram_baseline(ids: np.ndarray, dictionary) -> Unigram:
    """Score the best constant guess on the text itself; special symbols do not count, as they are never masked.

    Args:
        ids: the text. Shape: (number of ids,).
        dictionary: fairseq's.
    """
    counts = np.zeros(len(dictionary), np.int64)
    for start in range(0, len(ids), 1 << 24):
        counts += np.bincount(ids[start : start + (1 << 24)], minlength=len(dictionary))[: len(dictionary)]
    counts[[dictionary.bos(), dictionary.pad(), dictionary.eos(), len(dictionary) - 1]] = 0
    share = counts[counts > 0] / max(counts.sum(), 1)
    return Unigram(float(-(share * np.log(share)).sum()), float(share.max(initial=0.0)))


@dataclass
class Diagnosis:
    """Follows the validations of one run, on the first of its validation sets."""

    unigram: dict[str, Unigram] = field(default_factory=dict)
    best_auc: float = 0.0
    last_update: float = -1.0

    def advice(self, stats: dict) -> list[str]:
        """Return the sentences that the latest validation calls for, none if all is well.

        Args:
            stats: metrics by name, with ``num_updates``.
        """
        lines: list[str] = []
        updates, auc = stats.get("num_updates", 0), _number(stats.get("disc_auc"))
        # not masked_lm_accuracy: some masked tokens are left visible, and copying them is learnt at once
        accuracy, replaced = _number(stats.get("mask_token_accuracy")), _number(stats.get("replaced_rate"))
        if updates == self.last_update:  # the next of several validation sets
            return lines
        self.last_update = updates
        floor = next(iter(self.unigram.values()), None)
        if updates >= PATIENCE and floor and accuracy < 1.05 * floor.accuracy:
            lines.append(
                f"the generator is no better than piece frequencies after {updates} updates (mask_token_accuracy {accuracy:.4f}, "
                f"unigram {floor.accuracy:.4f}): try --positions rotary, shorter rows, or half the learning rate"
            )
        elif updates >= PATIENCE and auc < CHANCE_AUC:
            lines.append(
                f"the discriminator is at chance after {updates} updates (disc_auc {auc:.3f}; a disc_loss near "
                f"{_entropy(replaced):.3f} is only the base rate): try a smaller generator, half the learning rate or a longer warm-up"
            )
        if self.best_auc - auc > 0.05:
            lines.append(
                f"the generator outruns the discriminator: disc_auc fell from {self.best_auc:.3f} to {auc:.3f} while {replaced:.1%} of "
                "the tokens are replaced: try a smaller --generator-hidden-size, --temperature above 1 or a larger --disc-weight"
            )
        self.best_auc = max(self.best_auc, auc)
        return lines


def _number(value: object) -> float:
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]


def _entropy(share: float) -> float:
    """Cross-entropy, in nats, of always guessing the base rate."""
    return float(-(share * np.log(share) + (1 - share) * np.log1p(-share))) if 0 < share < 1 else 0.0
