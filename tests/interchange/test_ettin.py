"""A folder in the form of a published Ettin encoder: read, trained further, fine-tuned, and out again."""

import json

import pytest

from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.byte_level_folder import (
    SPARE_ROWS,
    byte_level_tokenizer,
    save_byte_level,
    transformers,
)
from tests.helpers.commands import electra
from tests.helpers.imported_models import fine_tune
from tests.helpers.small_model import randomize_parameters
from tests.helpers.training import train_here

TEXTS = ["The naïve  statement\tis 😀 (中文).", "a\n\n  b", "<mask>", " of words"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, corpus_lines):
    """A masked language model with the keys of config.json that such folders have on the Hub."""
    folder = tmp_path_factory.mktemp("ettin")
    tokenizer = byte_level_tokenizer(corpus_lines[:300])
    symbols = {name: tokenizer.token_to_id(f"[{name.upper()}]") for name in ("pad", "cls", "sep")}
    config = transformers.ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size() + SPARE_ROWS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=7,
        num_attention_heads=2,
        local_attention=16,
        **{f"{name}_token_id": number for name, number in symbols.items()},
        **{"bos_token_id": symbols["cls"], "eos_token_id": symbols["sep"]},
    )
    model = transformers.ModernBertForMaskedLM(config).eval()
    randomize_parameters(model, std=0.02)
    model.save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    for name in ("layer_types", "rope_parameters"):
        del saved[name]
    saved |= {"global_attn_every_n_layers": 3, "global_rope_theta": 160000.0, "local_rope_theta": 160000.0}
    saved |= {"position_embedding_type": "absolute", "gradient_checkpointing": False, "layer_norm_eps": 1e-5}
    (folder / "config.json").write_text(json.dumps(saved))
    return save_byte_level(folder, tokenizer)


def exported(checkpoint, folder, class_name):
    """Export a checkpoint, and check that AutoTokenizer's ids are ours."""
    ours = load_checkpoint(checkpoint)
    lines = "\n".join(export_transformers(ours, folder))
    assert "the same ids as transformers'" in lines and f": {class_name}," in lines
    auto = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in TEXTS:
        assert auto(text)["input_ids"] == [0, *ours.tokenizer.encode(text, add_special_tokens=False).ids, 2]
    return lines


def test_a_folder_of_ettins_form_is_imported_and_exported(theirs, tmp_path):
    lines = "\n".join(import_transformers(theirs, tmp_path / "in" / "checkpoint.pt"))
    assert f"rows of the token table without a piece: {SPARE_ROWS}" in lines
    assert "initialised with --seed 1: discriminator_head" in lines
    sizes = load_checkpoint(tmp_path / "in" / "checkpoint.pt").model.sizes
    assert (sizes.local_rotary_base, sizes.global_every, sizes.local_window) == (160000.0, 3, 16)
    found = exported(tmp_path / "in" / "checkpoint.pt", tmp_path / "out", "ModernBertModel")
    assert ": ModernBertForMaskedLM," in found


@pytest.mark.long
def test_an_imported_encoder_is_trained_further_fine_tuned_and_exported(theirs, corpus_lines, tmp_path):
    checkpoint = tmp_path / "in" / "checkpoint.pt"
    import_transformers(theirs, checkpoint)
    data = tmp_path / "bin"
    encode_to_binary(load_wordpiece(checkpoint.parent), corpus_lines[:300], data / "train", checkpoint.parent)
    log = train_here(
        *[data, tmp_path / "save", "--arch", "electra", "--finetune-from-model", checkpoint],
        *["--disable-validation", "--lr", "1e-3", "--tokens-per-sample", "48", "--mask-whole-words"],
        *["--max-update", "20"],
    )
    assert len(log.losses) == 20 and sum(log.losses[-4:]) < 0.95 * sum(log.losses[:4])
    trained = tmp_path / "save" / "checkpoint_last.pt"
    exported(trained, tmp_path / "out", "ModernBertForTokenClassification")
    tuned = fine_tune(checkpoint, tmp_path)
    exported(tuned, tmp_path / "tuned-out", "ModernBertForSequenceClassification")


@pytest.mark.long
def test_an_imported_encoder_gets_the_pieces_of_a_domain_and_is_exported(theirs, corpus_lines, tmp_path):
    checkpoint, text = tmp_path / "in" / "checkpoint.pt", tmp_path / "domain.txt"
    import_transformers(theirs, checkpoint)
    text.write_text("\n".join(corpus_lines[300:1500]))
    adapt = ["adapt", checkpoint, text, "--output", tmp_path / "out", "--new-tokens", "200"]
    electra(*adapt, "--updates", "5", "--batch-size", "4", "--tokens-per-sample", "48")
    before, after = (
        load_checkpoint(each) for each in (checkpoint, tmp_path / "out/checkpoints/checkpoint_last.pt")
    )
    assert len(after.symbols) == len(before.symbols) + 200 and after.updates == 5
    lines = corpus_lines[300:400]
    ids = [[each.tokenizer.encode(line).ids for line in lines] for each in (before, after)]
    assert sum(map(len, ids[1])) < 0.92 * sum(map(len, ids[0]))
    exported(
        tmp_path / "out/checkpoints/checkpoint_last.pt",
        tmp_path / "theirs",
        "ModernBertForTokenClassification",
    )
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path / "theirs", local_files_only=True)
    assert auto(lines, add_special_tokens=False)["input_ids"] == ids[1]
