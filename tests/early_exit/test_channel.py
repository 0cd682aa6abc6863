"""Distances to codewords, and codewords sent through a noisy channel."""

import pytest
import torch

from coded_resnext import decode, load_scheme
from coded_resnext.early_exit.channel import BitChannel, evidence, fit_channel
from coded_resnext.network.decoding import codeword_distances

WORDS = torch.tensor(load_scheme(10, 10, 3).words, dtype=torch.float64)


def sent(labels, noise, seed=0):
    """Energies whose amplitudes are the codewords' bits under Gaussian noise."""
    generator = torch.Generator().manual_seed(seed)
    bits = WORDS[labels]
    return (bits + 0.3 + noise * torch.randn(bits.shape, generator=generator, dtype=torch.float64)).abs().square()


def test_distances_are_euclidean_and_decode_as_equation_7():
    energies = sent(torch.arange(10).repeat(20), noise=0.4)
    distances = codeword_distances(energies, WORDS)
    torch.testing.assert_close(distances, torch.cdist(energies, WORDS), rtol=1e-7, atol=1e-7)  # a root near 0
    assert torch.equal(distances.argmin(1), decode(energies, load_scheme(10, 10, 3)))


def test_distances_of_more_classes_than_branches():
    words = torch.tensor(load_scheme(100, 20, 8).words, dtype=torch.float64)
    energies = 2 * torch.rand(5, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(codeword_distances(energies, words), torch.cdist(energies, words), rtol=1e-7, atol=0)


def test_energies_all_but_on_a_codeword_are_at_a_distance():
    """In float32 the squared distance of some of these comes out below zero, and would have no root."""
    words = WORDS.float()
    noise = 1e-4 * torch.randn(1000, 10, 10, generator=torch.Generator().manual_seed(0))
    squared = (words + noise).square().sum(2) + 3 - 2 * ((words + noise) * words).sum(2)
    assert (squared < 0).any()
    distances = codeword_distances((words + noise).flatten(0, 1), words)
    assert (distances >= 0).all()


def test_the_channel_is_found_again():
    """2,000 bits estimate means and deviations of 0.1 within 0.02: eight standard errors."""
    labels = torch.arange(10).repeat(20)
    channel = fit_channel(sent(labels, noise=0.1), WORDS[labels] > 0)
    assert channel.zero_mean == pytest.approx(0.3, abs=0.02)
    assert channel.one_mean == pytest.approx(1.3, abs=0.02)
    assert channel.zero_std == pytest.approx(0.1, abs=0.02)
    assert channel.hit > 0.99
    assert channel.false_alarm < 0.01


def test_evidence_is_the_log_likelihood():
    """Up to one constant a sample, against the two densities written out."""
    labels = torch.arange(10).repeat(5)
    energies = sent(labels, noise=0.3)
    channel = fit_channel(energies, WORDS[labels] > 0)
    zero, one = (
        torch.distributions.Normal(torch.tensor(mean), torch.tensor(std)).log_prob(energies.sqrt())[:, None]
        for mean, std in ((channel.zero_mean, channel.zero_std), (channel.one_mean, channel.one_std))
    )
    likelihood = torch.where(WORDS > 0, one, zero).sum(2)
    found = evidence(energies, WORDS, channel)
    constant = (found - likelihood)[:, :1].expand_as(found)
    torch.testing.assert_close(found - likelihood, constant, rtol=1e-5, atol=1e-4)  # the densities are float32


def test_hard_decisions_know_only_the_bit():
    channel = BitChannel(0.3, 0.1, 1.3, 0.1, false_alarm=0.01, hit=0.9)
    values = channel.hard(torch.tensor([0.0, 0.1, 1.0, 9.0, torch.nan]))
    assert values[0] == values[1] < 0 < values[2] == values[3]
    assert values[4].isnan()


def test_several_readings_are_better_than_one():
    """Two noisy transmissions together name more classes than either."""
    labels = torch.arange(10).repeat(100)
    readings = {name: sent(labels, noise=0.7, seed=seed) for seed, name in enumerate(("first", "second"))}
    bits = WORDS[labels] > 0
    both = {name: evidence(reading, WORDS, fit_channel(reading, bits)) for name, reading in readings.items()}
    alone = [(each.argmax(1) == labels).double().mean() for each in both.values()]
    together = (sum(both.values()).argmax(1) == labels).double().mean()
    assert together > max(alone) + 0.05


def test_bits_that_never_differ_have_a_channel():
    """Held-out images may show no spread and no error: numbers stay finite."""
    bits = torch.tensor([[True, False], [False, True]])
    channel = fit_channel(bits.double(), bits)
    assert torch.isfinite(channel.soft(torch.tensor([0.0, 0.5, 1.0]))).all()
    assert torch.isfinite(channel.hard(torch.tensor([0.0, 0.5, 1.0]))).all()
