"""Folders of transformers with random weights, in other orders than ours."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.finetuning.kind import PREDICTION, TaskInfo
from fairseq_electra.interchange.transformers_folder import SENTENCE_HEAD
from fairseq_electra.models._config import with_defaults
from fairseq_electra.models.electra_encoder import ElectraEncoder, ElectraEncoderConfig
from fairseq_electra.pretraining.wordpiece import load_wordpiece, symbols_of
from tests.helpers.fine_tuned import HEADS, LONGEST, POSITIONS
from tests.helpers.small_model import NET, randomize_parameters
from tests.helpers.transformers_models import GENERATOR, SMALL, SPECIAL, transformers


@pytest.fixture(scope="session")
def their_pieces(vocabulary) -> list[str]:
    """A vocabulary in BERT's order: [PAD], unused ones, the other special symbols in the middle, the pieces backwards."""
    pieces = symbols_of(load_wordpiece(vocabulary))[4:-1]
    unused = [f"[unused{i}]" for i in range(7)]
    return [SPECIAL[0], *unused, *SPECIAL[1:], *reversed(pieces)]


@dataclass
class Made:
    """Folders, and the models in them."""

    folder: Path
    discriminator: torch.nn.Module
    generator: torch.nn.Module | None


@pytest.fixture
def make_theirs(tmp_path, their_pieces):
    """Save transformers' nets with random weights, with a generator unless told otherwise."""

    def make(
        family="Electra",
        sizes=SMALL,
        generator=GENERATOR,
        tie=True,
        tokenizer="tokenizer.json",
        cased=False,
        class_name=None,
        safe=True,
        **more,
    ):
        folder = tmp_path / "theirs"
        config_class = getattr(transformers, f"{family}Config")
        vocabulary_size = {"vocab_size": len(their_pieces), "pad_token_id": 0}
        class_name = class_name or ("ElectraForPreTraining" if family == "Electra" else "RoFormerModel")
        models = [getattr(transformers, class_name)(config_class(**vocabulary_size, **sizes, **more))]
        if generator:
            models.append(
                getattr(transformers, f"{family}ForMaskedLM")(config_class(**vocabulary_size, **generator, tie_word_embeddings=tie, **more))
            )
        for i, model in enumerate(models):
            model.eval()
            sines = {name: tensor.clone() for name, tensor in model.state_dict().items() if "embed_positions" in name}
            randomize_parameters(model, seed=i, std=0.2 if sizes["hidden_size"] == SMALL["hidden_size"] else 0.03)
            model.load_state_dict(sines, strict=False)
            place = folder / "generator" if i else folder
            model.save_pretrained(place)
            if not safe:
                torch.save(model.state_dict(), place / "pytorch_model.bin")
                (place / "model.safetensors").unlink()
        write_tokenizer(folder, their_pieces, tokenizer, cased)
        return Made(folder, models[0], models[1] if generator else None)

    return make


def write_tokenizer(folder, pieces, kind, cased):
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": not cased, "tokenizer_class": "ElectraTokenizer"}))
    if kind == "tokenizer.json":
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder, do_lower_case=not cased)
        (folder / "vocab.txt").unlink()
        tokenizer.save_pretrained(folder)
        assert (folder / "tokenizer.json").is_file()
        (folder / "vocab.txt").unlink(missing_ok=True)


@pytest.fixture
def pretrained(make_task, make_model, vocabulary):
    """One of our nets with all parameters random, as :func:`load_checkpoint` would give it."""
    from fairseq_electra.hub.load import Pretrained

    def make(**changes):
        task = make_task()
        model = make_model(task, randomize=False, **changes).eval()
        randomize_parameters(model, std=0.05)
        return Pretrained(model, load_wordpiece(vocabulary), task.source_dictionary)

    return make


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
