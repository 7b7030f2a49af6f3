"""Out to transformers: of an Electric model its main encoder."""

import json

import pytest

from fairseq_electra.interchange.export_transformers import NO_ENERGIES, export_transformers


@pytest.mark.parametrize(("positions", "name"), [("learned", "ElectraModel"), ("rotary", "RoFormerModel")])
def test_export_of_an_electric_model_is_its_encoder(tmp_path, pretrained, positions, name):
    pytest.importorskip("transformers")
    folder = tmp_path / "export"
    lines = export_transformers(pretrained(objective="electric", positions=positions), folder)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [name]
    assert [line for line in lines if "left out" in line] == [
        f"left out: discriminator_head: {NO_ENERGIES}",
        f"left out: noise_model: {NO_ENERGIES}",
    ]
    assert any("largest difference" in line and "hidden states" in line for line in lines)
    assert not (folder / "generator").exists()
