"""The depth of each parameter in the model, stored on the parameter: optimizers do not get names."""

from torch import nn

from fairseq_electra.errors import InputError

# fairseq's own attribute: its float32 copies of half-precision parameters keep it alone
# (optim/fp16_optimizer.py::build_fp32_params); in pre-training optim/gradients.py uses it
ATTRIBUTE, PREFIX = "param_group", "layers_below_head_"


def mark_depths(model: nn.Module, heads: str, layers: str, final_norm: str, num_layers: int) -> None:
    """Store on every parameter the number of layers from the head down to it.

    That is 0 for the head, 1 for the last layer, and num_layers + 1 for the embeddings.

    A LayerNorm behind the last layer, which the original has not, counts as part of that layer.

    Args:
        model: its parameters are marked.
        heads: beginning of the names of the heads' parameters.
        layers: beginning of the names of the layers' parameters, up to the layer's number.
        final_norm: beginning of the names of a LayerNorm behind the last layer; there need not be one.
        num_layers: of the encoder.
    """
    for name, parameter in model.named_parameters():
        below = num_layers + 1
        if name.startswith(heads):
            below = 0
        elif name.startswith(final_norm):
            below = 1
        elif name.startswith(layers):
            below = num_layers - int(name.removeprefix(layers).split(".")[0])
        setattr(parameter, ATTRIBUTE, f"{PREFIX}{below}")


def layers_below_head(parameter: nn.Parameter) -> int:
    """Read what :func:`mark_depths` wrote."""
    mark = str(getattr(parameter, ATTRIBUTE, ""))
    if not mark.startswith(PREFIX):
        raise InputError(
            "--layer-decay needs to know the layers of the network: it is for --arch electra_encoder; leave"
            " it out"
        )
    return int(mark.removeprefix(PREFIX))
