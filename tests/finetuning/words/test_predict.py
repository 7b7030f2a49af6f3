"""Tags of words: legal sequences for entities, the highest scores for tags that were kept as they are."""

import types

import pytest
import torch

from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.words import TAGGING, predict
from fairseq_electra.finetuning.words.predict import TagPredictor

LABELS = ("O", "B-X", "I-X")


@pytest.mark.parametrize(
    ("scheme", "tags", "entities"), [("BIO", ["B-X", "I-X", "I-X"], 1), ("none", ["I-X", "I-X", "I-X"], 0)]
)
def test_tags_that_were_kept_as_they_are_are_those_of_the_highest_scores(monkeypatch, scheme, tags, entities):
    def scores(model, head, rows):
        place = torch.arange(3).float()[:, None]
        return torch.cat([place, torch.zeros(3, 1), torch.tensor([[0.0, 1.0, 2.0]]).expand(3, 3)], 1)

    monkeypatch.setattr(
        predict, "encode_words", lambda tokenizer, texts, *_: [[[5]] * len(each) for each in texts]
    )
    monkeypatch.setattr(predict, "word_scores", scores)
    tuned = types.SimpleNamespace(
        kind=TAGGING,
        labels={"head": list(LABELS)},
        max_length=64,
        tokenizer=None,
        task=TaskInfo("x", TAGGING, 1, LABELS, (), 64, scheme=scheme),
        model=None,
        batches=lambda rows: [rows],
    )
    (answer,) = TagPredictor(tuned, "head")(["a b c"])
    assert answer["tags"] == tags and len(answer["entities"]) == entities
