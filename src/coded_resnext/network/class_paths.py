"""One class's path after another, without the branches that a mask would silence (section 4.3).

The paper masks branches and computes all of them. Codewords have equal weights, so the paths of all classes have one
shape: one smaller network takes the weights of class after class, and what all of them share is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..codes.scheme import CodingScheme
from .block import coded_sum
from .model import CodedResNeXt
from .variants import own_slice


class ClassPaths:
    """The paths of single classes in a network; its weights are read, and it stays as it is.

    Args:
        model: coded, plain, or an ablation; put into evaluation mode.
        schemes: by block, whose codewords say what a path is; `model.schemes`, or those that a plain network is cut by.
    """

    def __init__(self, model: CodedResNeXt, schemes: Mapping[str, CodingScheme]) -> None:
        self.model, self.schemes = model.eval(), schemes
        self.start = min(model.block_names.index(name) for name in schemes)
        blocks = {name: model.get_submodule(name) for name in model.block_names}
        kept = {name: scheme.num_active for name, scheme in schemes.items()}
        cut = {name: (block.num_active, kept.get(name, block.kept)) for name, block in blocks.items()}
        with torch.device("meta"):  # its weights are those of a class
            self.path = CodedResNeXt(**{**model.options, "drop_branch": 0.0}, cut=cut).eval()
        for name, block in blocks.items():
            self.path.get_submodule(name).coded_sum = block.coded_sum
            self.path.get_submodule(name).dense = block.dense
        self.weights = dict(model.state_dict())
        if model.options["branch_sum"] == "concatenated":  # a branch's slice depends on those before it
            for name in model.schemes:
                weight = self.weights[f"{name}.conv3.weight"]
                self.weights[f"{name}.conv3.weight"] = weight * own_slice(weight, model.num_branches)
                self.path.get_submodule(name).coded_sum = coded_sum

    def shared(self, images: Tensor) -> Tensor:
        """What all paths go on with: images (B, in_channels, H, W) to features before the first block of a scheme."""
        return self.model.forward_blocks(self.model.forward_stem(images), stop=self.start)[0]

    def logits(self, shared: Tensor, k: int) -> Tensor:
        """(B, K) what the path of class k says of every class."""
        kept = {name: scheme.words[k] for name, scheme in self.schemes.items()}
        self.path.load_state_dict(cut_weights(self.weights, kept), assign=True)
        return self.path.forward_head(self.path.forward_blocks(shared, self.start)[0])


def cut_weights(
    weights: Mapping[str, Tensor], kept: Mapping[str, np.ndarray], classes: list[int] | slice = slice(None)
) -> dict[str, Tensor]:
    """What of a network's state dict belongs to some branches: rows of conv1, groups of conv2, columns of conv3.

    Args:
        kept: {block: (N,) boolean}, the branches.
        classes: the rows of fc.
    """
    cut = {**weights, "fc.weight": weights["fc.weight"][classes]}
    for name, keep in kept.items():
        width = weights[f"{name}.conv2.weight"].shape[0]
        channels = np.flatnonzero(np.repeat(keep, width // len(keep))).tolist()
        for layer in ("conv1", "bn1", "conv2", "bn2"):
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                if (key := f"{name}.{layer}.{tensor}") in weights:
                    cut[key] = weights[key][channels]
        cut[f"{name}.conv3.weight"] = weights[f"{name}.conv3.weight"][:, channels]
    return cut
