"""Inputs that are no images: zero, tiny, huge, no numbers, none at all, in another layout or precision."""

import dataclasses
import math

import pytest
import torch
from image_folders import make_folder

from coded_resnext import CodingLoss, EarlyExit, extract_subnetwork, paths
from coded_resnext.data import batches
from coded_resnext.network.block import coded_sum
from coded_resnext.network.losses import total_loss
from coded_resnext.training.fit import fit
from coded_resnext.training.parameters import TrainingParameters

ODD = {"NaN": math.nan, "infinite": math.inf, "minus infinite": -math.inf, "1e30": 1e30}


def images(count=4, seed=0):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("exponent", range(-6, 7))
def test_energies_sum_to_n_act_at_any_scale(exponent):
    """Within 1e-4, from a millionth to a million, forwards and in the gradient that is then divided by the scale."""
    torch.manual_seed(0)
    u, weight = torch.randn(3, 40, 5, 5), torch.randn(24, 40, 1, 1) / 6
    scale = 10.0**exponent
    at_one = coded_sum(u, weight, 10)
    scaled = (scale * u).requires_grad_()
    summed, energies = coded_sum(scaled, weight, 10)
    assert torch.allclose(0.3 * energies.sum(1), torch.tensor(3.0), atol=1e-4)
    torch.testing.assert_close(summed, at_one[0], rtol=1e-4, atol=1e-4)  # equation 3 takes the scale out
    energies.pow(4).sum().backward()
    assert torch.isfinite(scaled.grad).all()


@pytest.mark.parametrize("value", [0.0, 1e-30, -1e-30])
def test_silence_has_a_finite_answer_and_gradient(value, network):
    """Energies below float32 are none: a block without any passes its shortcut on."""
    u = torch.full((2, 40, 3, 3), value, requires_grad=True)
    weight = torch.randn(24, 40, 1, 1, requires_grad=True)
    summed, energies = coded_sum(u, weight, 10)
    assert torch.isfinite(summed).all()
    assert (energies == 0).all()
    (energies.pow(4).sum() + summed.square().sum()).backward()
    assert torch.isfinite(u.grad).all()
    assert torch.isfinite(weight.grad).all()
    x = torch.full((2, 1, 8, 8), value)
    loss = CodingLoss(network.schemes)
    for mode in (network.eval(), network.train()):
        logits, spent = mode(x, return_energies=True)
        total_loss(logits, spent, torch.tensor([0, 1]), loss, 6.0)[0].backward()
        assert torch.isfinite(logits).all()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_image_spoils_no_other(kind, network):
    """In evaluation every image is for itself: its own row says that it is no number, all others are as without it."""
    x = images()
    cut = extract_subnetwork(network, [1, 2])
    router = EarlyExit(network, "margin", {"layer2.0": 0.1})
    spoilt = x.clone()
    spoilt[1, 0, 3, 3] = ODD[kind]
    with torch.inference_mode():
        for model in (network, cut):
            answers, others = (model(batch, return_energies=True) for batch in (x, spoilt))
            pairs = [(answers[0], others[0]), *zip(answers[1].values(), others[1].values(), strict=True)]
            for before, after in pairs:
                assert torch.equal(before[[0, 2, 3]], after[[0, 2, 3]])
                assert not torch.isfinite(after[1]).all() or kind == "1e30"
        before, after = router.predict(x), router.predict(spoilt)
    for name in ("labels", "exits", "confidence"):
        assert torch.equal(getattr(before, name)[[0, 2, 3]], getattr(after, name)[[0, 2, 3]])
    if kind != "1e30":
        assert after.confidence[1].isnan()
        assert after.exits[1] == len(network.schemes)


def test_batches_of_none_and_of_one(network):
    x = images()
    with torch.inference_mode():
        logits, energies = network(x[:0], return_energies=True)
        assert logits.shape == (0, 10)
        assert [value.shape for value in energies.values()] == [(0, 10)] * len(network.schemes)
        assert EarlyExit(network, "margin", {"layer2.0": 0.1}).predict(x[:0]).labels.shape == (0,)
        torch.testing.assert_close(network(x[:1]), network(x)[:1], rtol=1e-4, atol=1e-5)  # float32, other kernels


@pytest.mark.parametrize("layout", ["channels last", "transposed", "strided", "expanded"])
def test_another_layout_is_the_same_image(layout, network):
    x = images()
    other = {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "transposed": x.mT.contiguous().mT,
        "strided": torch.stack((x, x), -1)[..., 0],
        "expanded": x[:1].expand(4, 1, 8, 8),
    }[layout]
    expected = x[:1].repeat(4, 1, 1, 1) if layout == "expanded" else x
    with torch.inference_mode():
        torch.testing.assert_close(network(other), network(expected), rtol=1e-4, atol=1e-5)  # float32, other kernels


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_a_mantissa(dtype, network):
    """Energies are float32 whatever the network computes in, and sum to N_act as well."""
    with torch.inference_mode():
        energies = network.to(dtype)(images().to(dtype), return_energies=True)[1]
    for name, value in energies.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value.sum(1), torch.tensor(float(network.schemes[name].num_active)), atol=1e-4)


@pytest.mark.parametrize("label", [10, -1, -100])
def test_labels_out_of_range_are_refused(label, network):
    """A negative one was the codeword of a class counted from the end, and -100 is ignored by torch's cross entropy."""
    energies = network(images(2), return_energies=True)[1]
    with pytest.raises((IndexError, RuntimeError), match=r"out of (range|bounds)"):
        CodingLoss(network.schemes)(energies, torch.tensor([0, label]))


def test_same_seed_same_numbers_and_another_seed_others(tmp_path, monkeypatch):
    """Whatever the number of workers, which read images on disk."""
    make_folder(tmp_path, "shapes", [f"class{i}" for i in range(10)], per_class=7, size=(20, 24))
    monkeypatch.setattr(paths, "RAW", tmp_path)
    seen = []
    loader = batches.DataLoader
    monkeypatch.setattr(batches, "DataLoader", lambda *a, **b: seen.append(b["num_workers"]) or loader(*a, **b))
    alone = TrainingParameters(
        data="shapes", image_size=16, holdout=0, layers=(1, 1, 1), width=4, branch_width=1, epochs=1, warmup_epochs=0,
        batch_size=32, norm_batch=32,
    )  # fmt: skip
    runs = {"a": alone, "b": dataclasses.replace(alone, workers=2), "c": dataclasses.replace(alone, seed=1)}
    hashes = [fit(values, folder=tmp_path / name).weights_hash for name, values in runs.items()]
    assert {0, 2} <= set(seen)
    assert hashes[0] == hashes[1] != hashes[2]
