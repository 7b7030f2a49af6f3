"""Folders of transformers with random weights, in other orders than ours, and a fine-tuned model of ours."""

import dataclasses
import functools

import pytest

from fairseq_electra.finetuning.encoder import EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD
from tests.helpers.fine_tuned import HEADS, LONGEST, POSITIONS
from tests.helpers.small_model import NET, randomize_parameters
from tests.helpers.transformers_models import in_their_order, save_theirs


@pytest.fixture(scope="session")
def their_pieces(vocabulary) -> list[str]:
    return in_their_order(vocabulary)


@pytest.fixture
def make_theirs(tmp_path, their_pieces):
    return functools.partial(save_theirs, tmp_path / "theirs", their_pieces)


@pytest.fixture
def tuned(pretrained):
    """A fine-tuned model with random weights, rows of at most LONGEST tokens, and more positions."""

    def make(kind=PREDICTION, positions="learned", **changes):
        start, (head, labels) = pretrained(), HEADS[kind]
        options = {**NET, "model_size": "tiny", "positions": positions, "max_position_embeddings": POSITIONS}
        model = EncoderWithHeads(**encoder_arguments(options, len(start.symbols)))
        model.register_head(SENTENCE_HEAD, head())
        randomize_parameters(model, std=0.2)
        info = TaskInfo("x", kind, 1, tuple(labels), (), LONGEST, stride=5, max_question=4, unanswerable=True)
        return dataclasses.replace(
            start,
            model=model.eval(),
            labels={SENTENCE_HEAD: labels},
            task=dataclasses.replace(info, **changes),
        )

    return make
