"""Forgetting a class and teaching it anew is measured on the right images with the right labels."""

import pytest
import torch
import torch.nn.functional as F

from coded_resnext import CodedResNeXt, CodingLoss, load_images, load_scheme
from coded_resnext.data.batches import eval_batches
from coded_resnext.evaluation.prediction import percent_equal, predict
from coded_resnext.evaluation.probe import pooled_features, probe
from coded_resnext.reproduction.figures import subnetworks
from coded_resnext.reproduction.figures.subnetworks import surgery_table
from coded_resnext.subnetworks import surgery
from coded_resnext.subnetworks.surgery import forget_and_learn, moved_last, without_class

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    return load_images("digits", "train").subset(range(200)), load_images("digits", "test").subset(range(100))


@pytest.fixture
def network(randomise_batch_norm):
    torch.manual_seed(0)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    return randomise_batch_norm(CodedResNeXt([1, 1, 1], 10, 10, 2, width=8, in_channels=1, schemes=schemes)).eval()


def measure(network, digits, **changes):
    settings = {"mu": 2.0, "seed": 0, "batch_size": 30, "device": CPU} | changes
    return forget_and_learn(network, *digits, **settings)


def test_a_class_becomes_the_last_and_those_behind_it_move_up(digits):
    _, test = digits
    moved = moved_last(test, 3)
    assert moved.classes == ("0", "1", "2", "4", "5", "6", "7", "8", "9", "3")
    assert [moved.classes[label] for label in moved.labels] == [test.classes[label] for label in test.labels]


def test_what_is_measured_is_what_the_networks_say(network, digits, monkeypatch):
    """Of class 4, without learning; and the network itself stays as it was."""
    monkeypatch.setattr(surgery, "EPOCHS", 0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    row = measure(network, digits)[4]
    _, test = digits
    own = test.labels == 4
    logits = predict(network, test, 100, CPU).logits
    assert row["class"] == "4"
    assert row["others"] == pytest.approx(percent_equal(logits.argmax(1)[~own], test.labels[~own]))
    assert row["own"] == pytest.approx(percent_equal(logits.argmax(1)[own], test.labels[own]))
    rivals = logits.clone()
    rivals[:, 4] = -torch.inf
    fewer = predict(without_class(network, 4), test, 100, CPU).logits
    names = torch.tensor([k for k in range(10) if k != 4])
    assert torch.equal(names[fewer.argmax(1)], rivals.argmax(1))
    assert row["others_without"] == pytest.approx(percent_equal(rivals.argmax(1)[~own], test.labels[~own]))
    assert row["others_without"] >= row["others"]
    # No branch of class 4 is its alone, so nothing of its features is gone, and a probe reads what it read before.
    train, _ = digits
    known, asked = (pooled_features(network, ["layer3.0"], images, 100, CPU)["layer3.0"] for images in digits)
    found = percent_equal(probe(known, train.labels, asked)[own], test.labels[own])
    assert 0 < found < 100
    assert row["probed"] == row["probed_without"] == pytest.approx(found)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_trained_network_learns_a_class_again(network, monkeypatch):
    """After some epochs on the digits; two of the classes."""
    monkeypatch.setattr(surgery, "MOST_CLASSES", 2)
    train, test = (load_images("digits", split) for split in ("train", "test"))
    optimiser, loss = torch.optim.SGD(network.parameters(), 0.1, 0.9), CodingLoss(network.schemes)
    for epoch in range(6):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(epoch))
        for pixels, labels in eval_batches(train.subset(order), 64, CPU):
            logits, energies = network.train()(pixels, return_energies=True)
            (F.cross_entropy(logits, labels) + 2 * loss(energies, labels)).backward()
            optimiser.step()
            optimiser.zero_grad()
    rows = measure(network, (train, test))
    assert [row["class"] for row in rows] == ["0", "1"]
    assert all(row["own_after"] > 60 for row in rows)
    assert all(row["others_after"] > row["others"] - 8 for row in rows)  # their branches are shared
    assert all(0 <= row["same_codeword"] <= 1 for row in rows)


def test_the_table_is_a_mean_over_runs(network, digits, monkeypatch):
    monkeypatch.setattr(surgery, "EPOCHS", 0)
    rows = measure(network, digits)
    other = [row | {"own": row["own"] + 2} for row in rows]
    monkeypatch.setattr(subnetworks, "coded_records", list)
    table = surgery_table([{"points": rows}, {"points": other}])
    assert table["class"].tolist() == list(digits[1].classes)
    assert table["own"].tolist() == pytest.approx([row["own"] + 1 for row in rows])
