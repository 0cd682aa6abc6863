"""Subnetworks are the masked network, with fewer weights."""

import numpy as np
import pytest
import torch

from coded_resnext import (
    CodedResNeXt,
    class_mask,
    coded_resnext29_10x11d,
    coded_resnext29_20x6d,
    coded_resnext50_32x4d,
    decode,
    extract_subnetwork,
    load_scheme,
    load_subnetwork,
    save_subnetwork,
)
from coded_resnext.errors import NotEqual
from coded_resnext.network.block import CodedBottleneck
from coded_resnext.subnetworks import extract as module
from coded_resnext.subnetworks.manifest import describe

FACTORIES = {"10x11d": coded_resnext29_10x11d, "20x6d": coded_resnext29_20x6d, "32x4d": coded_resnext50_32x4d}
SIDE = {"10x11d": 8, "20x6d": 8, "32x4d": 40}  # images, kept small: the same layers at fewer places
# Both are the same sums in another order, and rounding is amplified through nine or sixteen blocks.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


@pytest.fixture
def small(randomise_batch_norm) -> CodedResNeXt:
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    model = CodedResNeXt([1, 2, 2], 10, 10, 2, schemes=schemes, width=8, in_channels=1)
    return randomise_batch_norm(model).eval()


def random_network(name, randomise_batch_norm, dtype=torch.float64):
    torch.manual_seed(0)
    return randomise_batch_norm(FACTORIES[name]()).eval().to(dtype)


def subsets(num_classes, count, seed=0):
    """Random sets of 2 … K classes, in random order."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(num_classes)[: rng.integers(2, num_classes + 1)].tolist() for _ in range(count)]


@torch.inference_mode()
def assert_is_masked(model, classes, images):
    subnetwork = extract_subnetwork(model, classes)
    masks = class_mask(model.schemes, classes)
    logits, energies = model(images, return_energies=True, branch_mask=masks)
    cut_logits, cut_energies = subnetwork(images, return_energies=True)
    assert cut_logits.shape == (len(images), len(classes))
    assert list(cut_energies) == list(energies)
    triples = [(cut_logits, logits[:, classes], logits)]  # a class's own logit may be next to nothing by chance
    triples += [(cut_energies[name], energies[name][:, mask], energies[name]) for name, mask in masks.items()]
    for found, expected, scale in triples:
        assert (found - expected).abs().max() <= TOLERANCE[images.dtype] * scale.abs().max()
    if len(classes) > 1:  # equation 7 among the classes that are left
        for name, scheme in subnetwork.schemes.items():
            among = (energies[name] @ torch.tensor(model.schemes[name].words[classes], dtype=images.dtype).T).argmax(1)
            assert torch.equal(decode(cut_energies[name], scheme), among)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_class_and_random_subsets_of_a_small_network(small, dtype):
    images = torch.randn(3, 1, 8, 8, dtype=dtype)
    for classes in [[k] for k in range(10)] + subsets(10, 10):
        assert_is_masked(small.to(dtype), classes, images)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["10x11d", "20x6d"])
def test_a_class_and_a_subset_of_the_papers_networks(name, dtype, randomise_batch_norm):
    model = random_network(name, randomise_batch_norm, dtype)
    images = torch.randn(2, 3, SIDE[name], SIDE[name], dtype=dtype)
    for classes in ([model.num_classes - 1], subsets(model.num_classes, 1)[0][:3]):
        assert_is_masked(model, classes, images)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FACTORIES)
def test_every_class_of_the_papers_networks(name, dtype, randomise_batch_norm):
    """Twenty classes of the largest, and subsets of all."""
    model = random_network(name, randomise_batch_norm, dtype)
    images = torch.randn(2, 3, SIDE[name], SIDE[name], dtype=dtype)
    singles = range(model.num_classes) if model.num_classes <= 100 else range(0, model.num_classes, 50)
    for classes in [[k] for k in singles] + subsets(model.num_classes, 5):
        assert_is_masked(model, classes, images)


def test_all_classes_are_the_full_network(small):
    """The shipped schemes use every branch, so that nothing is cut; the logits come in the order asked for."""
    order = np.random.default_rng(1).permutation(10).tolist()
    everything = extract_subnetwork(small, order)
    images = torch.randn(3, 1, 8, 8)
    assert torch.allclose(everything(images), small(images)[:, order], atol=1e-5)  # float32
    assert sum(p.numel() for p in everything.parameters()) == sum(p.numel() for p in small.parameters())


def test_the_full_network_stays_as_it_was(small):
    """Also its mode; and the subnetwork's weights are its own."""
    small.train()
    before = {key: value.clone() for key, value in small.state_dict().items()}
    one = extract_subnetwork(small, [3])
    assert small.training
    assert not one.training
    with torch.no_grad():
        for tensor in one.state_dict().values():
            tensor.zero_()
    assert all(torch.equal(value, before[key]) for key, value in small.state_dict().items())


def test_a_branch_that_is_no_ones_counts_as_zero_energy(small):
    """Energies of a cut block still sum to N_act: equation 3 divides by the N of the full network."""
    _, energies = extract_subnetwork(small, [3])(torch.randn(2, 1, 8, 8), return_energies=True)
    for name, scheme in small.schemes.items():
        assert energies[name].shape == (2, scheme.num_active)
        assert torch.allclose(energies[name].sum(1), torch.full((2,), float(scheme.num_active)), rtol=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "bn1", "conv2", "bn2", "conv3", "fc"])
def test_a_wrong_cut_is_noticed(layer, small, monkeypatch):
    """The check at every extraction: one tensor of one layer from the wrong branches."""
    right = module.cut_weights

    def wrong(weights, kept, classes):
        cut = right(weights, kept, classes)
        for key, value in cut.items():
            if f"{layer}." in key and (key.startswith("fc") or key.split(".")[0] + ".0" in kept):
                cut[key] = value.roll(1, dims=1 if layer == "conv3" else 0) if value.ndim else value
        return cut

    monkeypatch.setattr(module, "cut_weights", wrong)
    with pytest.raises(NotEqual, match=r"classes \[2, 5\] is not the masked network.*1e-10 is allowed"):
        extract_subnetwork(small, [2, 5])


@pytest.mark.parametrize("dtype", module.DTYPES)
def test_one_weight_off_by_what_float32_would_not_show(small, dtype, monkeypatch):
    """Both networks are compared as float64 copies, and stay what they are."""
    cut = module.cut_weights

    def wrong(*arguments):
        weights = cut(*arguments)
        weights["layer3.0.conv2.weight"] = weights["layer3.0.conv2.weight"] * (1 + 1e-6)
        return weights

    one = extract_subnetwork(small.to(dtype), [2])
    assert (one.fc.weight.dtype, small.fc.weight.dtype) == (dtype, dtype)
    assert (one.check["tolerance"], one.check["dtype"]) == (1e-10, str(dtype).removeprefix("torch."))
    monkeypatch.setattr(module, "cut_weights", wrong)
    with pytest.raises(NotEqual, match="is not the masked network"):
        extract_subnetwork(small, [2])


def test_weights_that_are_no_numbers_are_noticed(small):
    with torch.no_grad():
        small.layer3[0].conv2.weight[:] = torch.nan
    with pytest.raises(NotEqual, match=r"inf.*finite"):
        extract_subnetwork(small, [2])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "at least one class"),
        ([3, 1, 3], "class 3 is listed 2 times"),
        ([1, 10], r"class 10 is not in 0 … 9"),
        ([-1], r"class -1 is not in 0 … 9"),
    ],
)
def test_bad_classes_are_refused(small, classes, message):
    with pytest.raises(ValueError, match=message):
        extract_subnetwork(small, classes)


def test_a_plain_network_has_nothing_to_cut():
    plain = CodedResNeXt([1, 1, 1], 10, 10, 2, width=8)
    with pytest.raises(ValueError, match=r"plain.*nothing to cut"):
        extract_subnetwork(plain, [0])


def test_weights_that_need_float64_are_cut_and_kept_in_it(small, tmp_path):
    """They were rounded to float32 on the way into the smaller network, which then refused itself."""
    model = small.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1e-9 * torch.randn_like(parameter)
    subnetwork = extract_subnetwork(model, [3, 8])
    assert subnetwork.check["difference"] <= subnetwork.check["tolerance"] == 1e-10
    about = {"name": "digits", "mean": [0.5], "std": [0.5], "image_size": 8, "crop": False}
    manifest = describe(subnetwork, model, class_names=["3", "8"], data=about, parent="", threshold=None)
    save_subnetwork(tmp_path, subnetwork, manifest)
    again = load_subnetwork(tmp_path).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in subnetwork.state_dict().items())


def test_the_small_blocks_are_made_small(small, monkeypatch):
    """Not the full network first, whose weights are drawn and thrown away."""
    made = []
    original = CodedBottleneck.__init__

    def noted(self, *args, **kwargs):
        original(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(CodedBottleneck, "__init__", noted)
    subnetwork = extract_subnetwork(small, [3])
    assert [block.kept for block in made] == [10, 5, 5, 3, 3]
    assert len(made) == len(subnetwork.block_names)
