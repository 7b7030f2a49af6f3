"""Every objective trains by fairseq-train, resumes exactly, and is fine-tuned."""

import pytest
import torch

import fairseq_electra
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.interchange.export_transformers import export_transformers
from tests.helpers.paths import USER_DIR
from tests.helpers.sentence_tasks import SINGLE, prepare_all, stock
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, refusal, run_here, train_here, weights

RUN = [*TINY_NET, "--num-workers", "0", "--no-epoch-checkpoints", "--disable-validation", "--dropout", "0.1"]
BARE = ["--dropout", "0", "--attention-dropout", "0"]
# what most other tests train, and what tests/integration/test_frozen_generator.py does
NOT_HERE = ("electra", "mlm", "frozen_generator")
VARIANTS = {name: ["--objective", name] for name in OBJECTIVES if name not in NOT_HERE}
VARIANTS["gdes"] = ["--tie-embeddings", "gdes"]
IN_DEFAULT_RUN = ("all_tokens_mlm", "gdes")
# the one furthest from the default objective
IN_LONG_RUN = ("electric",)
MARKED = [
    pytest.param(
        name,
        marks=()
        if name in IN_DEFAULT_RUN
        else pytest.mark.long
        if name in IN_LONG_RUN
        else pytest.mark.by_hand,
    )
    for name in VARIANTS
]
LANGUAGE_MODELS = [name for name, each in OBJECTIVES.items() if each.predicts_originals]


@pytest.mark.parametrize("name", MARKED)
def test_a_run_resumes_exactly(tmp_path, data_bin, name):
    options = [*RUN, *VARIANTS[name]]
    train_here(data_bin, tmp_path / "whole", *options, "--max-update", "6")
    train_here(data_bin, tmp_path / "parts", *options, "--max-update", "3")
    parts = train_here(data_bin, tmp_path / "parts", *options, "--max-update", "6")
    assert parts.updates == 6 and len(parts.losses) == 3
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def trained(folder, data_bin, name):
    train_here(data_bin, folder, *RUN, *VARIANTS[name], "--max-update", "2")
    return folder / "checkpoint_last.pt"


@pytest.mark.parametrize("name", MARKED)
def test_a_compiled_run_is_the_plain_one(tmp_path, data_bin, without_code_generation, name):
    options = [*RUN, *VARIANTS[name], *BARE, "--max-update", "3"]
    plain = train_here(data_bin, tmp_path / "plain", *options)
    compiled = train_here(data_bin, tmp_path / "compiled", *options, "--compile")
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-4)


@pytest.mark.parametrize("name", MARKED)
def test_packed_rows_and_bfloat16_train(tmp_path, paragraphs, name):
    options = [*RUN, *VARIANTS[name], *BARE, "--pack", "--max-update", "3"]
    plain = train_here(paragraphs, tmp_path / "plain", *options)
    half = train_here(paragraphs, tmp_path / "half", *options, "--autocast", "bf16")
    assert half.losses == pytest.approx(plain.losses, rel=0.03)


@pytest.mark.parametrize("name", MARKED)
def test_from_pretrained_uses_the_model(tmp_path, data_bin, name):
    model = fairseq_electra.from_pretrained(trained(tmp_path / "save", data_bin, name))
    text = "The name of a class."
    if name == "electric":
        assert model.extract_features(text).shape == (1, len(model.encode(text)), 32)
        for method in (model.detect_replaced, model.fill_mask):
            with pytest.raises(InputError, match="electric"):
                method("The <mask> of a class.")
        return
    p_replaced = model.detect_replaced(text)
    assert p_replaced.shape == (1, len(model.encode(text)))
    assert bool(((p_replaced > 0) & (p_replaced < 1)).all())
    assert model.extract_features(text).shape == (*p_replaced.shape, 32)
    if name in ("unigram", "uniform"):
        with pytest.raises(InputError, match="needs a generator"):
            model.fill_mask("The <mask> of a class.")
    else:
        assert model.fill_mask("The <mask> of a class.")


@pytest.mark.parametrize("name", MARKED)
def test_fine_tuning_starts_from_the_main_encoder(tmp_path, data_bin, vocabulary, corpus_lines, name):
    checkpoint = trained(tmp_path / "save", data_bin, name)
    task_bin = prepare_all(tmp_path, vocabulary, corpus_lines) / SINGLE
    still = ["--max-update", "1", "--lr", "1e-12", "--num-workers", "0", "--disable-validation"]
    line = [*stock(task_bin, tmp_path / "tuned", checkpoint), *still, "--user-dir", USER_DIR]
    log = run_here([str(word) for word in line], tmp_path / "tuned")
    assert log.updates == 1
    start, tuned = weights(tmp_path / "save"), weights(tmp_path / "tuned")
    assert torch.allclose(tuned["embeddings.tokens.weight"], start["embeddings.tokens.weight"], atol=1e-9)
    for key, tensor in start.items():
        if key.startswith("discriminator."):
            here = tuned[key.replace("discriminator.", "encoder.", 1)]
            assert torch.allclose(here, tensor, atol=1e-9), key


@pytest.mark.parametrize("name", MARKED)
def test_export_agrees_with_transformers(tmp_path, data_bin, name):
    pytest.importorskip("transformers")
    checkpoint = trained(tmp_path / "save", data_bin, name)
    lines = export_transformers(load_checkpoint(checkpoint), tmp_path / "export")
    assert any("largest difference" in line for line in lines)
    assert any("language_head" in line for line in lines) == (name in LANGUAGE_MODELS)


def test_a_folder_of_another_objective_is_refused_and_left_alone(tmp_path, data_bin):
    """Both have tensors of the same names and shapes."""
    train_here(data_bin, tmp_path / "save", *RUN, "--max-update", "2")
    before = (tmp_path / "save" / "checkpoint_last.pt").read_bytes()
    other = ["--objective", "electra_at_masked", "--max-update", "4"]
    said = refusal(data_bin, tmp_path / "save", *RUN, *other)
    assert "a run with --objective electra, and this one has electra_at_masked: give another" in said
    assert (tmp_path / "save" / "checkpoint_last.pt").read_bytes() == before
