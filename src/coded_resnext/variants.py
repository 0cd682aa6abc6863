"""What a coded block could have been: the sums that ablations set beside equation 3.

They take the place of `block.coded_sum` and have its arguments and results. A network of either has the checkpoint of
any other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .block import BranchSum, branch_energies, coded_sum, scale_branches


def raw_sum(
    u: Tensor,
    weight: Tensor,
    num_branches: int,
    keep: Tensor | None = None,
    drop: Tensor | None = None,
    of: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Σ_n t_n and E(t_n): equation 3 left out, so that energies may have any sum."""
    energies = branch_energies(u, weight, num_branches)
    if keep is not None:
        energies = energies * keep
    for factor in (keep, drop):
        if factor is not None:
            u = scale_branches(u, factor, num_branches)
    return F.conv2d(u, weight), energies


def concatenated_sum(
    u: Tensor,
    weight: Tensor,
    num_branches: int,
    keep: Tensor | None = None,
    drop: Tensor | None = None,
    of: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Branch outputs side by side: branch n writes its own slice of the C_out channels and zeros elsewhere.

    The next block then sees which branches were silent; the paper says that a path cut out fails for it.
    """
    return coded_sum(u, weight * _own_slice(weight, num_branches), num_branches, keep, drop, of)


def _own_slice(weight: Tensor, num_branches: int) -> Tensor:
    """(C_out, N·d, 1, 1) ones where the channel is the branch's; slices are as equal as C_out and N allow."""
    channels, inputs = weight.shape[:2]
    writer = torch.arange(channels, device=weight.device) * num_branches // channels
    reader = torch.arange(inputs, device=weight.device) * num_branches // inputs
    return (writer[:, None] == reader)[:, :, None, None].to(weight.dtype)


BRANCH_SUMS: dict[str, BranchSum] = {"normalised": coded_sum, "raw": raw_sum, "concatenated": concatenated_sum}
