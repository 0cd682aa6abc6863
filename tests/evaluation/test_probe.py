"""Linear probes: least squares as numpy has it, and no better than chance where there is nothing to read."""

import numpy as np
import pytest
import torch

from coded_resnext import CodedResNeXt, load_images
from coded_resnext.evaluation.probe import RIDGE, linear_probes, pooled_features

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    return CodedResNeXt([1, 1, 1], 10, 10, 2, width=8, in_channels=1).eval()


def test_features_are_those_of_the_network(plain, digits):
    """Behind the last block the classifier reads them: its logits are theirs."""
    found = pooled_features(plain, ["layer1.0", "layer3.0"], digits, 25, CPU)
    assert [tuple(value.shape) for value in found.values()] == [(60, 32), (60, 128)]
    seen = []
    hook = plain.fc.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    from coded_resnext import predict

    predict(plain, digits, 60, CPU)
    hook.remove()
    torch.testing.assert_close(found["layer3.0"].float(), seen[0], rtol=1e-5, atol=1e-6)  # float32, in other batches


def test_a_probe_is_ridge_regression(plain):
    """By numpy's least squares on the features with the ridge as further rows."""
    train, test = (load_images("digits", split).subset(range(300)) for split in ("train", "test"))
    (row,) = linear_probes(plain, ["layer2.0"], train, test, batch_size=100, device=CPU)
    known, asked = (pooled_features(plain, ["layer2.0"], s, 100, CPU)["layer2.0"].numpy() for s in (train, test))
    centred, targets = known - known.mean(0), np.eye(10)[train.labels]
    ridge = np.sqrt(RIDGE * centred.var(0).mean() * len(known)) * np.eye(centred.shape[1])
    weights, *_ = np.linalg.lstsq(
        np.vstack([centred, ridge]), np.vstack([targets - targets.mean(0), np.zeros((len(ridge), 10))]), rcond=None
    )
    answers = ((asked - known.mean(0)) @ weights + targets.mean(0)).argmax(1)
    assert np.array_equal(row["right"], answers == test.labels.numpy())
    assert row["accuracy"] == pytest.approx(100 * row["right"].mean())
    assert row["accuracy"] > 30  # random features know something; chance is 10
