"""Each --norm against its formula, and against the kind that it can be turned into."""

import copy

import pytest
import torch
import torch.nn.functional as F

from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.initialization import initialize, shrink_sublayers
from fairseq_electra.electra.norms import norm_of
from fairseq_electra.electra.rotary import rotary_angles
from fairseq_electra.electra.sizes import NORM_KINDS, NORMS, EncoderSizes
from fairseq_electra.errors import InputError


def encoder(norm, layers=3, **more):
    torch.manual_seed(1)
    sizes = EncoderSizes(
        8, 16, 32, layers, 2, positions="rotary", dropout=0.0, attention_dropout=0.0, norm=norm, **more
    )
    net = Encoder(sizes).double()
    net.apply(initialize)
    for parameter in net.parameters():  # else every LayerNorm would be the same one
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def layer_norm(values, module):
    mean, variance = values.mean(-1, keepdim=True), values.var(-1, unbiased=False, keepdim=True)
    return (values - mean) / (variance + 1e-12).sqrt() * module.weight + module.bias


def written_out(net, embedded):
    """The formulas of EncoderLayer's docstring; attention alone is the layer's own."""
    norm, sublayers = net.sizes.norm, 2 * len(net.layers)
    scale = {"post": 1.0, "deepnorm": sublayers**0.25, "scaled": sublayers**0.5}.get(norm)
    hidden = F.linear(embedded, net.projection.weight, net.projection.bias)
    angles = rotary_angles(embedded.shape[1], 8, hidden.device)
    for layer in net.layers:
        for sublayer, its_norm in (
            (lambda h, layer=layer: layer.attention(h, None, angles), layer.attention_layer_norm),
            (lambda h, layer=layer: layer.output(F.gelu(layer.intermediate(h))), layer.output_layer_norm),
        ):
            if scale is None:
                is_first = norm == "pre_but_first" and its_norm is None
                hidden = hidden + sublayer(hidden if is_first else layer_norm(hidden, its_norm))
            else:
                hidden = layer_norm(scale * hidden + sublayer(hidden), its_norm)
    return layer_norm(hidden, net.layer_norm) if scale is None else hidden


@pytest.mark.parametrize("norm", NORMS)
def test_each_kind_is_its_formula(norm):
    net, embedded = encoder(norm), torch.randn(2, 5, 8, dtype=torch.float64)
    assert torch.allclose(net(embedded, None), written_out(net, embedded), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("norm", "scale"), [("deepnorm", 6**0.25), ("scaled", 6**0.5)])
def test_a_scaled_net_is_a_post_one_with_the_last_matrix_of_each_sublayer_divided(norm, scale):
    scaled, post, embedded = encoder(norm), encoder("post"), torch.randn(2, 5, 8, dtype=torch.float64)
    state = {name: tensor for name, tensor in scaled.state_dict().items() if name != "residual_scale"}
    post.load_state_dict(state)
    assert not torch.allclose(scaled(embedded, None), post(embedded, None), atol=1e-3)
    for layer in post.layers:
        for linear in (layer.attention.out, layer.output):
            linear.weight.data /= scale
            linear.bias.data /= scale
    assert torch.allclose(scaled(embedded, None), post(embedded, None), rtol=0, atol=1e-10)


def test_the_scales_of_twelve_layers():
    deepnorm, scaled = (EncoderSizes(8, 16, 32, 12, 2, norm=norm) for norm in ("deepnorm", "scaled"))
    assert deepnorm.residual_scale == pytest.approx(2.2134, abs=1e-4)  # table 2 of DeepNet's paper: 24^(1/4)
    assert scaled.residual_scale == pytest.approx(4.8990, abs=1e-4)
    assert scaled.generator(0.5, 0.5, 1).residual_scale == pytest.approx(12**0.5)


def test_deepnorm_starts_with_smaller_sublayers_and_whole_queries_and_keys():
    torch.manual_seed(1)
    sizes = EncoderSizes(64, 64, 256, 4, 1, norm="deepnorm")
    net = Encoder(sizes)
    net.apply(initialize)
    net.apply(shrink_sublayers)
    layer, plain = net.layers[0], 0.02 * 0.8796  # of a normal distribution cut off at two standard deviations
    queries_and_keys, values = layer.attention.qkv.weight[:128], layer.attention.qkv.weight[128:]
    assert float(queries_and_keys.detach().std()) == pytest.approx(plain, rel=0.05)
    for weight in (values, layer.attention.out.weight, layer.intermediate.weight, layer.output.weight):
        assert float(weight.detach().std()) == pytest.approx(plain * 32**-0.25, rel=0.05)


def test_a_net_of_another_kind_is_not_loaded_unsaid():
    with pytest.raises(RuntimeError, match="residual_scale"):
        encoder("deepnorm").load_state_dict(encoder("post").state_dict())
    with pytest.raises(RuntimeError, match="residual_scale"):
        encoder("post").load_state_dict(encoder("deepnorm").state_dict())
    with pytest.raises(RuntimeError, match="layer_norm"):
        encoder("pre").load_state_dict(encoder("post").state_dict())


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(
        InputError, match="--norm must be one of post, deepnorm, scaled, pre, pre_but_first, got 'sandw"
    ):
        EncoderSizes(8, 16, 32, 1, 2, norm="sandwich")


def test_gradients_of_embeddings_in_16_bits_are_those_of_float32_for_tokens_that_occur_often():
    torch.manual_seed(1)
    exact = Embeddings(EncoderSizes(16, 16, 32, 1, 2, positions="learned", dropout=0.0), 6, pad=1)
    narrow = copy.deepcopy(exact).bfloat16()
    exact.load_state_dict(narrow.state_dict())
    tokens, segments = torch.randint(2, 6, (64, 64)), torch.randint(2, (64, 64))
    gradient = (torch.randn(64, 64, 16) + torch.randn(16)).bfloat16()
    exact(tokens, segments).backward(gradient.float())
    narrow(tokens, segments).backward(gradient)
    for name, parameter in narrow.named_parameters():
        expected = exact.get_parameter(name).grad
        assert (parameter.grad.float() - expected).norm() < 0.02 * expected.norm(), name


@pytest.mark.parametrize("kind", NORM_KINDS)
def test_gradients_in_bfloat16_are_those_of_float32_over_many_tokens(kind):
    sizes = EncoderSizes(8, 16, 32, 1, 2, norm_kind=kind)
    torch.manual_seed(1)
    # all of one sign, as the gradient of a bias often is: a sum in 16 bits stops growing
    values, gradient = torch.randn(4096, 16).bfloat16(), (torch.randn(4096, 16) + 1).bfloat16()
    exact, narrow = norm_of(sizes, 16), norm_of(sizes, 16)
    exact(values.float()).backward(gradient.float())
    with torch.autocast("cpu", torch.bfloat16):
        result = narrow(values)
    result.backward(gradient)
    assert result.dtype == torch.bfloat16
    of_weights_in_16_bits = norm_of(sizes, 16).bfloat16()
    of_weights_in_16_bits(values).backward(gradient)
    for name, parameter in of_weights_in_16_bits.named_parameters():
        torch.testing.assert_close(
            parameter.grad.float(), exact.get_parameter(name).grad, rtol=1e-2, atol=1e-3
        )
    for name, parameter in narrow.named_parameters():
        torch.testing.assert_close(parameter.grad, exact.get_parameter(name).grad, rtol=1e-5, atol=1e-3)
