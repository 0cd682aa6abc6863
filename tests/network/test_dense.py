"""Grouped convolutions computed as one dense one: the same network."""

import copy

import pytest
import torch
import torch.nn.functional as F

from coded_resnext import CodedResNeXt, CodingLoss, coded_resnext29_10x11d, load_scheme
from coded_resnext.network.dense import block_diagonal
from coded_resnext.network.forms import use_faster_form
from coded_resnext.network.norm import set_portions
from coded_resnext.network.reference import write_out


def make_dense(model: CodedResNeXt) -> CodedResNeXt:
    for name in model.block_names:
        model.get_submodule(name).dense = True
    return model


def test_block_diagonal_is_the_grouped_convolution():
    x, weight = torch.randn(2, 12, 5, 5, dtype=torch.float64), torch.randn(12, 3, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(
        F.conv2d(x, block_diagonal(weight, 4), padding=1), F.conv2d(x, weight, padding=1, groups=4), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("mask", [False, True])
def test_the_dense_network_is_the_grouped_one(coded, mode, mask, randomise_batch_norm):
    """Logits, energies, gradients and running statistics of two steps, in float64: sums in another order."""
    if mask and mode == "train":
        pytest.skip("masks are for evaluation")
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)} if coded else None
    grouped = CodedResNeXt([1, 2, 1], 10, 10, 1, width=8, schemes=schemes)  # 10, 20 and 40 channels: two are padded
    randomise_batch_norm(grouped).double().train(mode == "train")
    dense = make_dense(copy.deepcopy(grouped))
    options = {"branch_mask": {"layer2.1": torch.rand(4, 10) < 0.7}} if mask else {}
    results = []
    for model in (grouped, dense):
        for step in range(2):
            torch.manual_seed(step)
            x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
            logits, energies = model(x, return_energies=True, **options)
            loss = logits.square().mean() + 6 * CodingLoss(model.schemes)(energies, torch.arange(4))
            loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        results.append({"logits": logits, **energies, **model.state_dict(), **gradients})
    for key, expected in results[0].items():
        assert (results[1][key] - expected).abs().max() <= 1e-12 * max(1, expected.abs().max()), key


def test_branches_written_out_do_not_see_the_padding(randomise_batch_norm):
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5)}
    grouped = randomise_batch_norm(CodedResNeXt([1, 1], 10, 10, 3, width=8, schemes=schemes)).double().eval()
    dense = write_out(make_dense(copy.deepcopy(grouped)))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(dense(x), grouped(x), rtol=1e-10, atol=1e-12)


def test_a_cpu_keeps_the_grouped_form():
    model = coded_resnext29_10x11d()
    assert use_faster_form(model, 32, 512, torch.float32, backward=True) == "grouped"
    assert not model.layer1[0].dense


@pytest.mark.parametrize("portions", [1, 2])
def test_a_compiled_dense_step_is_one_graph_and_compiled_once(portions):
    """As a GPU trains: bfloat16, padded channels, batch norm in portions; aot_eager needs no compiler."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = make_dense(CodedResNeXt([1, 1], 10, 10, 3, width=8, schemes={"layer2": load_scheme(10, 10, 5)}))
    set_portions(model, portions)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            x = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits, energies = compiled(x, return_energies=True)
            loss = F.cross_entropy(logits.float(), torch.arange(4)) + CodingLoss(model.schemes)(
                energies, torch.arange(4)
            )
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    assert torch.isfinite(loss)
