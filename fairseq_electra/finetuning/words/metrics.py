"""Tags of words: their scores, which sequence is chosen, and what it is worth, entities by seqeval."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fairseq_electra.finetuning.evaluation import Evaluation
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.tuned_model import TunedModel
from fairseq_electra.finetuning.words.folder import TagFolder
from fairseq_electra.finetuning.words.rows import TagRows
from fairseq_electra.finetuning.words.tags import (
    PLAIN_TAG_METRICS,
    TAG_METRICS,
    Transitions,
    decode,
    in_bioes,
    legal_transitions,
)
from fairseq_electra.pretraining.binarized import load_dictionary


@torch.no_grad()
def word_scores(model, head: str, batch: dict) -> Tensor:
    """Score the tags of a batch's words.

    Args:
        model: an encoder with a head for tokens.
        head: its name.
        batch: of :class:`fairseq_electra.finetuning.words.rows.TagRows`.

    Returns:
        for each word that is scored in these rows: row, column, and the log-probability of each tag. Shape:
            (words, 2 + K), float32.
    """
    scores, _ = model(**batch["net_input"], classification_head_name=head)
    return words_of(scores, batch)


def words_of(scores: Tensor, batch: dict) -> Tensor:
    """Pick the words out of all pieces' scores, (B, T, K); result as :func:`word_scores`."""
    row, column = (batch["target"] >= 0).nonzero(as_tuple=True)
    keys = torch.stack([batch["id"][row], column], 1).float()  # numbers stay exact up to 2^24
    return torch.cat([keys, scores[row, column].float().log_softmax(-1)], 1)


def in_order(words: np.ndarray) -> np.ndarray:
    """Return the log-probabilities of words, (words, K), in the order of the text.

    ``words``, (words, 2 + K), has the words of all rows in any order, as :func:`word_scores` returns them.
    """
    return words[np.lexsort((words[:, 1], words[:, 0])), 2:]


def tags_of_words(
    scores: np.ndarray, sentence: np.ndarray, transitions: Transitions | None = None
) -> np.ndarray:
    """Choose the best tag of each word, or the best legal sequence of each sentence.

    Args:
        scores: log-probabilities of words in the order of the text. Shape: (words, K).
        sentence: of each its number. Shape: (words,).
        transitions: what is legal; None: everything.

    Returns:
        tags. Shape: (words,).
    """
    if transitions is None or not len(scores):
        return scores.argmax(-1)
    parts = np.split(scores, np.flatnonzero(np.diff(sentence)) + 1)
    return np.concatenate([decode(part, transitions) for part in parts])


def score_tags(
    predicted: np.ndarray, target: np.ndarray, sentence: np.ndarray, labels: tuple[str, ...]
) -> dict[str, float]:
    """Score tags by entities, as conlleval does: a broken one counts as it can be read. In per cent.

    Args:
        predicted: predicted tags. Shape: (words,).
        target: right tags. Shape: (words,).
        sentence: of each word its number. Shape: (words,).
        labels: the tags' names.

    Returns:
        ``entity_f1``, ``entity_precision``, ``entity_recall`` over all entities, and ``accuracy`` over words.

    Source: seqeval.metrics, default mode.
    """
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    bounds = np.flatnonzero(np.diff(sentence)) + 1
    spelt = in_bioes(labels)  # seqeval would take the L and U of BILOU for tags outside
    ours, gold = (
        [[spelt[i] for i in part] for part in np.split(tags, bounds)] for tags in (predicted, target)
    )
    precision, recall, f1, _ = precision_recall_fscore_support(gold, ours, average="micro", zero_division=0)
    scores = {
        "entity_f1": f1,
        "entity_precision": precision,
        "entity_recall": recall,
        "accuracy": (predicted == target).mean(),
    }
    return {name: 100 * float(value) for name, value in scores.items()}


def score_words(
    scores: np.ndarray,
    target: np.ndarray,
    sentence: np.ndarray,
    labels: tuple[str, ...],
    metrics: Sequence[str] = TAG_METRICS,
) -> dict[str, float]:
    """Score words by the log-probabilities of their tags.

    Args:
        scores: in the order of the text. Shape: (words, K).
        target: right tags. Shape: (words,).
        sentence: of each word its number. Shape: (words,).
        labels: the tags' names.
        metrics: of the task, which tell whether its tags are those of entities.

    Returns:
        as :func:`score_tags`, and ``legal_f1``, the F1 of the best legal sequences; of other tags than those
        of entities ``accuracy`` and ``macro_f1``. In per cent.
    """
    if tuple(metrics) == PLAIN_TAG_METRICS:
        return score(metrics, scores, target)
    legal = score_tags(tags_of_words(scores, sentence, legal_transitions(labels)), target, sentence, labels)
    return score_tags(scores.argmax(-1), target, sentence, labels) | {"legal_f1": legal["entity_f1"]}


def score_split(
    folder: TagFolder, scores: np.ndarray, labels: tuple[str, ...], metrics: Sequence[str] = TAG_METRICS
) -> dict[str, float]:
    """Score a split by the log-probabilities of its words, (words, K); as :func:`score_words`."""
    return score_words(scores, *folder.targets, labels, metrics)


class TagEvaluation(Evaluation):
    """Scores are log-probabilities of all words' tags: (words, K)."""

    def scores(self, tuned: TunedModel, split: str) -> np.ndarray:
        """Score the split's words."""
        rows = TagRows(self._folder(split), split)
        scores = [
            word_scores(tuned.model, next(iter(tuned.labels)), batch).cpu() for batch in tuned.batches(rows)
        ]
        return in_order(torch.cat(scores).numpy())

    def metrics(
        self, split: str, scores: np.ndarray, valid: np.ndarray | None = None
    ) -> dict[str, float] | None:
        """Compare with the tags, where there are any; nothing has to be chosen on valid."""
        if split in self.info.unlabelled:
            return None
        return score_split(self._folder(split), scores, self.info.labels, self.info.metrics)

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return the tags of the words."""
        return scores.argmax(-1)

    def _folder(self, split: str) -> TagFolder:
        return TagFolder(
            self.folder, split, len(load_dictionary(self.folder / "input0")), len(self.info.labels)
        )
