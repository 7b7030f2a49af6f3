"""Parameters counted from sizes are those that the networks have."""

import pytest

from fairseq_electra.electra.parameters import discriminator_parameters, pretraining_parameters
from fairseq_electra.electra.size_table import MODEL_SIZES


@pytest.mark.parametrize(
    "changes",
    [
        {"model_size": "tiny"},
        {"model_size": "small"},
        {"model_size": "small", "positions": "rotary", "norm": "deepnorm"},
        {"model_size": "tiny", "norm": "pre", "embedding_size": 64},
    ],
    ids=str,
)
def test_the_count_is_that_of_pytorch(make_task, changes):
    from omegaconf import OmegaConf

    from fairseq_electra.models.electra import ElectraConfig, ElectraModel

    task = make_task()
    model = ElectraModel.build_model(OmegaConf.merge(OmegaConf.structured(ElectraConfig), changes), task)
    num_tokens, discriminator = len(task.dictionary), model.discriminator.sizes
    own = [model.embeddings, model.discriminator, model.discriminator_head]
    assert discriminator_parameters(discriminator, num_tokens) == sum(
        p.numel() for module in own for p in module.parameters()
    )
    generator = discriminator.generator(MODEL_SIZES[changes["model_size"]].generator_share, 1.0)
    assert pretraining_parameters(discriminator, generator, num_tokens) == sum(
        p.numel() for p in model.parameters()
    )
