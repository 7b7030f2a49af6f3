"""How much texts differ from each other: distinct n-grams, and self-BLEU."""

from collections.abc import Sequence

MAX_REFERENCES = 100


def distinct(texts: Sequence[Sequence[str]], size: int) -> float:
    """Compute the share of different n-grams among all n-grams of texts; 0 if there is none.

    Args:
        texts: the words, or other tokens, of each text.
        size: length of the n-grams, n.

    Source: Li et al. 2016 (arXiv 1510.03055).
    """
    ngrams = [tuple(text[i : i + size]) for text in texts for i in range(len(text) - size + 1)]
    return len(set(ngrams)) / max(len(ngrams), 1)


def self_bleu(texts: Sequence[str]) -> float:
    """Compute the mean BLEU of each text against others, in per cent: the lower, the more diverse.

    BLEU is sacrebleu's, of a sentence, with effective order. The references are the :data:`MAX_REFERENCES`
    texts that follow, from the first one again after the last, or all others if there are fewer.

    Args:
        texts: two texts or more.

    Source: Zhu et al. 2018 (Texygen, arXiv 1802.01886).
    """
    from sacrebleu.metrics import BLEU

    bleu = BLEU(effective_order=True)
    scores = []
    for i, text in enumerate(texts):
        others = [*texts[i + 1 :], *texts[:i]][:MAX_REFERENCES]
        scores.append(bleu.sentence_score(text, others).score)
    return sum(scores) / len(scores)


def diversity(texts: Sequence[str]) -> dict[str, float]:
    """Compute distinct-1 to distinct-3 of what stands between blanks, and self-BLEU of several texts."""
    words = [text.split() for text in texts]
    found = {f"distinct_{n}": distinct(words, n) for n in (1, 2, 3)}
    if len(texts) > 1:
        found["self_bleu"] = self_bleu(texts)
    return found
