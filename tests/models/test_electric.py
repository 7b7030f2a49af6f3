"""Options of Electric, and what is fine-tuned."""

from types import SimpleNamespace

import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.models.electra_encoder import ElectraEncoder
from fairseq_electra.optim.gradients import GENERATOR, has_generators_rate, network_of
from tests.helpers.small_model import NET


def test_the_noise_model_has_the_sizes_and_the_learning_rate_of_a_generator(make_task, make_model):
    model = make_model(make_task(), objective="electric", generator_hidden_size=0.25, generator_layers=0.5)
    towers = (model.noise_model.left, model.noise_model.right)
    assert [tower.sizes.hidden_size for tower in towers] == [NET["hidden_size"] // 4] * 2
    assert [len(tower.layers) for tower in towers] == [NET["num_hidden_layers"] // 2] * 2
    parameters = dict(model.named_parameters())
    assert any(name.startswith("noise_model.") for name in parameters)
    for name, parameter in parameters.items():
        is_noise = name.startswith("noise_model.")
        assert has_generators_rate(parameter) == is_noise
        assert (network_of(parameter) == GENERATOR) == is_noise


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_fine_tuning_takes_the_main_encoder_alone(make_task, make_model, network):
    model = make_model(make_task(), objective="electric")
    tensors = dict(model.state_dict())
    encoder = SimpleNamespace(network=network)
    if network == "generator":
        with pytest.raises(InputError, match=r"holds no generator.*give --network discriminator"):
            ElectraEncoder._take_network(encoder, tensors)
        return
    dropped = ElectraEncoder._take_network(encoder, tensors)
    assert {name.split(".")[0] for name in dropped} == {"noise_model", "discriminator_head"}
    for name, tensor in model.discriminator.state_dict().items():
        assert torch.equal(tensors.pop(f"encoder.{name}"), tensor)
    assert all(name.startswith(("embeddings.", "dictionary_version")) for name in tensors)
