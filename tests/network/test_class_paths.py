"""A class's path cut out answers what the masked network answers, whatever the network."""

from __future__ import annotations

import pytest
import torch

from coded_resnext import CodedResNeXt, load_scheme
from coded_resnext.network.class_paths import ClassPaths
from coded_resnext.network.model import class_mask, schemes_by_block
from coded_resnext.network.reference import write_out
from coded_resnext.network.variants import BRANCH_SUMS

SCHEMES = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}


def _network(randomise_batch_norm, **options) -> CodedResNeXt:
    torch.manual_seed(0)
    model = CodedResNeXt([1, 2, 1], 10, 10, 2, width=8, **options)
    return randomise_batch_norm(model).double().eval()


def _check_every_path(model: CodedResNeXt, schemes) -> None:
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.inference_mode():
        paths = ClassPaths(model, schemes)
        shared = paths.shared(images)
        for k in range(10):
            masked = model(images, branch_mask=class_mask(schemes, [k]))
            torch.testing.assert_close(paths.logits(shared, k), masked, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("branch_sum", BRANCH_SUMS)
def test_paths_are_those_of_the_masked_network(randomise_batch_norm, branch_sum):
    model = _network(randomise_batch_norm, schemes=SCHEMES, branch_sum=branch_sum)
    _check_every_path(model, model.schemes)


def test_a_plain_network_is_cut_by_codewords_of_another(randomise_batch_norm):
    model = _network(randomise_batch_norm)
    _check_every_path(model, schemes_by_block(SCHEMES, model.block_names, 10, 10))


def test_one_block_alone_may_be_cut(randomise_batch_norm):
    """The other coded blocks keep all branches, and their energies."""
    model = _network(randomise_batch_norm, schemes=SCHEMES)
    _check_every_path(model, {"layer2.1": model.schemes["layer2.1"]})


def test_a_network_that_computes_its_blocks_otherwise_has_paths_that_do(randomise_batch_norm):
    model = write_out(_network(randomise_batch_norm, schemes=SCHEMES))
    model.get_submodule("layer2.0").dense = True
    _check_every_path(model, model.schemes)


def test_a_path_computes_only_its_branches(randomise_batch_norm):
    model = _network(randomise_batch_norm, schemes=SCHEMES)
    paths = ClassPaths(model, model.schemes)
    paths.logits(paths.shared(torch.zeros(1, 3, 16, 16, dtype=torch.float64)), 7)
    for name, scheme in model.schemes.items():
        assert paths.path.get_submodule(name).conv3.in_channels == scheme.num_active * 2 ** int(name[5])
    assert paths.path.get_submodule("layer1.0").conv3.in_channels == 20
