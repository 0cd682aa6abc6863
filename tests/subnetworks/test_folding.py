"""Folded batch norms change nothing but rounding."""

import pytest
import torch

from coded_resnext import CodedResNeXt, extract_subnetwork, load_scheme
from coded_resnext.network.cost import PIECE_BYTES, images_at_once, largest_output
from coded_resnext.subnetworks.folding import fold
from coded_resnext.subnetworks.onnx_file import export_program


@pytest.mark.parametrize("classes", [None, [3], [1, 7]])
@pytest.mark.parametrize("stem", ["3x3", "7x7/2"])
def test_folded_network_is_the_network(classes, stem, randomise_batch_norm):
    """Logits and energies in float64; the energies are those of conv3's weights before folding."""
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    model = randomise_batch_norm(CodedResNeXt([1, 2, 2], 10, 10, 2, schemes=schemes, width=8, stem=stem)).double()
    if classes:
        model = extract_subnetwork(model, classes)
    folded = fold(model)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    images = torch.randn(3, 3, 24, 24, dtype=torch.float64)
    with torch.inference_mode():
        logits, energies = model.eval()(images, return_energies=True)
        found, folded_energies = folded(images, return_energies=True)
    assert ((found - logits).abs().max() / logits.abs().max()) < 1e-10
    for name, expected in energies.items():
        assert torch.allclose(folded_energies[name], expected, rtol=1e-9)  # sums that partly cancel, through 5 blocks


def test_a_folded_network_is_not_folded_again(randomise_batch_norm):
    folded = fold(randomise_batch_norm(CodedResNeXt([1], 10, 10, 2, width=8)))
    with pytest.raises(ValueError, match=r"block layer1\.0 is a FoldedBottleneck"):
        fold(folded)


def test_a_folded_network_removes_no_branches(randomise_batch_norm):
    model = randomise_batch_norm(CodedResNeXt([1], 10, 10, 2, width=8)).eval()
    with pytest.raises(ValueError, match="folded network cannot remove"):
        fold(model)(torch.randn(1, 3, 8, 8), branch_mask={"layer1.0": torch.ones(10, dtype=torch.bool)})


def test_pieces_have_block_outputs_of_a_cache_at_most(randomise_batch_norm):
    """The largest output, as the network computes it, in float32 and float64, of any subnetwork the same."""
    schemes = {"layer2": load_scheme(10, 10, 3)}
    model = randomise_batch_norm(CodedResNeXt([1, 1], 10, 10, 2, width=8, schemes=schemes)).eval()
    sizes = []
    for name in model.block_names:
        model.get_submodule(name).register_forward_hook(lambda module, images, output: sizes.append(output[0].numel()))
    model(torch.randn(1, 3, 24, 24))
    assert largest_output(model, 24) == max(sizes)
    pieces = images_at_once(model, 24)
    assert pieces * max(sizes) * 4 <= PIECE_BYTES < (pieces + 1) * max(sizes) * 4
    assert images_at_once(extract_subnetwork(model, [3]), 24) == pieces
    assert images_at_once(model.double(), 24) == PIECE_BYTES // (8 * max(sizes))
    assert images_at_once(model, 4096) == 1


@pytest.mark.parametrize("branch_sum", ["raw", "concatenated"])
def test_ablations_are_not_folded(branch_sum, randomise_batch_norm):
    """Their logits came out wrong, several times over, without a word."""
    schemes = {"layer2": load_scheme(10, 10, 3)}
    model = CodedResNeXt([1, 1], 10, 10, 2, schemes=schemes, width=8, branch_sum=branch_sum)
    model = randomise_batch_norm(model).eval()
    for form in (fold, lambda model: export_program(model, 24)):
        with pytest.raises(ValueError, match=r"block layer2\.0 sums its branches otherwise than equation 3"):
            form(model)
