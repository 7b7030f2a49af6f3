"""Fixtures of several modules of this folder."""

import pytest
import torch

from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.sentence_tasks import prepare_all


@pytest.fixture(scope="session")
def rows32(tmp_path_factory, corpus_lines, vocabulary):
    """A corpus of exactly 32 rows: as many documents of one line."""
    folder = tmp_path_factory.mktemp("rows32")
    lines = [line[:120] for line in corpus_lines if len(line) > 60][:32]
    encode_to_binary(
        load_wordpiece(vocabulary),
        [part for line in lines for part in (line, "")],
        folder / "train",
        vocabulary,
    )
    return folder


@pytest.fixture
def without_code_generation(monkeypatch):
    """Let torch.compile trace graphs but not generate code, which would take most of a minute."""

    def options(cuda_graphs):
        return {"fullgraph": True, "dynamic": False, "backend": "eager"}

    for module in ("models.electra", "tasks.electra_pretraining"):
        monkeypatch.setattr(f"fairseq_electra.{module}.compile_options", options)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="session")
def sources(tmp_path_factory, vocabulary, corpus_lines):
    """The files of four sentence tasks, and in ``bin`` the tasks as prepared."""
    folder = tmp_path_factory.mktemp("sentences")
    prepare_all(folder, vocabulary, corpus_lines)
    return folder
