"""The 3×3 convolution of all branches as one dense convolution with zeros between the branches.

A GPU's matrix units want channels in multiples of 8; branches have 11, 22 or 44, and a grouped convolution of such a
width may fall back to kernels several times slower. So conv1 makes a few channels of zeros more, conv2 is dense and
block-diagonal, and the zeros pass through both norms. Nothing else changes: weights, checkpoints and, but for
rounding, results are the same. Which form is faster depends on the device and is measured, see forms.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from .block import CodedBottleneck

MULTIPLE = 8  # of channels, what tensor cores load at once in half precision


def block_diagonal(weight: Tensor, groups: int) -> Tensor:
    """The kernel of a grouped convolution (N·d, d, k, k) as that of a dense one, (N·d, N·d, k, k)."""
    own = torch.eye(groups, dtype=weight.dtype, device=weight.device)[:, None, :, None, None, None]
    grouped = weight.unflatten(0, (groups, -1)).unsqueeze(2)  # (N, d, 1, d, k, k)
    return (own * grouped).flatten(2, 3).flatten(0, 1)


def widened(weight: Tensor, *, outputs: int = 0, inputs: int = 0) -> Tensor:
    """A kernel (C_out, C_in, k, k) with so many output and input channels of zeros behind its own."""
    if outputs == inputs == 0:
        return weight
    return F.pad(weight, (0, 0, 0, 0, 0, inputs, 0, outputs))


def dense_branches(block: CodedBottleneck, x: Tensor) -> Tensor:
    """What `CodedBottleneck` computes before its last convolution, with channels padded to a multiple of 8.

    Args:
        block: whose conv1, bn1, conv2 and bn2.
        x: (B, C_in, H, W).
    Returns:
        (B, N·d and up to 7 more, H', W'); the channels behind N·d are zero.
    """
    more = -block.conv2.weight.shape[0] % MULTIPLE
    u = block.relu(block.bn1(F.conv2d(x, widened(block.conv1.weight, outputs=more))))
    kernel = widened(block_diagonal(block.conv2.weight, block.kept), outputs=more, inputs=more)
    return block.relu(block.bn2(F.conv2d(u, kernel, stride=block.conv2.stride, padding=1)))
