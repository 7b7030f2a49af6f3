"""A masked language model alone, out to transformers and back."""

import shutil

import pytest
import torch

import fairseq_electra
from fairseq_electra.electra.model import MaskedLanguageModel
from fairseq_electra.errors import InputError
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.hub.load import load_checkpoint
from fairseq_electra.hub.network_files import read_network
from fairseq_electra.interchange.export_transformers import export_transformers
from fairseq_electra.interchange.import_transformers import import_transformers
from tests.helpers.transformers_models import transformers


def test_a_masked_language_model_is_exported_into_the_folder_itself(tmp_path, pretrained):
    ours = pretrained(generator_only=True, positions="learned")
    lines = export_transformers(ours, tmp_path / "out")
    assert "largest difference" in lines[-1] and not (tmp_path / "out" / "generator").exists()
    assert 'ElectraForMaskedLM.from_pretrained("FOLDER")' in (tmp_path / "out" / "README.md").read_text()
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True)
    assert type(theirs).__name__ == "ElectraForMaskedLM"
    back = read_network(tmp_path / "out")
    for name, tensor in ours.model.generator.state_dict().items():
        if name in back.tensors:
            assert torch.equal(tensor, back.tensors[f"encoder.{name}"])
    assert torch.equal(ours.model.embeddings.tokens.weight, back.tensors["embeddings.tokens.weight"])


def generator_alone(folder):
    shutil.copytree(folder / "generator", folder.with_name("g"))
    shutil.rmtree(folder / "generator")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder.with_name("g") / name, folder / name)


def test_a_generator_alone_is_a_masked_language_model(tmp_path, make_theirs):
    folder, generator = make_theirs().folder, tmp_path / "in" / "checkpoint.pt"
    generator_alone(folder)
    with pytest.raises(InputError, match="holds a generator itself; give the discriminator's folder"):
        import_transformers(folder, generator, folder.with_name("g"))
    lines = "\n".join(import_transformers(folder, generator))
    assert "a generator alone: a masked language model" in lines and "initialised" not in lines
    ours = load_checkpoint(generator)
    assert isinstance(ours.model, MaskedLanguageModel) and ours.cfg["model"]["objective"] == "mlm"
    assert len(ElectraHubInterface(ours).fill_mask("a <mask> of", topk=2)) == 2


@pytest.mark.parametrize(
    "traits",
    [{"positions": "learned"}, {"positions": "rotary"}, {"positions": "learned", "untie_lm_head": True}],
)
def test_an_exported_masked_language_model_is_read_back(tmp_path, pretrained, traits):
    before = pretrained(objective="mlm", **traits)
    export_transformers(before, tmp_path / "theirs")
    import_transformers(tmp_path / "theirs", tmp_path / "in" / "checkpoint.pt")
    after = load_checkpoint(tmp_path / "in" / "checkpoint.pt")
    assert after.symbols == before.symbols and after.model.sizes == before.model.sizes
    assert len(fairseq_electra.from_pretrained(tmp_path / "theirs").fill_mask("a <mask> of", topk=2)) == 2
    tensors = after.model.state_dict()
    assert tensors.keys() == before.model.state_dict().keys()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in before.model.state_dict().items())
