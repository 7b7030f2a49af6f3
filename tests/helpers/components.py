"""Components of fairseq with a few options changed: the criterion of pre-training, and the optimizer."""

import torch
from omegaconf import OmegaConf

from fairseq_electra.criterions.replaced_token_detection import (
    ReplacedTokenDetection,
    ReplacedTokenDetectionConfig,
)
from fairseq_electra.optim.electra_adam import ElectraAdam, ElectraAdamConfig


def criterion_for(task, **changes):
    return ReplacedTokenDetection(
        OmegaConf.merge(OmegaConf.structured(ReplacedTokenDetectionConfig), changes), task
    )


def optimizer_for(params, **changes):
    config = OmegaConf.merge(OmegaConf.structured(ElectraAdamConfig), {"lr": [0.1], **changes})
    return ElectraAdam(config, params)


def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(4))]
