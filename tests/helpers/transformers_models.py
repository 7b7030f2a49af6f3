"""Sizes and files of small models of transformers."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fairseq_electra.pretraining.wordpiece import load_wordpiece, symbols_of
from tests.helpers.small_model import randomize_parameters

transformers = pytest.importorskip("transformers")
SPECIAL_SYMBOLS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SMALL = {
    "hidden_size": 32,
    "embedding_size": 16,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
}
GENERATOR = {
    **SMALL,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 3,
    "num_hidden_layers": 1,
}


def in_double(theirs):
    """Convert a model of transformers to float64, with RoFormer's table of sines computed anew.

    transformers stores this table (section 3.2.2 of RoFormer's paper) in float32. In float64 two ways to
    compute one function differ by some 1e-13 of its size on every machine; in float32, by what the machine's
    order of sums makes of it.
    """
    theirs.double()
    for name, table in theirs.named_parameters():
        if "embed_positions" in name:
            positions, width = table.shape
            angle = torch.arange(positions).double()[:, None] / 10000 ** (
                torch.arange(0, width, 2).double() / width
            )
            table.data.copy_(torch.cat([angle.sin(), angle.cos()], 1))
    return theirs.eval()


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def in_their_order(vocabulary) -> list[str]:
    """Return a vocabulary in BERT's order: [PAD], unused, the other special symbols, the pieces backwards."""
    pieces = symbols_of(load_wordpiece(vocabulary))[4:-1]
    unused = [f"[unused{i}]" for i in range(7)]
    return [SPECIAL_SYMBOLS[0], *unused, *SPECIAL_SYMBOLS[1:], *reversed(pieces)]


@dataclass
class Made:
    """Folders, and the models in them."""

    folder: Path
    discriminator: torch.nn.Module
    generator: torch.nn.Module | None


def save_theirs(
    folder,
    pieces,
    family="Electra",
    sizes=SMALL,
    generator=GENERATOR,
    tie=True,
    tokenizer="tokenizer.json",
    cased=False,
    class_name=None,
    safe=True,
    **more,
) -> Made:
    """Save transformers' models with random weights, with a generator unless told otherwise."""
    config_class = getattr(transformers, f"{family}Config")
    vocabulary_size = {"vocab_size": len(pieces), "pad_token_id": 0}
    class_name = class_name or ("ElectraForPreTraining" if family == "Electra" else "RoFormerModel")
    models = [getattr(transformers, class_name)(config_class(**vocabulary_size, **sizes, **more))]
    if generator:
        models.append(
            getattr(transformers, f"{family}ForMaskedLM")(
                config_class(**vocabulary_size, **generator, tie_word_embeddings=tie, **more)
            )
        )
    for i, model in enumerate(models):
        model.eval()
        sines = {
            name: tensor.clone() for name, tensor in model.state_dict().items() if "embed_positions" in name
        }
        randomize_parameters(model, seed=i, std=0.2 if sizes["hidden_size"] == SMALL["hidden_size"] else 0.03)
        model.load_state_dict(sines, strict=False)
        part = folder / "generator" if i else folder
        model.save_pretrained(part)
        if not safe:
            torch.save(model.state_dict(), part / "pytorch_model.bin")
            (part / "model.safetensors").unlink()
    write_tokenizer(folder, pieces, tokenizer, cased)
    return Made(folder, models[0], models[1] if generator else None)


def write_tokenizer(folder, pieces, kind, cased):
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": not cased, "tokenizer_class": "ElectraTokenizer"})
    )
    if kind == "tokenizer.json":
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder, do_lower_case=not cased)
        (folder / "vocab.txt").unlink()
        tokenizer.save_pretrained(folder)
        assert (folder / "tokenizer.json").is_file()
        (folder / "vocab.txt").unlink(missing_ok=True)
