import pytest
import torch
import torch.nn.functional as F

from fairseq_electra.electra.fast.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_as_many_zeros_as_asked_and_one_scale_for_the_rest(probability, dtype):
    torch.manual_seed(1)
    count = 999_999  # no multiple of the four values that share a draw
    dropped = dropout(torch.ones(count, dtype=dtype), probability, training=True)
    zeros = (dropped == 0).sum().item()
    assert (
        abs(zeros - count * probability)
        < 4 * (count * probability * (1 - probability)) ** 0.5 + count * 2**-16
    )
    rest = dropped[dropped != 0].double()
    assert torch.allclose(
        rest,
        torch.full_like(rest, 1 / (1 - probability)),
        rtol=2e-2 if dtype == torch.bfloat16 or probability > 0.9 else 1e-4,
    )


def test_neighbours_are_independent():
    torch.manual_seed(2)
    kept = (dropout(torch.ones(400_000), 0.5, training=True) > 0).double().view(-1, 4)
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlation.abs().max() < 4 / 100_000**0.5


def test_the_gradient_is_scaled_as_the_values_are():
    values = torch.randn(7, 33, requires_grad=True)
    dropped = dropout(values, 0.3, training=True)
    dropped.sum().backward()
    assert torch.equal(dropped, values.detach() * values.grad)


def test_seed_repeats_it_and_nothing_happens_outside_training():
    layer, values = Dropout(0.3), torch.randn(5, 11)
    torch.manual_seed(3)
    first = layer(values)
    torch.manual_seed(3)
    assert torch.equal(layer(values), first)
    assert not torch.equal(layer(values), first)
    assert layer.eval()(values) is values
    assert dropout(values, 0.0, training=True) is values
    assert torch.equal(dropout(values, 1.0, training=True), F.dropout(values, 1.0))
