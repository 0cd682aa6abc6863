"""The network really stops where its energies say so, and answers what a whole pass would have answered there."""

import dataclasses
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coded_resnext import CodedResNeXt, EarlyExit, decode, load_scheme
from coded_resnext.early_exit.calibration import calibrate
from coded_resnext.early_exit.stopping import STOPS_ABOVE, StoppingRule
from coded_resnext.evaluation.prediction import Predictions
from coded_resnext.network.cost import multiply_adds
from coded_resnext.network.reference import write_out
from coded_resnext.subnetworks.folding import fold

BATCH = 64


def build(randomise, seed=4):  # of those tried, the first whose blocks often decode equally in a row
    torch.manual_seed(seed)
    model = CodedResNeXt(
        [1, 2, 2], 10, 10, 2, width=8,
        schemes={"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)},
    )  # fmt: skip
    return randomise(model).double().eval()


@pytest.fixture
def network(randomise_batch_norm):
    return build(randomise_batch_norm)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    scale = torch.rand(BATCH, 1, 1, 1, generator=generator, dtype=torch.float64) * 4  # samples that differ
    return scale * torch.randn(BATCH, 3, 8, 8, generator=generator, dtype=torch.float64)


def whole_pass(model, images):
    with torch.inference_mode():
        logits, energies = model(images, return_energies=True)
    return Predictions(logits, energies)


def calibrated(model, images):
    labels = torch.arange(len(images)) % 10
    return calibrate(model, whole_pass(model, images), labels)


def written_out(model, predictions, policy, thresholds, calibration):
    """Sample by sample and block by block, from whole energies, by the policies' definitions alone."""
    answers = []
    for i in range(len(predictions.logits)):
        answer, past, likelihood = None, [], torch.zeros(10, dtype=torch.float64)
        for place, (name, scheme) in enumerate(model.schemes.items()):
            v = predictions.energies[name][i]
            words = torch.tensor(scheme.words).double()
            distances = (v - words).norm(dim=1)
            label = int(distances.argmin())
            probable = (-distances / calibration.temperatures[name]).softmax(0)
            past.append(label)
            if policy == "posterior":
                channel = calibration.channels[name]
                one = gaussian(channel.one_mean, channel.one_std).log_prob(v.sqrt())
                zero = gaussian(channel.zero_mean, channel.zero_std).log_prob(v.sqrt())
                likelihood = likelihood + torch.where(words > 0, one, zero).sum(1)
                probable = (likelihood / calibration.posterior_temperatures[name]).softmax(0)
                label = int(probable.argmax())
            nearest = distances.sort().values
            run = next((n for n, other in enumerate(reversed(past)) if other != past[-1]), len(past))
            score = {
                "distance": nearest[0], "margin": nearest[1] - nearest[0], "patience": run,
                "entropy": -(probable * probable.log()).sum(), "posterior": probable.max(),
            }[policy]  # fmt: skip
            sign = 1 if policy in ("margin", "patience", "posterior") else -1
            if name in thresholds and sign * score >= sign * thresholds[name]:
                answer = (label, place, float(probable[label]))
                break
        if answer is None:
            probable = (predictions.logits[i] / calibration.temperatures["softmax"]).softmax(0)
            answer = (int(probable.argmax()), len(model.schemes), float(probable.max()))
        answers.append(answer)
    labels, exits, confidence = zip(*answers, strict=True)
    return torch.tensor(labels), torch.tensor(exits), torch.tensor(confidence, dtype=torch.float64)


def gaussian(mean, std):
    return torch.distributions.Normal(*(torch.tensor(number, dtype=torch.float64) for number in (mean, std)))


def some_thresholds(model, calibration, policy, images):
    """At every block a threshold that splits the samples: the median of what the policy scores there."""
    if policy == "patience":
        return dict.fromkeys(model.schemes, 2)
    rule = EarlyExit(model, policy, {}, calibration).rule
    readings = rule.read_all(whole_pass(model, images).energies)
    return {name: reading.score.quantile(0.5).item() for name, reading in readings.items()}


@pytest.mark.parametrize("policy", STOPS_ABOVE)
def test_routed_equals_simulated(policy, network, images):
    """Sample by sample, in float64, where rows do not depend on the batch they are in beyond rounding."""
    calibration = calibrated(network, images)
    thresholds = some_thresholds(network, calibration, policy, images)
    closed = 0 if policy == "patience" else 1  # a block that is no exit; where nobody has decoded twice, it never was
    del thresholds[list(thresholds)[closed]]
    routed = EarlyExit(network, policy, thresholds, calibration).predict(images)
    labels, exits, confidence = written_out(network, whole_pass(network, images), policy, thresholds, calibration)
    assert len(exits.unique()) >= 3  # leavers at several places, or nothing is tested
    assert closed not in exits
    assert torch.equal(routed.labels, labels)
    assert torch.equal(routed.exits, exits)
    torch.testing.assert_close(routed.confidence, confidence, rtol=1e-9, atol=1e-12)  # other orders of summation


@pytest.mark.parametrize("policy", STOPS_ABOVE)
def test_simulation_is_the_same_without_computing(policy, network, images):
    calibration = calibrated(network, images)
    early = EarlyExit(network, policy, some_thresholds(network, calibration, policy, images), calibration)
    predictions = whole_pass(network, images)
    routed, simulated = early.predict(images), early.rule.simulate(predictions.energies, predictions.logits)
    assert torch.equal(routed.labels, simulated.labels)
    assert torch.equal(routed.exits, simulated.exits)
    torch.testing.assert_close(routed.confidence, simulated.confidence, rtol=1e-9, atol=1e-12)  # as above


@pytest.mark.parametrize("policy", STOPS_ABOVE)
def test_a_score_on_the_threshold_is_content(policy, network, images):
    """Thresholds are scores that were seen, and those who had them leave."""
    calibration = calibrated(network, images)
    first = next(iter(network.schemes))
    energies = whole_pass(network, images).energies[first]
    score = EarlyExit(network, policy, {}, calibration).rule.read(first, energies, None).score
    rule = EarlyExit(network, policy, {first: score[0].item()}, calibration).rule
    assert rule.content(first, rule.read(first, energies, None))[0]


def test_samples_do_not_depend_on_their_batch(network, images):
    early = EarlyExit(network, "margin", some_thresholds(network, calibrated(network, images), "margin", images))
    whole = early.predict(images)
    for size in (1, 7):
        parts = [early.predict(part) for part in images.split(size)]
        assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
        assert torch.equal(torch.cat([part.exits for part in parts]), whole.exits)


def test_without_thresholds_it_is_the_network(network, images):
    answer = EarlyExit(network).predict(images)
    logits = whole_pass(network, images).logits
    assert torch.equal(answer.labels, logits.argmax(1))
    assert (answer.exits == 4).all()
    torch.testing.assert_close(answer.confidence, logits.softmax(1).amax(1))


def test_what_leaves_computes_neither_conv3_nor_the_shortcut(network, images):
    """Hooks count the rows that reach every convolution."""
    seen = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _m, args, _out, name=name: seen.update({name: len(args[0])}))
    thresholds = some_thresholds(network, calibrated(network, images), "margin", images)
    exits = EarlyExit(network, "margin", thresholds).predict(images).exits
    for place, name in enumerate(network.schemes):
        arrived, went_on = int((exits >= place).sum()), int((exits > place).sum())
        assert 0 < went_on < arrived
        assert (seen[f"{name}.conv1"], seen[f"{name}.conv2"]) == (arrived, arrived)
        assert seen[f"{name}.conv3"] == went_on
        if f"{name}.downsample.0" in seen:
            assert seen[f"{name}.downsample.0"] == went_on
    assert "layer3.0.downsample.0" in seen
    seen.clear()
    EarlyExit(network, "margin", {"layer2.0": 0.0}).predict(images)  # everybody leaves at once
    assert "layer2.0.conv2" in seen
    assert not {"layer2.0.conv3", "layer2.0.downsample.0", "layer2.1.conv1"} & set(seen)


def test_layout_survives_the_routing(network, images):
    layouts = []
    for name in network.schemes:
        network.get_submodule(name).conv3.register_forward_pre_hook(lambda _m, args: layouts.append(args[0]))
    network.to(memory_format=torch.channels_last)
    thresholds = some_thresholds(network, calibrated(network, images), "margin", images)
    layouts.clear()
    EarlyExit(network, "margin", thresholds).predict(images.contiguous(memory_format=torch.channels_last))
    assert layouts
    assert all(u.is_contiguous(memory_format=torch.channels_last) for u in layouts)


def test_labels_are_equation_7(network, images):
    answer = EarlyExit(network, "margin", {"layer3.0": 0.0}).predict(images)
    energies = whole_pass(network, images).energies["layer3.0"]
    assert torch.equal(answer.labels, decode(energies, network.schemes["layer3.0"]))
    assert (answer.exits == 2).all()


def test_an_empty_batch_has_empty_answers(network):
    for thresholds in ({}, {"layer2.0": 0.0}):
        answer = EarlyExit(network, "margin", thresholds).predict(torch.empty(0, 3, 8, 8, dtype=torch.float64))
        assert [len(part) for part in answer] == [0, 0, 0]


@pytest.mark.parametrize("policy", STOPS_ABOVE)
def test_no_number_never_exits_early_and_is_flagged(policy, network, images):
    """Thresholds that let everybody go; the samples beside it are not touched."""
    calibration = calibrated(network, images)
    always = EarlyExit(network, policy, {}, calibration).rule.everywhere().thresholds
    early = EarlyExit(network, policy, always, calibration)
    before = early.predict(images)
    spoilt = images.clone()
    spoilt[3, 1, 2, 5] = math.nan
    spoilt[9, 0, 0, 0] = math.inf
    after = early.predict(spoilt)
    assert (before.exits == 0).all()
    assert after.exits[[3, 9]].tolist() == [4, 4]
    assert after.confidence.isnan().nonzero().flatten().tolist() == [3, 9]
    others = [i for i in range(BATCH) if i not in (3, 9)]
    assert torch.equal(after.labels[others], before.labels[others])
    assert (after.exits[others] == 0).all()


@pytest.mark.parametrize("policy", STOPS_ABOVE)
def test_under_autocast_energies_are_read_as_they_are(policy, network, images):
    """Distances differ by little: products in bfloat16 would send images elsewhere."""
    network, images = network.float(), images.float()
    calibration = calibrated(network, images)
    thresholds = some_thresholds(network, calibration, policy, images)
    rule = StoppingRule(network.schemes, policy, thresholds, calibration)
    whole = whole_pass(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        found = rule.simulate(whole.energies, whole.logits)
        assert len(EarlyExit(network, policy, thresholds, calibration).predict(images).labels) == BATCH
    expected = rule.simulate(whole.energies, whole.logits)
    assert torch.equal(found.exits, expected.exits)
    assert torch.equal(found.labels, expected.labels)


def test_a_plain_network_is_refused():
    with pytest.raises(ValueError, match="plain network has no coded block to stop at"):
        EarlyExit(CodedResNeXt([1, 1, 1], 10, 10, 2, width=8))


def test_another_sum_is_refused(network):
    with pytest.raises(ValueError, match=r"block layer2\.0 sums its branches otherwise than equation 3"):
        EarlyExit(write_out(network))


def test_a_folded_network_is_refused(network):
    with pytest.raises(ValueError, match=r"block layer1\.0 is a FoldedBottleneck: give the network that it was made"):
        EarlyExit(fold(network))


def test_a_calibration_of_another_network_is_refused(network, images, randomise_batch_norm):
    calibration = calibrated(network, images)
    other = build(randomise_batch_norm, seed=1)
    with pytest.raises(ValueError, match=r"calibration is of weights \w{12}…, the network's are \w{12}…"):
        EarlyExit(other, "margin", {}, calibration)
    fewer = dataclasses.replace(calibration, channels={"layer2.0": calibration.channels["layer2.0"]})
    with pytest.raises(ValueError, match=r"calibration is of blocks layer2\.0, the network has layer2\.0, layer2\.1"):
        EarlyExit(network, "margin", {}, fewer)
    with pytest.raises(ValueError, match="'posterior' combines likelihoods"):
        EarlyExit(network, "posterior", {})


@pytest.mark.parametrize(
    ("policy", "thresholds", "message"),
    [
        ("margins", {}, "unknown policy 'margins'; did you mean 'margin'"),
        ("margin", {"layer2.3": 0.5}, r"unknown block 'layer2\.3' for an exit; did you mean 'layer2\.\d'"),
        ("margin", {"layer1.0": 0.5}, r"unknown block 'layer1\.0' for an exit"),  # conventional
        ("margin", {"layer2.0": -0.1}, "for policy 'margin' must be a finite number of at least 0, got -0.1"),
        ("margin", {"layer2.0": math.nan}, "got nan"),
        ("distance", {"layer2.0": math.inf}, "got inf; a block that is no exit is left out"),
        ("entropy", {"layer2.0": 2.4}, r"threshold of layer2\.0 for policy 'entropy' must be a number in 0 … 2\.303"),
        ("patience", {"layer2.0": 0}, "a whole number in 1 … 4, got 0"),
        ("patience", {"layer2.0": 1.5}, r"a whole number in 1 … 4, got 1\.5"),
    ],
)
def test_bad_thresholds_are_refused(policy, thresholds, message, network):
    with pytest.raises(ValueError, match=message):
        EarlyExit(network, policy, thresholds)


def test_a_probability_below_zero_is_refused(network, images):
    with pytest.raises(ValueError, match=r"for policy 'posterior' must be a number in 0 … 1, got -0\.5"):
        EarlyExit(network, "posterior", {"layer2.0": -0.5}, calibrated(network, images))


def test_energies_are_decoded_up_to_the_last_exit(network):
    """Where the past counts at every block before it, else at the exits; decoding costs, and is counted."""
    names = list(network.schemes)
    exits = {names[2]: 2.0}
    assert EarlyExit(network, "patience", exits).rule.reads == set(names[:3])
    assert EarlyExit(network, "margin", exits).rule.reads == {names[2]}


def test_a_threshold_may_be_a_score_that_was_rounded(network):
    """Up to a millionth of the largest score, log 10, which float32 may have put above it; and no more."""
    highest = math.log(10)
    EarlyExit(network, "entropy", {"layer2.0": (1 + 0.9e-6) * highest})
    with pytest.raises(ValueError, match=r"must be a number in 0 … 2\.303"):
        EarlyExit(network, "entropy", {"layer2.0": (1 + 1.1e-6) * highest})


def test_scores_keep_to_their_ranges(network):
    """The extreme energies: all in one branch whose bit is 0, and on a codeword."""
    for policy in ("distance", "margin", "entropy"):
        rule = EarlyExit(network, policy).rule
        for name, scheme in network.schemes.items():
            words = torch.tensor(scheme.words).double()
            corners = torch.cat([words, scheme.num_active * torch.eye(10, dtype=torch.float64)])
            score = rule.read(name, corners, None).score
            low, high = rule.range(name)
            assert (score >= low).all()
            assert (score <= high + 1e-12).all()  # rounding of one root
    assert EarlyExit(network, "distance").rule.range("layer3.0")[1] == pytest.approx(12**0.5)


def test_what_a_decision_costs(network, images):
    """Of 10 classes by 10 branches, by hand; it is spent where energies are decoded, and from there on."""
    calibration = calibrated(network, images)
    names = list(network.schemes)
    for policy, cost in (("margin", 10 + 100 + 10), ("entropy", 10 + 100 + 10 + 20), ("posterior", 40 + 100 + 10)):
        assert EarlyExit(network, policy, {}, calibration).rule.decision_cost(names[0]) == cost
    whole = multiply_adds(network, 8)
    spent = [whole.until(name, whole=False) for name in names] + [whole.total]
    found = EarlyExit(network, "margin", {names[1]: 1.0}).rule.costs(network, 8) * whole.total
    assert (found - spent).tolist() == pytest.approx([0, 120, 120, 120, 120])


def test_multiply_adds_that_torch_counts(network, images):
    """Convolutions and matrix products of everybody leaving at a block, as FlopCounterMode sees them (2 a product).

    It does not see ⟨G_n, Z_n⟩, an elementwise product: d² a branch and sample; nor the norms and sums of a decision.
    """

    cost = multiply_adds(network, 8)
    names = list(network.schemes)
    width = {name: network.get_submodule(name).conv3.in_channels for name in names}
    places = {"layer2": 4 * 4, "layer3": 2 * 2}
    for last, name in enumerate(names):
        early = EarlyExit(network, "margin", {name: 0.0})
        with FlopCounterMode(display=False) as counter:
            early.predict(images)
        unseen = sum(10 * (width[each] // 10) ** 2 for each in names[: last + 1])
        unseen += sum(width[each] * places[each.split(".")[0]] for each in names[:last])  # the normaliser scales u
        decoding = 10 * 10  # v·w_k
        assert counter.get_total_flops() / 2 / BATCH == cost.until(name, whole=False) - unseen + decoding
