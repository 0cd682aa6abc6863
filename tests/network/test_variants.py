"""The sums that ablations put in the place of equation 3, against their definitions written out."""

import pytest
import torch
import torch.nn.functional as F

from coded_resnext import CodedResNeXt, class_mask, load_scheme
from coded_resnext.network.block import coded_sum
from coded_resnext.network.variants import concatenated_sum, raw_sum

BATCH, BRANCHES, WIDTH, SIZE = 3, 4, 2, 3
KEEP = torch.tensor([True, False, True, True])


@pytest.fixture
def tensors():
    def make(channels):
        generator = torch.Generator().manual_seed(0)
        u = torch.randn(BATCH, BRANCHES * WIDTH, SIZE, SIZE, generator=generator, dtype=torch.float64)
        weight = torch.randn(channels, BRANCHES * WIDTH, 1, 1, generator=generator, dtype=torch.float64)
        drop = torch.tensor([[0, 1.25, 1.25, 1.25], [1.25, 0, 1.25, 0], [1.25] * 4], dtype=torch.float64)
        return u, weight, drop

    return make


@pytest.mark.parametrize("keep", [None, KEEP])
def test_a_raw_sum_is_not_normalised(tensors, keep):
    u, weight, drop = tensors(8)
    total, energies = raw_sum(u, weight, BRANCHES, keep, drop)
    for n in range(BRANCHES):
        own = slice(n * WIDTH, (n + 1) * WIDTH)
        t = F.conv2d(u[:, own], weight[:, own]) * (1 if keep is None else keep[n])
        torch.testing.assert_close(energies[:, n], t.square().mean((1, 2, 3)), rtol=1e-10, atol=0)
        total = total - t * drop[:, n, None, None, None]
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [8, 10])  # slices of 2; of 3, 2, 3 and 2
def test_concatenated_branches_share_no_channel(tensors, channels):
    u, weight, _ = tensors(channels)
    total, energies = concatenated_sum(u, weight, BRANCHES)
    writers = [n for c in range(channels) for n in [c * BRANCHES // channels]]
    assert sorted(set(writers)) == list(range(BRANCHES))
    parts = []
    for n in range(BRANCHES):
        own = slice(n * WIDTH, (n + 1) * WIDTH)
        parts.append(F.conv2d(u[:, own], weight[[c for c, writer in enumerate(writers) if writer == n]][:, own]))
    written = torch.cat(parts, 1)
    power = torch.stack([part.square().sum((1, 2, 3)) for part in parts], 1) / (channels * SIZE * SIZE)
    scale = power.mean(1, keepdim=True).rsqrt()
    torch.testing.assert_close(energies, power * scale.square(), rtol=1e-10, atol=0)
    torch.testing.assert_close(total, written * scale[:, :, None, None], rtol=1e-10, atol=1e-12)


def test_a_silent_branch_shows_in_concatenated_channels_only(tensors):
    u, weight, _ = tensors(8)
    assert (concatenated_sum(u, weight, BRANCHES, KEEP)[0] == 0).all((0, 2, 3)).sum() == 2
    assert not (coded_sum(u, weight, BRANCHES, KEEP)[0] == 0).all((0, 2, 3)).any()


@pytest.mark.parametrize("branch_sum", ["normalised", "raw", "concatenated"])
def test_networks_of_all_sums_share_their_checkpoints(branch_sum):
    def network(kind):
        torch.manual_seed(0)
        schemes = {"layer2": load_scheme(10, 10, 5)}
        return CodedResNeXt([1, 1], 10, 10, 2, schemes=schemes, width=8, branch_sum=kind).eval()

    model = network(branch_sum)
    model.load_state_dict(network("normalised").state_dict())
    images = torch.randn(2, 3, 8, 8)
    logits, energies = model(images, return_energies=True, branch_mask=class_mask(model.schemes, [3]))
    assert logits.isfinite().all()
    assert (energies["layer2.0"].sum(1) - 5).abs().max() < 1e-4 or branch_sum == "raw"


def test_an_unknown_sum_is_refused():
    with pytest.raises(ValueError, match=r"unknown branch_sum 'product'; there are normalised, raw, concatenated"):
        CodedResNeXt([1], 10, 10, 2, branch_sum="product")
