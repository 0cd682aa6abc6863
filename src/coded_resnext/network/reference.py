"""Equations 2 and 3 written out, branch by branch: what block.py computes by algebra.

Slow, and N·C_out channels wide; it is here to be read and to be compared with.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .block import SMALLEST_ENERGY, CodedBottleneck
from .model import CodedResNeXt


def energy(t: Tensor) -> Tensor:
    """E(t), equation 2: mean of t² over channel, height and width; (B, N, C, H, W) to (B, N)."""
    return t.square().mean((2, 3, 4))


def written_out_sum(
    u: Tensor,
    weight: Tensor,
    num_branches: int,
    keep: Tensor | None = None,
    drop: Tensor | None = None,
    of: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Σ_n t̄_n and E(t̄_n), with every branch output t_n = W_n u_n in memory; see `block.coded_sum`."""
    u = u[:, : weight.shape[1]]  # without channels of padding
    batch, _, height, width = u.shape
    out_channels = weight.shape[0]
    branch_weights = weight.unflatten(1, (num_branches, -1)).transpose(0, 1)  # (N, C_out, d, 1, 1)
    t = F.conv2d(u, branch_weights.flatten(0, 1), groups=num_branches)
    t = t.view(batch, num_branches, out_channels, height, width)
    if keep is not None:
        t = t * keep.expand(batch, num_branches)[:, :, None, None, None]
    mean = energy(t).sum(1) / (of or num_branches)
    normaliser = mean.clamp_min(SMALLEST_ENERGY).sqrt()  # equation 3
    t = t / normaliser[:, None, None, None, None]
    energies = energy(t)
    if drop is not None:
        t = t * drop[:, :, None, None, None]
    return t.sum(1), energies


def write_out(model: CodedResNeXt) -> CodedResNeXt:
    """Make every coded block of a network compute the equations as written; returns the same network."""
    for module in model.modules():
        if isinstance(module, CodedBottleneck):
            module.coded_sum = written_out_sum
    return model
