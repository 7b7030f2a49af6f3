"""A tag for every word: entities, chunks, parts of speech."""

import math
from functools import partial
from typing import Any

import torch
from fairseq.logging import metrics
from fairseq.tasks import register_task
from torch import nn

from fairseq_electra.data.tag_folder import TagFolder
from fairseq_electra.data.tag_rows import TagRows
from fairseq_electra.data.task_info import TAGGING
from fairseq_electra.evaluation.tagging import in_order, score_split, word_scores
from fairseq_electra.modules.heads import TokenHead
from fairseq_electra.tasks._prepared_folder import PreparedFolderConfig, PreparedFolderTask


@register_task(TAGGING, dataclass=PreparedFolderConfig)
class TokenClassificationTask(PreparedFolderTask):
    """Tagging by the first piece of each word (Clark et al. 2020, and Devlin et al. 2019, section 5.3)."""

    kind = TAGGING

    def build_head(self, model) -> nn.Module:
        """Make the head."""
        return TokenHead(model.sizes.hidden_size, len(self.info.labels), model.head_dropout)

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any) -> TagRows:
        """Map a split."""
        self.check_split(split)
        folder = TagFolder(self.cfg.data, split, len(self.dictionary), len(self.info.labels))
        self.datasets[split] = TagRows(folder, split, self.cfg.seed, shuffle=split == self.cfg.train_subset)
        return self.datasets[split]

    def valid_step(self, sample: dict, model, criterion):
        """Find the loss and the scores of words, as :func:`in_order` takes them, under ``words``."""
        loss, sample_size, log = super().valid_step(sample, model, criterion)
        found = word_scores(model, self.cfg.classification_head_name, sample)
        return loss, sample_size, log | {"words": found.cpu(), "split": sample["split"]}

    def reduce_metrics(self, logging_outputs: list[dict], criterion) -> None:
        """Log the scores of all sentences, whichever process tagged them."""
        super().reduce_metrics(logging_outputs, criterion)
        found = [log["words"] for log in logging_outputs if "words" in log]
        if found:
            metrics.log_concat_tensor("_words", torch.cat(found))
            folder = self.datasets[logging_outputs[0]["split"]].words
            for name in self.info.metrics:
                metrics.log_derived(name, partial(self._score, folder, name))

    def _score(self, folder: TagFolder, name: str, meters: dict) -> float:
        words = meters["_words"].tensor
        if len(words) < len(folder.targets[0]):
            return math.nan  # fairseq asks after every batch as well
        scores = in_order(words.numpy())
        return round(score_split(folder, scores, self.info.labels)[name], 2)
