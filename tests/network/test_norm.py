"""Batch norm in portions is one portion after another, and channels of padding change nothing."""

import copy

import pytest
import torch
from torch import nn

from coded_resnext.network.norm import BatchNorm2d


def make_norm() -> BatchNorm2d:
    norm = BatchNorm2d(5).double()
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    return norm


def test_it_is_torchs_to_the_bit():
    torch.manual_seed(0)
    norm, theirs, x = BatchNorm2d(5), nn.BatchNorm2d(5), torch.randn(6, 5, 3, 3)
    for training in (True, False):
        assert torch.equal(norm.train(training)(x), theirs.train(training)(x))
    assert all(torch.equal(norm.state_dict()[key], value) for key, value in theirs.state_dict().items())


@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("portions", [1, 2, 4])
def test_portions_and_padding(portions, more):
    """Output, gradients and running statistics, in float64: only the order of summation differs."""
    torch.manual_seed(0)
    norm = make_norm()
    apart = copy.deepcopy(norm)
    norm.portions = portions
    x = torch.randn(8, 5, 3, 3, dtype=torch.float64)
    wide = nn.functional.pad(x, (0, 0, 0, 0, 0, more)).requires_grad_()
    alone = x.clone().requires_grad_()
    direction = torch.randn(8, 5, 3, 3, dtype=torch.float64)

    out = norm(wide)
    assert out.shape[1] == 5 + more
    assert out[:, 5:].abs().sum() == 0
    (out[:, :5] * direction).sum().backward()
    expected = torch.cat([apart(part) for part in alone.chunk(portions)])
    (expected * direction).sum().backward()

    pairs = [(out[:, :5], expected), (wide.grad[:, :5], alone.grad)]
    pairs += [(norm.get_parameter(name).grad, apart.get_parameter(name).grad) for name in ("weight", "bias")]
    pairs += [(norm.state_dict()[key], value) for key, value in apart.state_dict().items()]
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.eval()(wide)[:, :5], apart.eval()(x), rtol=1e-12, atol=1e-12)
