"""The networks: sizes, torchvision's names and numbers, masks, dropping, decoding."""

import copy

import numpy as np
import pytest
import torch
import torchvision

from coded_resnext import (
    CodedResNeXt,
    CodingScheme,
    class_mask,
    coded_resnext29_10x11d,
    coded_resnext29_20x6d,
    coded_resnext50_32x4d,
    decode,
    load_scheme,
)
from coded_resnext.network.reference import write_out

SMALL = {"layers": [2, 2, 2], "num_classes": 10, "num_branches": 10, "branch_width": 2, "width": 8, "in_channels": 1}


def small(**changes) -> CodedResNeXt:
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    return CodedResNeXt(**SMALL, **{"schemes": schemes, **changes})


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize(
    ("factory", "expected"),
    [(coded_resnext29_10x11d, 4_638_926), (coded_resnext29_20x6d, 4_749_136), (coded_resnext50_32x4d, 25_027_904)],
)
def test_parameter_counts(factory, expected, coded):
    """Table 1's networks, everything counted; coding costs no parameter."""
    assert sum(p.numel() for p in factory(coded=coded).parameters()) == expected


@pytest.mark.parametrize(
    ("factory", "first", "ratios"),
    [
        (coded_resnext29_10x11d, "layer2.0", [5] * 3 + [3] * 3),
        (coded_resnext29_20x6d, "layer2.0", [8] * 3 + [4] * 3),
        (coded_resnext50_32x4d, "layer3.0", [16] * 6 + [8] * 3),
    ],
)
def test_coded_blocks_of_the_paper(factory, first, ratios):
    model = factory()
    assert next(iter(model.schemes)) == first
    assert [scheme.num_active for scheme in model.schemes.values()] == ratios
    assert factory(coded=False).schemes == {}


def test_uncoded_network_is_torchvisions(randomise_batch_norm):
    """Keys, shapes and logits of resnext50_32x4d, but for the bias of fc."""
    torch.manual_seed(0)
    theirs = randomise_batch_norm(torchvision.models.resnext50_32x4d()).eval()
    ours = coded_resnext50_32x4d(coded=False).eval()
    weights = theirs.state_dict()
    bias = weights.pop("fc.bias")
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in weights.items()}
    ours.load_state_dict(weights)
    x = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        expected = theirs(x) - bias
        scale = expected.abs().max()
        assert ((ours(x) - expected).abs().max() / scale) < 1e-5  # float32, sums in another order


def test_coded_and_plain_checkpoints_are_interchangeable():
    coded, plain = small(), small(schemes=None)
    plain.load_state_dict(coded.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(coded.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_whole_network_equals_the_written_out_one(mode, randomise_batch_norm):
    """Same seed, so the same drop masks: logits, energies and gradients of a float64 network."""
    model = randomise_batch_norm(small()).double().train(mode == "train")
    reference = write_out(copy.deepcopy(model))
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    outs = []
    for net in (model, reference):
        torch.manual_seed(7)
        logits, energies = net(x, return_energies=True)
        (logits.square().sum() + sum(e.pow(3).sum() for e in energies.values())).backward()
        outs.append([logits, *energies.values(), *(p.grad for p in net.parameters())])
    for found, expected in zip(*outs, strict=True):
        assert ((found - expected).abs().max() / expected.abs().max()) < 1e-9  # 1e-10 a block, through six of them


def test_energies_sum_to_the_active_branches(randomise_batch_norm):
    model = randomise_batch_norm(small()).eval()
    _, energies = model(torch.randn(3, 1, 8, 8), return_energies=True)
    assert list(energies) == list(model.schemes) == ["layer2.0", "layer2.1", "layer3.0", "layer3.1"]
    for name, value in energies.items():
        assert value.dtype == torch.float32
        assert torch.allclose(value.sum(1), torch.full((3,), float(model.schemes[name].num_active)), rtol=1e-5)


def test_prediction_needs_no_mode_or_label_and_repeats(randomise_batch_norm):
    model = randomise_batch_norm(small()).eval()
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(model(x), model(x))


def test_one_drop_mask_for_consecutive_blocks_of_a_scheme(monkeypatch):
    """Equal schemes in a row share their draw; another scheme, or a gap, draws anew."""
    other = CodingScheme(np.roll(load_scheme(10, 10, 5).words, 1, axis=1))
    cases = {
        2: {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)},
        1: {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 5)},
        3: {"layer2.0": other, "layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)},
    }
    cases_with_gap = {"layer1": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 5)}
    for expected, schemes in [*cases.items(), (2, cases_with_gap)]:
        model = small(schemes=schemes).train()
        draws = []
        original = model._draw_drop
        monkeypatch.setattr(model, "_draw_drop", lambda x, o=original, d=draws: d.append(o(x)) or d[-1])
        seen = []
        for name in model.schemes:
            model.get_submodule(name).register_forward_pre_hook(lambda m, args, s=seen: s.append(args[2]))
        model(torch.randn(4, 1, 8, 8))
        assert len(draws) == expected
        assert len(seen) == len(model.schemes)
        assert all(any(mask is draw for draw in draws) for mask in seen)


def test_drop_probability():
    """40,000 draws at p = 0.2: the share dropped is within 0.01, 5 standard deviations; the rest is scaled by 1/0.8."""
    factors = small(drop_branch=0.2)._draw_drop(torch.empty(4000, 1))
    assert factors.unique().tolist() == pytest.approx([0, 1.25])
    assert (factors == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)


def test_masks(randomise_batch_norm):
    """An all-true mask changes nothing, one row serves the whole batch, and rows act on their own sample."""
    model = randomise_batch_norm(small()).eval()
    x = torch.randn(3, 1, 8, 8)
    full = model(x)
    assert torch.equal(model(x, branch_mask={"layer2.1": torch.ones(10, dtype=torch.bool)}), full)
    row = torch.rand(10) < 0.5
    one_row = model(x, branch_mask={"layer2.1": row})
    assert torch.equal(one_row, model(x, branch_mask={"layer2.1": row.expand(3, 10)}))
    only_first = torch.ones(3, 10, dtype=torch.bool)
    only_first[0] = row
    mixed = model(x, branch_mask={"layer2.1": only_first})
    assert torch.allclose(mixed[0], one_row[0], atol=1e-5)  # float32
    assert torch.allclose(mixed[1:], full[1:], atol=1e-5)
    assert not torch.allclose(mixed[0], full[0], atol=1e-3)


def test_mask_of_an_uncoded_block_silences_the_branch(randomise_batch_norm):
    """Without normalisation a removed branch is one whose conv3 columns are zero."""
    model = randomise_batch_norm(small(schemes=None)).eval()
    x = torch.randn(2, 1, 8, 8)
    keep = torch.arange(10) != 3
    masked = model(x, branch_mask={"layer2.0": keep})
    with torch.no_grad():
        model.layer2[0].conv3.weight[:, 12:16] = 0  # d is 4 in the second stage
    assert torch.allclose(masked, model(x), atol=1e-5)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"layer2.9": torch.ones(10, dtype=torch.bool)}, "layer2.9.*layer2.0"),
        ({"layer2.0": torch.ones(9, dtype=torch.bool)}, r"\(10,\) or, for 2 images, \(2, 10\).*\(9,\)"),
        ({"layer2.0": torch.ones(3, 10, dtype=torch.bool)}, r"for 2 images, \(2, 10\).*\(3, 10\)"),
        ({"layer2.0": torch.ones(10)}, "boolean.*float32"),
    ],
)
def test_bad_masks_are_named(mask, message):
    with pytest.raises(ValueError, match=message):
        small().eval()(torch.randn(2, 1, 8, 8), branch_mask=mask)


def test_the_network_is_one_graph():
    """Nothing in it depends on values, so `torch.compile` has no place to cut; in training with drop masks too."""
    explained = torch._dynamo.explain(small(drop_branch=0.1).train())(torch.randn(4, 1, 8, 8), return_energies=True)
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons


def test_masks_are_for_evaluation():
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        small().train()(torch.randn(2, 1, 8, 8), branch_mask={"layer2.0": torch.ones(10, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schemes": {"layer2": load_scheme(100, 20, 8)}}, "20 branches, the network has 10.*design_scheme"),
        ({"schemes": {"layer9": load_scheme(10, 10, 5)}}, "layer9.*layer1, layer2, layer3"),
        ({"schemes": {"layer2": CodingScheme(np.eye(10)[:4])}}, "4 classes, the network has 10"),
        ({"stem": "5x5"}, "5x5.*3x3"),
        ({"drop_branch": 1.0}, "below 1"),
    ],
)
def test_bad_networks_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_a_block_scheme_wins_over_its_stages():
    ablation = load_scheme(10, 10, 7)
    model = small(schemes={"layer2": load_scheme(10, 10, 5), "layer2.1": ablation})
    assert [model.schemes[name] for name in ("layer2.0", "layer2.1")] == [load_scheme(10, 10, 5), ablation]


def test_decoding_is_the_nearest_codeword():
    """Against the distances themselves, equation 7."""
    scheme = load_scheme(10, 10, 3)
    energies = torch.rand(200, 10, dtype=torch.float64)
    distance = torch.cdist(energies, torch.tensor(scheme.words, dtype=torch.float64))
    assert torch.equal(decode(energies, scheme), distance.argmin(1))
    assert decode(torch.tensor(scheme.words, dtype=torch.float32), scheme).tolist() == list(range(10))
    with pytest.raises(ValueError, match=r"\(B, 10\)"):
        decode(torch.rand(3, 9), scheme)


def test_class_mask_is_the_union_of_codewords():
    schemes = small().schemes
    masks = class_mask(schemes, [0, 4])
    for name, scheme in schemes.items():
        assert masks[name].tolist() == (scheme.words[0] | scheme.words[4]).tolist()
    with pytest.raises(ValueError, match=r"class 10 .* 0 … 9"):
        class_mask(schemes, [10])
    with pytest.raises(ValueError, match="at least one"):
        class_mask(schemes, [])
