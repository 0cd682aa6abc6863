"""A trained network for deployment: every batch norm folded into the convolution before it.

The energies are those of conv3's own weights, before batch norm, so the Gram matrices of these are kept beside the
folded kernel.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import Refused
from ..network.block import CodedBottleneck, gram_energies, gram_matrices, normalised
from ..network.model import CodedResNeXt, check_normalised

Network = TypeVar("Network", bound=CodedResNeXt)


class FoldedBottleneck(nn.Module):
    """A CodedBottleneck in evaluation, as three biased convolutions: it removes and drops no branches."""

    def __init__(self, block: CodedBottleneck) -> None:
        super().__init__()
        self.num_branches = block.num_branches
        self.num_active = block.num_active
        self.conv1 = fuse_conv_bn_eval(block.conv1, block.bn1)
        self.conv2 = fuse_conv_bn_eval(block.conv2, block.bn2)
        self.conv3 = fuse_conv_bn_eval(block.conv3, block.bn3)
        self.downsample = None if block.downsample is None else fuse_conv_bn_eval(*block.downsample)
        self.register_buffer("gram", gram_matrices(block.conv3.weight.detach(), block.kept) if block.coded else None)

    def forward(self, x: Tensor, branch_mask: None = None, drop: None = None) -> tuple[Tensor, Tensor | None]:
        """As of `CodedBottleneck.forward`, without masks."""
        if branch_mask is not None or drop is not None:
            raise Refused("a folded network cannot remove or drop branches: use the network that it was made of")
        u = self.conv2(self.conv1(x).relu_()).relu_()
        energies = None
        if self.gram is not None:
            energies = gram_energies(u, self.gram, self.conv3.out_channels)
            energies, scale = normalised(energies, self.num_branches)
            energies = energies * (self.num_active / self.num_branches)
            u.mul_(scale[:, :, None, None])
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.conv3(u).add_(shortcut).relu_(), energies  # in place: at 1024 places memory is what takes time


@torch.no_grad()
def fold(model: Network) -> Network:
    """A copy of a network, full or cut, with its batch norms folded; in evaluation mode, and for nothing else.

    Its logits and energies are the same, but for rounding.

    Raises:
        ValueError: blocks that sum their branches otherwise than by equation 3.
    """
    check_normalised(model)
    folded = copy.deepcopy(model).eval()
    folded.conv1 = fuse_conv_bn_eval(folded.conv1, folded.bn1)
    folded.bn1 = nn.Identity()
    for name in folded.block_names:
        stage, index = name.split(".")
        folded.get_submodule(stage)[int(index)] = FoldedBottleneck(folded.get_submodule(name))
    return folded.requires_grad_(False)
