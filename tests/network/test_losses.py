"""Equation 5, against its sum written as loops."""

import pytest
import torch

from coded_resnext import CodingLoss, load_scheme

SCHEMES = {"layer2.0": load_scheme(10, 10, 5), "layer3.0": load_scheme(10, 10, 3)}


@pytest.mark.parametrize("exponent", [4, 2, 1, 2.5])
def test_coding_loss_is_the_sum(exponent):
    torch.manual_seed(0)
    energies = {name: 2 * torch.rand(3, 10, dtype=torch.float64) for name in SCHEMES}
    targets = torch.tensor([1, 7, 7])
    expected = 0.0
    for name, scheme in SCHEMES.items():
        for b, k in enumerate(targets.tolist()):
            terms = [abs(energies[name][b, n].item() - float(scheme.words[k, n])) ** exponent for n in range(10)]
            expected += sum(terms) / 10 / 3
    assert CodingLoss(SCHEMES, exponent)(energies, targets).item() == pytest.approx(expected, rel=1e-12)  # float64


def test_no_loss_at_the_codeword():
    targets = torch.arange(10)
    energies = {name: torch.tensor(scheme.words, dtype=torch.float32) for name, scheme in SCHEMES.items()}
    assert CodingLoss(SCHEMES)(energies, targets).item() == 0


def test_a_plain_network_has_no_coding_loss():
    assert CodingLoss({})({}, torch.tensor([1])).item() == 0


def test_bad_input():
    with pytest.raises(ValueError, match=r"\['layer2.0'\].*layer3.0"):
        CodingLoss(SCHEMES)({"layer2.0": torch.rand(1, 10)}, torch.tensor([0]))
    with pytest.raises(ValueError, match=r"at least 1, got 0\.5"):
        CodingLoss(SCHEMES, exponent=0.5)
