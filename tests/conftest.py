"""Fixtures: a small corpus and vocabulary, made once, and small models on them.

What is no fixture lies in ``tests/helpers``.
"""

import logging
import os
from pathlib import Path

# small nets: threads cost more than they give, and results stay the same to the bit
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

import fairseq_electra

# a failed assertion of a helper shows its values, as one of a test does
pytest.register_assert_rewrite("tests.helpers")
fairseq_electra.register()

from fairseq_electra.pretraining import corpus  # noqa: E402
from fairseq_electra.pretraining.encode import encode_to_binary  # noqa: E402
from fairseq_electra.pretraining.wordpiece import (  # noqa: E402
    load_wordpiece,
    save_vocabulary,
    train_wordpiece,
)
from tests.helpers import process_end  # noqa: E402
from tests.helpers.small_model import NET, TINY_NET, randomize_parameters  # noqa: E402
from tests.helpers.training import train_here  # noqa: E402

torch.set_num_threads(1)
process_end.know_loaders()


@pytest.fixture(autouse=True)
def loud():
    """A command that ran in this process may have silenced fairseq's loggers and the package's."""
    for name in ("fairseq", "fairseq_electra"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def loaders_end():
    """Processes that load data end with their test."""
    yield
    process_end.end()


@pytest.fixture(scope="session")
def corpus_lines() -> list[str]:
    """Real English: this Python's language reference, a paragraph a line, blank lines between documents.

    It is the beginning of the built-in corpus. The rest, the docstrings of the standard library, takes
    seconds to read.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_docstrings", lambda folder: ())
        documents = corpus.builtin_documents()
    return [line for document in documents for line in (*document.paragraphs, "")]


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory, corpus_lines) -> Path:
    folder = tmp_path_factory.mktemp("vocab")
    save_vocabulary(train_wordpiece(corpus_lines, 1000), folder)
    return folder


@pytest.fixture(scope="session")
def data_bin(tmp_path_factory, corpus_lines, vocabulary) -> Path:
    """Binarized text: train has 120 paragraphs, valid 60."""
    folder = tmp_path_factory.mktemp("data-bin")
    tokenizer = load_wordpiece(vocabulary)
    encode_to_binary(tokenizer, corpus_lines[:120], folder / "train", vocabulary)
    encode_to_binary(tokenizer, corpus_lines[200:260], folder / "valid", vocabulary)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, data_bin) -> Path:
    """A small model after three updates of pre-training, for tests that read it or copy it."""
    folder = tmp_path_factory.mktemp("checkpoint") / "save"
    train_here(data_bin, folder, *TINY_NET, "--max-update", "3", "--disable-validation")
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def make_task(data_bin):
    """Build the pre-training task from its dataclass, with changes."""
    from omegaconf import OmegaConf

    from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask

    def make(**changes):
        plain = {
            "data": str(data_bin),
            "tokens_per_sample": 64,
            "seed": 1,
            "fp16": False,
            "cpu": True,
            "train_subset": "train",
        }
        plain |= dict.fromkeys(
            ["bf16", "memory_efficient_fp16", "memory_efficient_bf16", "amp", "tpu"], False
        )
        plain["ddp_backend"] = "pytorch_ddp"
        return ElectraPretrainingTask.setup_task(
            OmegaConf.merge(OmegaConf.structured(ElectraPretrainingConfig), plain | changes)
        )

    return make


@pytest.fixture(scope="session")
def make_model():
    """Build ElectraModel for a task, small unless told otherwise, with all parameters random."""
    from omegaconf import OmegaConf

    from fairseq_electra.models.electra import ElectraConfig

    def make(task, randomize=True, **changes):
        plain = {"_name": "electra", "model_size": "tiny", **NET, "dropout": 0.0, "attention_dropout": 0.0}
        model = task.build_model(OmegaConf.merge(OmegaConf.structured(ElectraConfig), plain | changes))
        if randomize:
            randomize_parameters(model)
        return model

    return make


@pytest.fixture(scope="session")
def paragraphs(tmp_path_factory, corpus_lines, vocabulary):
    """Binarized: each paragraph is a document, most are short."""
    folder = tmp_path_factory.mktemp("paragraphs")
    short = [line[:150] for line in corpus_lines if line][:160]
    encode_to_binary(
        load_wordpiece(vocabulary),
        [line for text in short for line in (text, "")],
        folder / "train",
        vocabulary,
    )
    return folder


@pytest.fixture
def pretrained(make_task, make_model, vocabulary):
    """One of our nets with all parameters random, as :func:`load_checkpoint` would give it."""
    from fairseq_electra.hub.load import Pretrained

    def make(**changes):
        task = make_task()
        model = make_model(task, randomize=False, **changes).eval()
        randomize_parameters(model, std=0.05)
        del model.dictionary_version  # of a training with fairseq
        return Pretrained(model, load_wordpiece(vocabulary), task.source_dictionary.symbols)

    return make


@pytest.fixture
def load(pretrained):
    """The same as ``from_pretrained`` gives it, in float64, with parameters so large that scores differ."""
    from fairseq_electra.hub.interface import ElectraHubInterface

    def make(**changes):
        found = pretrained(**changes)
        randomize_parameters(found.model, seed=1, std=0.2)
        return ElectraHubInterface(found).double()

    return make
