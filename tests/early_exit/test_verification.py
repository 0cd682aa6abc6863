"""Decode, then verify: masks give the answers, and the multiply-adds are those of networks that are really cut."""

import pytest
import torch

from coded_resnext import class_mask, extract_subnetwork, predict
from coded_resnext.early_exit.verification import _path_cost, decode_then_verify
from coded_resnext.network.cost import multiply_adds

CPU = torch.device("cpu")


def test_one_candidate_is_the_block_and_all_are_the_network(network, digits):
    predictions = predict(network, digits, 60, CPU)
    one, few, every = decode_then_verify(network, digits, "layer2.0", [1, 3, 10], 25, CPU)
    block = predictions.decoding_accuracy("layer2.0", network.schemes["layer2.0"], digits.labels)
    assert one["accuracy"] == one["listed"] == pytest.approx(block)
    assert every["accuracy"] == pytest.approx(predictions.accuracy(digits.labels))
    assert every["listed"] == 100
    assert one["listed"] <= few["listed"]
    assert one["multiply_adds"] < few["multiply_adds"] < every["multiply_adds"]
    decoding = 100 * 10 * 10 / multiply_adds(network, 8).total
    assert every["multiply_adds"] == pytest.approx(100 + decoding)


def test_the_path_costs_what_the_cut_network_costs(network):
    """The blocks after the deciding one, against extract_subnetwork's; its head has fewer classes."""
    classes, block = [2, 5], "layer2.0"
    whole, cut = multiply_adds(network, 8), multiply_adds(extract_subnetwork(network, classes), 8)
    masks = class_mask(network.schemes, classes)
    kept = {name: masks[name].double().mean().item() for name in ("layer2.1", "layer3.0")}
    expected = whole.until(block, whole=True) + whole.blocks[block].decoding + whole.head
    expected += sum(cut.blocks[name].total for name in kept)
    assert _path_cost(network, whole, block, kept) == pytest.approx(expected)
