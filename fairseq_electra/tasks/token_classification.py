"""Tagging of words: entities, chunks."""

import numpy as np
import torch
from fairseq.tasks import register_task
from torch import nn

from fairseq_electra.finetuning.rows import TaskRows
from fairseq_electra.finetuning.words import TAGGING
from fairseq_electra.finetuning.words.folder import TagFolder
from fairseq_electra.finetuning.words.head import TokenHead
from fairseq_electra.finetuning.words.metrics import in_order, score_split, words_of
from fairseq_electra.finetuning.words.rows import TagRows
from fairseq_electra.tasks._prepared_folder import PreparedFolderConfig, PreparedFolderTask


@register_task(TAGGING, dataclass=PreparedFolderConfig)
class TokenClassificationTask(PreparedFolderTask):
    """Tagging by the first piece of each word (Clark et al. 2020, and Devlin et al. 2019, section 5.3)."""

    kind, meter = TAGGING, "_words"
    unread_options = ("pooling",)

    def build_head(self, model) -> nn.Module:
        """Build the head."""
        return TokenHead(model.sizes.hidden_size, len(self.info.labels), model.head_dropout)

    def targets_of_train(self) -> np.ndarray | None:
        """Return the tags of all words of train, from 0 on, shape (words,), where the folder has a train."""
        if "train" not in self.info.examples:
            return None
        return TagFolder(self.cfg.data, "train", len(self.dictionary), len(self.info.labels)).targets[0]

    def rows(self, split: str) -> TagRows:
        """Open a split and return its rows."""
        folder = TagFolder(self.cfg.data, split, len(self.dictionary), len(self.info.labels))
        return TagRows(folder, split)

    def valid_step(self, sample: dict, model, criterion):
        """Compute the loss, and the scores of words under ``words`` (:func:`in_order`)."""
        model.eval()
        with torch.no_grad():
            scores, _ = model(
                **sample["net_input"], classification_head_name=self.cfg.classification_head_name
            )
            loss, sample_size, log = criterion.loss_of(scores, sample)
        return loss, sample_size, log | {"words": words_of(scores, sample).cpu(), "split": sample["split"]}

    def reduce_metrics(self, logging_outputs: list[dict], criterion) -> None:
        """Log the scores of all sentences, whichever process tagged them."""
        super().reduce_metrics(logging_outputs, criterion)
        results = [log["words"] for log in logging_outputs if "words" in log]
        if results:
            split = logging_outputs[0]["split"]
            self.log_scores(split, torch.cat(results), len(self.datasets[split].rows.words.targets[0]))

    def score(self, rows: TaskRows, gathered: np.ndarray) -> dict[str, float]:
        """Score the tags."""
        assert isinstance(rows, TagRows) and isinstance(rows.words, TagFolder)
        scores = in_order(gathered)
        self.warn_if_all_predictions_are_equal(
            scores.argmax(-1), lambda same: repr(self.info.labels[int(same[0])]), "words"
        )
        return score_split(rows.words, scores, self.info.labels, self.info.metrics)
