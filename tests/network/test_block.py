"""The cheap coded block is the paper's equations, not an approximation of them."""

import copy

import pytest
import torch
from torch import Tensor

from coded_resnext import CodingLoss, load_scheme
from coded_resnext.network.block import CodedBottleneck, branch_energies, coded_sum
from coded_resnext.network.reference import energy, written_out_sum

# in, out, N, d, N_act, stride: first and later blocks of every coded stage of the three networks, table 1
SHAPES = {
    "cifar10 c3 first": (256, 512, 10, 22, 5, 2),
    "cifar10 c3": (512, 512, 10, 22, 5, 1),
    "cifar10 c4 first": (512, 1024, 10, 44, 3, 2),
    "cifar10 c4": (1024, 1024, 10, 44, 3, 1),
    "cifar100 c3 first": (256, 512, 20, 12, 8, 2),
    "cifar100 c3": (512, 512, 20, 12, 8, 1),
    "cifar100 c4 first": (512, 1024, 20, 24, 4, 2),
    "cifar100 c4": (1024, 1024, 20, 24, 4, 1),
    "imagenet c4 first": (512, 1024, 32, 16, 16, 2),
    "imagenet c4": (1024, 1024, 32, 16, 16, 1),
    "imagenet c5 first": (1024, 2048, 32, 32, 8, 2),
    "imagenet c5": (2048, 2048, 32, 32, 8, 1),
}
CLASSES = {10: 10, 20: 100, 32: 1000}  # by number of branches


def make_block(shape: tuple[int, ...], randomise) -> CodedBottleneck:
    torch.manual_seed(0)
    inside, outside, branches, width, active, stride = shape
    block = CodedBottleneck(inside, outside, branches, width, num_active=active, stride=stride)
    return randomise(block).double()


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest entry: single entries may be zero by cancellation."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", SHAPES)
def test_cheap_block_is_the_equation(name, mode, randomise_batch_norm):
    """Output, energies, coding loss and every gradient, in float64: only the order of summation differs."""
    block = make_block(SHAPES[name], randomise_batch_norm).train(mode == "train")
    written_out = copy.deepcopy(block)
    written_out.coded_sum = written_out_sum
    x = torch.randn(3, SHAPES[name][0], 4, 4, dtype=torch.float64)
    scheme = load_scheme(CLASSES[block.num_branches], block.num_branches, block.num_active)
    loss = CodingLoss({"block": scheme})
    drop = (torch.rand(3, block.num_branches) >= 0.3).double() / 0.7 if mode == "train" else None

    results = []
    for form in (block, written_out):
        image = x.clone().requires_grad_()
        out, energies = form(image, drop=drop)
        coding = loss({"block": energies}, torch.tensor([0, 1, 2]))
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        ((out * weight).sum() + 100 * coding).backward()
        gradients = {key: parameter.grad for key, parameter in form.named_parameters()}
        results.append({"out": out, "energies": energies, "coding": coding, "x": image.grad, **gradients})

    for key, expected in results[1].items():
        assert relative(results[0][key], expected) < 1e-10, key


def test_bfloat16_keeps_energies(randomise_batch_norm):
    """Under autocast u is rounded to 8 bits, but the sums are float32: energies stay within 2 %."""
    block = make_block(SHAPES["cifar10 c3"], randomise_batch_norm).float().eval()
    x = torch.randn(8, 512, 8, 8)
    _, exact = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        _, rounded = block(x)
    assert rounded.dtype == torch.float32
    assert ((rounded - exact).abs() / exact).max() < 0.02


def test_energy_is_the_mean_square():
    """Equation 2 on numbers that can be checked by hand: one branch, one channel of 2s."""
    u = torch.full((1, 1, 2, 2), 2.0)
    weight = torch.tensor([3.0, 0.0]).view(2, 1, 1, 1)  # outputs 6 and 0
    assert branch_energies(u, weight, num_branches=1).item() == pytest.approx(18.0)
    assert energy(torch.tensor([6.0, 0.0]).view(1, 1, 2, 1, 1)).item() == pytest.approx(18.0)


@pytest.mark.parametrize("shape", [(10,), (3, 10)])
def test_removing_a_branch_still_divides_by_all(shape, randomise_batch_norm):
    """Branches zeroed by hand before the normalisation; the mean of equation 3 keeps N in its denominator."""
    torch.manual_seed(1)
    u, weight = torch.randn(3, 40, 4, 4, dtype=torch.float64), torch.randn(8, 40, 1, 1, dtype=torch.float64)
    keep = torch.rand(shape) < 0.6
    t = torch.stack(
        [torch.nn.functional.conv2d(u[:, 4 * n : 4 * n + 4], weight[:, 4 * n : 4 * n + 4]) for n in range(10)], 1
    )
    t = t * keep.expand(3, 10)[:, :, None, None, None]
    mean = t.square().mean((2, 3, 4)).sum(1) / 10
    t = t / mean.sqrt()[:, None, None, None, None]
    for form in (coded_sum, written_out_sum):
        summed, energies = form(u, weight, 10, keep)
        assert relative(summed, t.sum(1)) < 1e-12  # float64, a dozen operations
        assert relative(energies, t.square().mean((2, 3, 4))) < 1e-12
        assert torch.allclose(energies.sum(1), torch.full((3,), 10.0, dtype=torch.float64))


def test_dropping_leaves_energies_alone():
    """dropSubNNs acts after energies are taken; dropping all branches silences the sum, not the energies."""
    u, weight = torch.randn(2, 20, 3, 3), torch.randn(6, 20, 1, 1)
    for form in (coded_sum, written_out_sum):
        plain, energies = form(u, weight, 5)
        dropped, same = form(u, weight, 5, drop=torch.zeros(2, 5))
        assert torch.equal(energies, same)
        assert dropped.abs().max() == 0 < plain.abs().max()


def test_output_does_not_depend_on_the_size_of_the_weights():
    """The normalisation makes the sum invariant under scaling conv3, whatever the scale."""
    u, weight = torch.randn(2, 20, 3, 3, dtype=torch.float64), torch.randn(6, 20, 1, 1, dtype=torch.float64)
    assert relative(coded_sum(u, 1e-3 * weight, 5)[0], coded_sum(u, weight, 5)[0]) < 1e-12


@pytest.mark.parametrize("form", [coded_sum, written_out_sum])
def test_silent_branches_give_finite_results(form):
    """No energy at all: zero output and finite gradients instead of 0/0."""
    u = torch.zeros(2, 20, 3, 3, requires_grad=True)
    weight = torch.randn(6, 20, 1, 1, requires_grad=True)
    summed, energies = form(u, weight, 5)
    (summed.sum() + energies.sum()).backward()
    for tensor in (summed, energies, u.grad, weight.grad):
        assert torch.isfinite(tensor).all()
    all_removed, _ = form(torch.randn(2, 20, 3, 3), weight, 5, torch.zeros(5, dtype=torch.bool))
    assert all_removed.abs().max() == 0


def test_last_convolution_starts_with_the_fan_out_of_all_branches():
    """std sqrt(2/(N·C_out)); 112,640 draws estimate it to about 0.2 %, 1 % is five of those."""
    torch.manual_seed(0)
    block = CodedBottleneck(256, 512, 10, 22, num_active=5, stride=1)
    plain = CodedBottleneck(256, 512, 10, 22, num_active=10, stride=1)
    assert block.conv3.weight.std().item() == pytest.approx((2 / 5120) ** 0.5, rel=0.01)
    assert plain.conv3.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert block.bn3.weight.abs().max() == 0
