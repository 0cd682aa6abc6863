"""What a coded block could have been: the sums that ablations set beside equation 3.

They take the place of `block.coded_sum` and have its arguments and results. A network of either has the checkpoint of
any other.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .block import BranchSum, coded_sum

raw_sum = partial(coded_sum, normalise=False)


def concatenated_sum(
    u: Tensor, weight: Tensor, num_branches: int, *others: Tensor | int | None
) -> tuple[Tensor, Tensor]:
    """Branch outputs side by side: branch n writes its own slice of the C_out channels and zeros elsewhere.

    The next block then sees which branches were silent; the paper says that a path cut out fails for it. Arguments and
    results are those of `block.coded_sum`.
    """
    return coded_sum(u, weight * own_slice(weight, num_branches), num_branches, *others)


def own_slice(weight: Tensor, num_branches: int) -> Tensor:
    """(C_out, N·d, 1, 1) ones where the channel is the branch's; slices are as equal as C_out and N allow."""
    channels, inputs = weight.shape[:2]
    writer = torch.arange(channels, device=weight.device) * num_branches // channels
    reader = torch.arange(inputs, device=weight.device) * num_branches // inputs
    return (writer[:, None] == reader)[:, :, None, None].to(weight.dtype)


BRANCH_SUMS: dict[str, BranchSum] = {"normalised": coded_sum, "raw": raw_sum, "concatenated": concatenated_sum}
