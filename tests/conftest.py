"""Fixtures: a small corpus and vocabulary, made once, and small nets on them."""

import logging
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small nets: threads cost more than they give, and results stay the same to the bit

import pytest
import torch

ROOT = Path(__file__).parent.parent
USER_DIR = ROOT / "fairseq_electra"
sys.path.insert(0, str(ROOT))

import fairseq_electra  # noqa: E402

fairseq_electra.register()

from fairseq_electra.pretraining.corpus import Document, builtin_documents  # noqa: E402
from fairseq_electra.pretraining.encode import encode_to_binary  # noqa: E402
from fairseq_electra.pretraining.wordpiece import load_wordpiece, save_vocabulary, train_wordpiece  # noqa: E402
from tests.helpers import forked  # noqa: E402

torch.set_num_threads(1)
NET = {"hidden_size": 32, "embedding_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY_NET = [word for name, size in NET.items() for word in (f"--{name.replace('_', '-')}", str(size))]


@pytest.fixture(autouse=True)
def loud():
    """A command that ran in this process may have silenced fairseq's loggers and the package's."""
    for name in ("fairseq", "fairseq_electra"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """The built-in corpus."""
    return builtin_documents()


@pytest.fixture(scope="session")
def corpus_lines(documents) -> list[str]:
    """Real English: the language reference of this Python, one paragraph a line, blank lines between documents."""
    return [line for document in documents if document.source.startswith("topic ") for line in (*document.paragraphs, "")]


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
def make_task(data_bin):
    """Build the pre-training task from its dataclass, with changes."""
    from omegaconf import OmegaConf

    from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig
    from fairseq_electra.tasks.electra_pretraining import ElectraPretrainingTask

    def make(**changes):
        plain = {"data": str(data_bin), "tokens_per_sample": 64, "seed": 1, "fp16": False, "cpu": True, "train_subset": "train"}
        plain |= dict.fromkeys(["bf16", "memory_efficient_fp16", "memory_efficient_bf16", "amp", "tpu"], False)
        plain["ddp_backend"] = "pytorch_ddp"
        return ElectraPretrainingTask.setup_task(OmegaConf.merge(OmegaConf.structured(ElectraPretrainingConfig), plain | changes))

    return make


@pytest.fixture(scope="session")
def make_model():
    """Build ElectraModel for a task, small unless told otherwise, with all parameters random."""
    from omegaconf import OmegaConf

    from fairseq_electra.models.electra import ElectraConfig, ElectraModel

    def make(task, randomize=True, **changes):
        plain = {"model_size": "tiny", **NET, "dropout": 0.0, "attention_dropout": 0.0}
        model = ElectraModel.build_model(OmegaConf.merge(OmegaConf.structured(ElectraConfig), plain | changes), task)
        if randomize:
            randomize_parameters(model)
        return model

    return make


def randomize_parameters(model, seed=0, std=0.1):
    """Fill every parameter, biases and LayerNorm (around 1) too, so that none can be missed by a comparison."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * std
            parameter.copy_(noise + 1 if name.endswith("norm.weight") else noise)


def run(command, cwd=None, check=True, env=None, **kwargs):
    """Run a command; returns the finished process with its output as text."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        **kwargs,
    )
    return checked(done, check)


def checked(done, check=True):
    """Return a finished process, which must have succeeded where check says so."""
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def fairseq(tool, *arguments, check=True, **kwargs):
    """Run fairseq-train, fairseq-preprocess, ... with this plugin."""
    return checked(
        forked.run([sys.executable, "-m", f"fairseq_cli.{tool}", *map(str, arguments), "--user-dir", str(USER_DIR)], **kwargs), check
    )


def electra(*arguments, check=True, **kwargs):
    """Run one of our commands."""
    code = "import sys; from fairseq_electra.cli import main; sys.exit(main())"
    return checked(forked.run([sys.executable, "-c", code, *map(str, arguments)], **kwargs), check)
