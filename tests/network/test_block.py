"""The cheap coded block is the paper's equations, not an approximation of them."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coded_resnext import CodingLoss, coded_resnext29_10x11d, load_scheme
from coded_resnext.network import block
from coded_resnext.network.block import CodedBottleneck, branch_energies, coded_sum, gram_energies, gram_matrices
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


@pytest.fixture
def as_on_a_gpu(monkeypatch) -> None:
    """The CPU takes the form that a GPU takes in bfloat16."""
    monkeypatch.setattr(block, "bound_by_memory", lambda u: u.dtype == torch.bfloat16)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_bfloat16_keeps_energies(device, request, randomise_batch_norm):
    """Under autocast u is rounded to 8 bits, but the sums are float32: energies stay within 2 %."""
    if device == "gpu":
        request.getfixturevalue("as_on_a_gpu")
    coded = make_block(SHAPES["cifar10 c3"], randomise_batch_norm).float().eval()
    x = torch.randn(8, 512, 8, 8)
    _, exact = coded(x)
    with torch.autocast("cpu", torch.bfloat16):
        _, rounded = coded(x)
    assert rounded.dtype == torch.float32
    assert ((rounded - exact).abs() / exact).max() < 0.02


ROUNDING = 2.0**-8  # of bfloat16, relative: 8 significant bits


def product_and_gram(u: Tensor, weight: Tensor, num_branches: int, energy_grad: Tensor):
    """Energies and their gradients by u and by G: as on a GPU in bfloat16, and the Gram form in float64."""
    results = []
    for dtype, gram_dtype in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        u = u.detach().to(dtype).requires_grad_()
        gram = gram_matrices(weight.to(gram_dtype), num_branches).requires_grad_()
        energies = gram_energies(u, gram, len(weight))
        energies.backward(energy_grad.to(gram_dtype))
        results.append([tensor.detach().double() for tensor in (energies, u.grad, gram.grad)])
    return results


@pytest.mark.parametrize("case", ["relu", "cancelling", "padded"])
def test_product_form_is_the_gram_form_but_for_rounding(case, as_on_a_gpu):
    """Every number that is rounded to bfloat16 is off by 2^-8 of itself at most: nothing is lost in sums.

    So the error of a sum is at most that of its terms without their signs. In E these are G, v and u·v; in the
    gradient by u they are G, v, the factor and their product; in that by G the factor, its product with u and the
    result. 5 % are added for products of roundings and the order of float32 sums.
    """
    torch.manual_seed(0)
    n, d, out_channels = 10, 22, 512
    u = torch.randn(4, n * d, 8, 8).relu().bfloat16()
    weight = torch.randn(out_channels, n * d, 1, 1)
    if case == "cancelling":  # Wu is a hundredth of what its terms are: E a ten-thousandth
        weight = weight[:, :1] * torch.tensor([1.0, -1.0]).repeat(n * d // 2)[:, None, None] + 0.01 * weight
        u = (1 + 0.01 * torch.randn(u.shape)).bfloat16()
    if case == "padded":
        u = F.pad(u, (0, 0, 0, 0, 0, 4))
    energy_grad = torch.randn(4, n)
    found, expected = product_and_gram(u, weight, n, energy_grad)

    absolute_gram = gram_matrices(weight.double(), n).abs().requires_grad_()
    absolute_u = u.double().abs().requires_grad_()
    unsigned = gram_energies(absolute_u, absolute_gram, out_channels)
    unsigned.backward(energy_grad.abs().double())
    bounds = [3 * unsigned.detach(), 4 * absolute_u.grad, 3 * absolute_gram.grad]
    for what, a, b, bound in zip(("E", "u", "G"), found, expected, bounds, strict=True):
        assert ((a - b).abs() <= 1.05 * ROUNDING * bound).all(), what
    if case == "padded":
        assert found[1][:, n * d :].abs().max() == 0


def test_block_as_on_a_gpu_compiles_whole(as_on_a_gpu, randomise_batch_norm):
    """Nothing is left to Python between kernels, in training and in evaluation."""
    coded = make_block((64, 64, 10, 4, 5, 1), randomise_batch_norm).float().to(memory_format=torch.channels_last)
    compiled = torch.compile(coded, backend="aot_eager", fullgraph=True)
    x = torch.randn(4, 64, 8, 8).contiguous(memory_format=torch.channels_last)
    drop = (torch.rand(4, 10) >= 0.3).float() / 0.7
    results = []
    for form in (coded, compiled):
        image = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out, energies = form(image, drop=drop)
        (out.float().square().mean() + energies.pow(4).sum()).backward()
        gradients = {key: parameter.grad for key, parameter in coded.named_parameters()}
        results.append({"out": out, "energies": energies, "x": image.grad, **gradients})
        coded.zero_grad()
    for key, expected in results[0].items():
        # a float32 sum in another order may be rounded to the next number of bfloat16
        assert relative(results[1][key].float(), expected.float()) < 2 * ROUNDING, key
    coded.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert relative(compiled(x)[1], coded(x)[1]) < 1e-6


def test_block_as_on_a_gpu_learns_the_same(randomise_batch_norm, monkeypatch):
    """The weights' gradients, with the float32 Gram product and without: 2 % apart at most, as energies are."""
    coded = make_block(SHAPES["cifar10 c3"], randomise_batch_norm).float()
    x = torch.randn(4, 512, 8, 8)
    gradients = []
    for product in (False, True):
        monkeypatch.setattr(block, "bound_by_memory", lambda u, product=product: product)
        coded.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            _, energies = coded(x)
        energies.pow(4).sum().backward()
        gradients.append({key: p.grad.clone() for key, p in coded.named_parameters() if p.grad is not None})
    assert gradients[0].keys() >= {"conv1.weight", "conv2.weight", "conv3.weight"}
    for key, expected in gradients[0].items():
        assert (gradients[1][key] - expected).norm() < 0.02 * expected.norm(), key


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


def _small_sum(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """u of 3 images and 4 branches of 2 channels, conv3's kernel, and factors of dropping."""
    torch.manual_seed(0)
    u, weight = torch.randn(3, 8, 2, 2, dtype=dtype), torch.randn(5, 8, 1, 1, dtype=dtype)
    return u.requires_grad_(), weight.requires_grad_(), torch.tensor([0.0, 2.0, 2.0, 0.0]).to(dtype).expand(3, 4)


@pytest.mark.parametrize("dropping", [False, True])
def test_gradients_can_be_differentiated_again(dropping):
    """What the block does not leave to autograd is written so that autograd can follow it."""
    u, weight, drop = _small_sum()
    summed = lambda u, weight: coded_sum(u, weight, 4, drop=drop if dropping else None)  # noqa: E731
    assert torch.autograd.gradcheck(summed, (u, weight))
    assert torch.autograd.gradgradcheck(summed, (u, weight))


def test_gradients_of_single_images_by_vmap():
    """torch.func goes through the block: the gradient by conv3's kernel, image by image."""
    u, weight, drop = _small_sum()

    def loss(weight: Tensor, u: Tensor, drop: Tensor) -> Tensor:
        summed, energies = coded_sum(u[None], weight, 4, drop=drop[None])
        return summed.square().sum() + energies.square().sum()

    together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weight.detach(), u.detach(), drop)
    for k in range(len(u)):
        (alone,) = torch.autograd.grad(loss(weight, u[k], drop[k]), weight)
        torch.testing.assert_close(together[k], alone)


def test_under_autocast_gradients_are_those_of_the_parts():
    """The convolution in bfloat16, the product with its factors in u's type, as autograd has them."""
    u, weight, drop = _small_sum(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        fused, _ = coded_sum(u, weight, 4, drop=drop, normalise=False)
        parts = F.conv2d(u * drop.repeat_interleave(2, 1)[:, :, None, None], weight)
    assert fused.dtype == torch.bfloat16
    assert torch.equal(fused, parts)
    grad = torch.randn_like(fused)
    for a, b in zip(torch.autograd.grad(fused, (u, weight), grad), torch.autograd.grad(parts, (u, weight), grad),
                    strict=True):  # fmt: skip
        assert torch.equal(a, b)


def _bytes_kept(model: nn.Module) -> int:
    """What a forward pass of two images keeps for the gradients, without the parameters."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = model(torch.randn(2, 3, 32, 32), return_energies=True)  # noqa: F841  what is kept lives as long
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(size for pointer, size in kept.items() if pointer not in parameters)


def test_a_coded_network_keeps_little_more_for_its_gradients_than_a_plain_one():
    """d² numbers a branch and image; autograd alone would keep two copies of u for Gram matrices and one scaled."""
    plain, coded = (
        _bytes_kept(coded_resnext29_10x11d(coded=coded).to(memory_format=torch.channels_last))
        for coded in (False, True)
    )
    assert coded < 1.03 * plain


@pytest.mark.parametrize("shape", [(4, 8, 16), (16, 4, 4), (22, 6, 256)])
def test_gradients_are_those_of_autograd_to_the_bit(shape, monkeypatch):
    """Runs end with the weights that records name, whatever a step keeps in memory."""
    width, batch, pixels = shape
    torch.manual_seed(0)
    side = math.isqrt(pixels)
    u = torch.randn(batch, 10 * width, side, side).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(32, 10 * width, 1, 1).contiguous(memory_format=torch.channels_last)
    drop = torch.tensor([0.0, 1.25, 1.25, 1.25, 1.25]).repeat(batch, 2)
    results = []
    for by_autograd in (False, True):
        if by_autograd:
            monkeypatch.setattr(block._OuterProducts, "apply", lambda u: u @ u.mT)
            monkeypatch.setattr(block._ScaledSum, "apply", lambda u, factors, weight: F.conv2d(u * factors, weight))
        inputs = u.clone().requires_grad_(), weight.clone().requires_grad_()
        summed, energies = coded_sum(*inputs, 10, drop=drop)
        (summed.square().sum() + energies.square().sum()).backward()
        results.append([summed, energies, *(tensor.grad for tensor in inputs)])
    assert all(map(torch.equal, *results))
