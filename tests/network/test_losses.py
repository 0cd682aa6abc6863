"""Equation 5, against its sum written as loops."""

import pytest
import torch

from coded_resnext import CodingLoss, load_scheme
from coded_resnext.network.losses import total_loss

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


def test_the_exponent_is_the_papers_and_nothing_is_saved():
    """The words are the scheme's: a checkpoint of the loss would hold them twice."""
    torch.manual_seed(0)
    energies, targets = {name: torch.rand(3, 10) for name in SCHEMES}, torch.tensor([1, 7, 7])
    loss = CodingLoss(SCHEMES)
    assert loss(energies, targets) == CodingLoss(SCHEMES, 4)(energies, targets) != 0
    assert loss.state_dict() == {}


def test_the_training_loss_is_equation_6():
    torch.manual_seed(0)
    energies = {name: 2 * torch.rand(3, 10, dtype=torch.float64) for name in SCHEMES}
    logits, targets = torch.randn(3, 10, dtype=torch.float64), torch.tensor([1, 7, 7])
    total, cross_entropy, coding = total_loss(logits, energies, targets, CodingLoss(SCHEMES), 0.3)
    by_hand = [-logits[b, k].item() + logits[b].exp().sum().log().item() for b, k in enumerate(targets.tolist())]
    assert cross_entropy.item() == pytest.approx(sum(by_hand) / 3, rel=1e-12)  # float64
    assert coding.item() == CodingLoss(SCHEMES)(energies, targets).item()
    assert total.item() == pytest.approx(cross_entropy.item() + 0.3 * coding.item(), rel=1e-12)


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
