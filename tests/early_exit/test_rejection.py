"""Scores for images of no class, on numbers that can be worked out by hand."""

import pytest
import torch

from coded_resnext import load_scheme
from coded_resnext.early_exit.rejection import acceptance_scores, rejection
from coded_resnext.evaluation.prediction import Predictions

SCHEMES = {"layer2.0": load_scheme(10, 10, 5), "layer3.0": load_scheme(10, 10, 3)}


def on_codewords(n, distance=0.0):
    """Energies so far from a codeword, in its first active branch; the class of the two blocks is the same."""
    energies = {}
    for name, scheme in SCHEMES.items():
        words = torch.tensor(scheme.words, dtype=torch.float32)[torch.arange(n) % 10]
        first = words.argmax(1, keepdim=True)
        energies[name] = words.scatter_add(1, first, torch.full((n, 1), distance))
    logits = 5.0 * torch.nn.functional.one_hot(torch.arange(n) % 10, 10)
    return Predictions(logits, energies)


def test_the_score_is_the_distance_to_the_nearest_codeword():
    scores = acceptance_scores(on_codewords(20, distance=0.3), SCHEMES)
    for name in SCHEMES:
        torch.testing.assert_close(scores[name], torch.full((20,), -0.3, dtype=torch.float64), rtol=1e-5, atol=1e-6)
    assert scores["all blocks"].tolist() == pytest.approx([-(0.18**0.5)] * 20, rel=1e-5)
    assert scores["softmax probability"][0].item() == pytest.approx(1 / (1 + 9 * torch.tensor(-5.0).exp().item()))


def test_all_blocks_want_one_class():
    """Two blocks, each on a codeword, but of different classes: no long codeword is near."""
    mixed = on_codewords(20)
    mixed.energies["layer3.0"] = mixed.energies["layer3.0"].roll(1, 0)
    scores = acceptance_scores(mixed, SCHEMES)
    assert scores["layer2.0"].abs().max() < 1e-3
    assert scores["all blocks"].max() < -1.9  # the codes' distance is 4


def test_perfect_and_useless_scores():
    rows = {row["score"]: row for row in rejection(on_codewords(40), on_codewords(40, distance=0.5), SCHEMES)}
    for name in (*SCHEMES, "all blocks"):
        assert (rows[name]["auroc"], rows[name]["aupr"], rows[name]["fpr95"]) == (100, 100, 0)
    useless = rows["softmax probability"]  # the logits are the same
    assert (useless["auroc"], useless["fpr95"]) == (50, 100)
