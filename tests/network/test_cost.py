"""Parameters and multiply-adds: what a network costs, against torch's own counter and the paper's shares."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coded_resnext import (
    CodedResNeXt,
    coded_resnext29_10x11d,
    coded_resnext29_20x6d,
    coded_resnext50_32x4d,
    extract_subnetwork,
    load_scheme,
)
from coded_resnext.network.cost import count_parameters, multiply_adds

PAPERS = [(coded_resnext29_10x11d, 32), (coded_resnext29_20x6d, 32), (coded_resnext50_32x4d, 160)]


def small(stem="3x3") -> CodedResNeXt:
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    return CodedResNeXt([1, 2, 2], 10, 10, 2, schemes=schemes, width=8, in_channels=1, stem=stem).eval()


@pytest.mark.parametrize("size", [8, 15, 32])
@pytest.mark.parametrize("stem", ["3x3", "3x3/2", "7x7/2"])
@pytest.mark.parametrize("cut", [False, True])
def test_closed_form_is_what_torch_counts(size, stem, cut):
    """torch counts products of matrices, two operations each: convolutions, fc, u uᵀ and also WᵀW, once a batch of 1.

    It does not see elementwise products: the inner product with WᵀW and the normaliser.
    """
    model = extract_subnetwork(small(stem), [2, 7]) if cut else small(stem)
    cost = multiply_adds(model, size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.randn(1, 1, size, size))
    unseen, once = 0, 0
    for name in model.schemes:
        block = model.get_submodule(name)
        gram = block.kept * block.conv2.weight.shape[1] ** 2
        unseen += gram + cost.blocks[name].normaliser
        once += gram * block.conv3.out_channels
    assert counter.get_total_flops() == 2 * (cost.total - unseen + once)


@pytest.mark.parametrize(
    ("paper", "everything", "without_shortcuts", "convolutions"),
    [(PAPERS[0], 46.3, 37.2, 61.9), (PAPERS[1], 37.4, 27.1, 55.2), (PAPERS[2], 41.6, 34.3, 69.6)],
)
def test_what_one_class_keeps(paper, everything, without_shortcuts, convolutions):
    """Percent of the full network, from the tensors that are there; every class keeps as much."""
    factory, size = paper
    model = factory()
    one = extract_subnetwork(model, [model.num_classes - 1])
    full, kept = count_parameters(model), count_parameters(one)
    assert round(100 * kept.total / full.total, 1) == everything
    assert round(100 * kept.without_shortcuts / full.without_shortcuts, 1) == without_shortcuts
    full_cost, kept_cost = multiply_adds(model, size), multiply_adds(one, size)
    assert round(100 * kept_cost.convolutions / full_cost.convolutions, 1) == convolutions
    # the energies are cut by more than the rest, and are a hundredth of it
    assert convolutions - 0.3 < 100 * kept_cost.total / full_cost.total < convolutions


@pytest.mark.parametrize(
    ("paper", "whole", "energies"),
    [
        (PAPERS[0], [45, 54, 64, 81, 91, 100], [37, 50, 60, 73, 87, 96]),
        (PAPERS[2], [53, 59, 64, 69, 74, 79, 89, 95, 100], [48, 56, 61, 67, 72, 77, 85, 92, 97]),
    ],
)
def test_where_computation_stands_when_a_block_decodes(paper, whole, energies):
    """Percent of all multiply-adds: of the block to its end, and of what its energies need."""
    factory, size = paper
    model = factory()
    cost = multiply_adds(model, size)
    for which, expected in ((True, whole), (False, energies)):
        assert [round(100 * cost.until(name, whole=which) / cost.total) for name in model.schemes] == expected


def test_a_block_decodes_against_its_codewords():
    cost = multiply_adds(small(), 8)
    assert [block.decoding for block in cost.blocks.values()] == [0, 100, 100, 100, 100]
    assert [block.energies > 0 for block in cost.blocks.values()] == [False, True, True, True, True]


def test_costs_of_a_conventional_network_are_its_convolutions():
    plain = coded_resnext29_10x11d(coded=False)
    cost = multiply_adds(plain, 32)
    assert cost.total == cost.convolutions == multiply_adds(coded_resnext29_10x11d(), 32).convolutions
