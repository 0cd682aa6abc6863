"""What the energies of one block say of the class: their distances to the codewords, and the nearest (equation 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..errors import Refused


def codeword_distances(energies: Tensor, words: Tensor) -> Tensor:
    """‖v − w_k‖ of energies (B, N) from every codeword (K, N), equation 7: (B, K).

    By ‖v‖² + ‖w_k‖² − 2 v·w_k: one small matrix product, whose order is `decode`'s. Under autocast too in the energies'
    precision, for distances differ by little.
    """
    with torch.autocast(energies.device.type, enabled=False):
        squared = energies.square().sum(1, keepdim=True) + words.sum(1)  # bits are their own squares
        return (squared - 2 * (energies @ words.T)).clamp_min(0).sqrt()


def decode(energies: Tensor, scheme: CodingScheme) -> Tensor:
    """The class whose codeword is nearest to the energies, equation 7.

    All codewords have the same norm, so the nearest is the one with the largest inner product.

    Args:
        energies: r·E(t̄) of one block, (B, N).
    Returns:
        (B,) class indices.
    Raises:
        ValueError: the energies are not of N branches.
    """
    if energies.ndim != 2 or energies.shape[1] != scheme.num_branches:
        raise Refused(f"energies must be (B, {scheme.num_branches}) for {scheme}, got {tuple(energies.shape)}")
    words = torch.tensor(scheme.words, dtype=energies.dtype, device=energies.device)
    with torch.autocast(energies.device.type, enabled=False):
        return (energies @ words.T).argmax(1)
