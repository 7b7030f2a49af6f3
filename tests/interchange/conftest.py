"""Folders of transformers with random weights, in other orders than ours, and a fine-tuned model of ours."""

import dataclasses
import functools

import pytest
from omegaconf import OmegaConf

from fairseq_electra.finetuning.kind import PREDICTION, TaskInfo
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD
from fairseq_electra.models._config import with_defaults
from fairseq_electra.models.electra_encoder import ElectraEncoder, ElectraEncoderConfig
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
    """A fine-tuned net with random weights, whose rows had at most LONGEST tokens, and whose table has more positions."""

    def make(kind=PREDICTION, positions="learned", **changes):
        start, (head, labels) = pretrained(), HEADS[kind]
        cfg = OmegaConf.create({**NET, "model_size": "tiny", "positions": positions, "max_position_embeddings": POSITIONS})
        model = ElectraEncoder(with_defaults(cfg, ElectraEncoderConfig), start.dictionary)
        model.register_head(SENTENCE_HEAD, head())
        randomize_parameters(model, std=0.2)
        info = TaskInfo("x", kind, 1, tuple(labels), (), LONGEST, stride=5, max_question=4, unanswerable=True)
        return dataclasses.replace(start, model=model.eval(), labels={SENTENCE_HEAD: labels}, task=dataclasses.replace(info, **changes))

    return make
