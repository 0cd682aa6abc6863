"""What energies say across blocks: likelihoods of bits, added up over branches and blocks as in a channel decoder.

A coded block sends w_kn through a channel and v_n = r·E(t̄_n) arrives. What a reading says of its bit is the log
likelihood ratio log p(v_n | 1) − log p(v_n | 0); a class is as likely as the ratios of its ones say together, over
branches and blocks. The readings are taken for independent, which they are not: the sum ranks classes well and is too
sure of itself, so a temperature, fitted for each number of blocks, goes with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Of a standard deviation and of a bit's error rate: held-out images may show no spread or no error at all.
LEAST = 1e-3


@dataclass(frozen=True)
class BitChannel:
    """How the energies of one block read the bits of its codewords; estimated on images that nothing was trained on.

    The amplitude √v of a branch is taken for a Gaussian, one for zeros and one for ones. A hard decision takes the
    likelier bit first, and then only knows how often that is right.

    Attributes:
        zero_mean, zero_std, one_mean, one_std: of √v, where the bit is 0 and where it is 1.
        false_alarm, hit: how often a bit that is 0, and one that is 1, is read as 1.
    """

    zero_mean: float
    zero_std: float
    one_mean: float
    one_std: float
    false_alarm: float
    hit: float

    def soft(self, energies: Tensor) -> Tensor:
        """log p(v | 1) − log p(v | 0) of energies of any shape."""
        amplitude = energies.sqrt()
        zero = ((amplitude - self.zero_mean) / self.zero_std).square()
        one = ((amplitude - self.one_mean) / self.one_std).square()
        return (zero - one) / 2 + math.log(self.zero_std / self.one_std)

    def hard(self, energies: Tensor) -> Tensor:
        """The same of the likelier bit alone; an energy that is no number says nothing."""
        ratio = self.soft(energies)
        read_one, read_zero = math.log(self.hit / self.false_alarm), math.log((1 - self.hit) / (1 - self.false_alarm))
        bits = torch.where(ratio > 0, read_one, read_zero).to(ratio.dtype)
        return torch.where(ratio.isnan(), ratio, bits)


def fit_channel(energies: Tensor, bits: Tensor) -> BitChannel:
    """The channel of one block from energies (n, N) and the bits they should read, (n, N) boolean.

    All branches share it: the codewords are drawn blind to what classes mean, and held-out images are few.
    """
    amplitude = energies.double().sqrt()
    zeros, ones = amplitude[~bits], amplitude[bits]
    moments = [f(values).item() for values in (zeros, ones) for f in (torch.mean, torch.std)]
    moments[1::2] = [max(LEAST, std) for std in moments[1::2]]
    read = BitChannel(*moments, false_alarm=0.0, hit=1.0).soft(energies.double()) > 0
    rates = [read[which].double().mean().clamp(LEAST, 1 - LEAST).item() for which in (~bits, bits)]
    return BitChannel(*moments, *rates)


def evidence(energies: Tensor, words: Tensor, channel: BitChannel, *, hard: bool = False) -> Tensor:
    """Log likelihood of every class from one block, up to a constant of the sample; blocks add up.

    Args:
        energies: r·E(t̄), (B, N).
        words: codewords (K, N), of the energies' type.
    Returns:
        (B, K): Σ_n w_kn · (log p(v_n | 1) − log p(v_n | 0)).
    """
    with torch.autocast(energies.device.type, enabled=False):
        return (channel.hard(energies) if hard else channel.soft(energies)) @ words.T
