"""Subnetworks that stand alone (section 4.3): the paths of some classes, cut out of a trained network.

The paper masks branches and runs the whole network. Here what a mask would silence is not there: rows of conv1,
groups of conv2, columns of conv3 and their batch norms. Nothing is searched for or trained, and no data is needed:
the codewords say what to keep.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..errors import NotEqual, Refused, unknown
from ..network.class_paths import cut_weights
from ..network.model import CodedResNeXt, class_mask

# Largest difference between the masked and the cut network in float64, over the largest value. Both are the same sums
# in another order: the rounding of one block, some 1e-16, is amplified a few hundred times by those after it.
TOLERANCE = 1e-10
DTYPES = (torch.float64, torch.float32)
CHECK_BATCH = 2


class Subnetwork(CodedResNeXt):
    """The paths of some classes of a CodedResNeXt, and their rows of fc: a smaller network of the same modules.

    One class makes the paper's binary classifier; several make the union of their paths.

    Args:
        options: of the full network, see CodedResNeXt.options; N stays the full one.
        codewords: {block: (m, N) boolean}, the rows of the m classes in every coded block.
        classes: their indices in the full network.
    Attributes:
        classes, codewords: as given.
        kept: {block: (N,) boolean}, which branches of the full network are there.
        check: how far it was from the masked full network when it was cut, see `check_equal`; None before.
        schemes: the rows of several classes, less the columns that are cut: energies decode by them. Empty for one.
    """

    def __init__(self, options: Mapping[str, Any], codewords: Mapping[str, np.ndarray], classes: Sequence[int]) -> None:
        needed = options["num_branches"]
        for name, rows in codewords.items():
            if rows.shape[1] != needed:
                raise Refused(f"codewords of {name} have {rows.shape[1]} bits, the network has {needed} branches")
        cut = {name: (int(rows[0].sum()), int(rows.any(axis=0).sum())) for name, rows in codewords.items()}
        super().__init__(**{**options, "num_classes": len(classes), "drop_branch": 0.0}, cut=cut)  # none is spare
        if strange := [name for name in codewords if name not in self.block_names]:
            raise Refused(unknown("block", strange[0], self.block_names))
        self.classes = tuple(classes)
        self.codewords = dict(codewords)
        self.check: dict[str, Any] | None = None
        self.kept = {name: rows.any(axis=0) for name, rows in codewords.items()}
        if len(classes) > 1:
            self.schemes = {name: CodingScheme(rows[:, self.kept[name]]) for name, rows in codewords.items()}

    def forward(self, x: Tensor, *, return_energies: bool = False) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, m) of images (B, in_channels, H, W).

        Args:
            x: images, normalised as in training.
            return_energies: also return {block: (B, kept branches)}, r·E(t̄); rows still sum to N_act.
        """
        return super().forward(x, return_energies=return_energies)


def extract_subnetwork(model: CodedResNeXt, classes: Iterable[int]) -> Subnetwork:
    """Cut out of a network what works for the given classes.

    Args:
        model: a coded network, float32 or float64; it is not changed.
        classes: indices, in the order that the logits shall have.
    Returns:
        A network in evaluation mode whose logits (B, len(classes)) are those of the full network under
        `branch_mask=class_mask(model.schemes, classes)`. Its weights are copies.
    Raises:
        ValueError: no class, a repeated one or one that the network does not have; a plain network or an ablation;
            weights of another type.
        NotEqual: the two answer differently.
    """
    chosen = check_classes(classes, model.num_classes)
    if not model.schemes:
        raise Refused(
            "this network is plain: every branch works for every class and there is nothing to cut. "
            "Extract from a coded network"
        )
    if model.fc.weight.dtype not in DTYPES:
        raise Refused(
            f"subnetworks are cut in float32 or float64, these weights are {model.fc.weight.dtype}: "
            "call model.float() first"
        )
    if (branch_sum := model.options["branch_sum"]) != "normalised":
        raise Refused(
            f"this network is an ablation, branch_sum {branch_sum!r}: only paths of a normalised sum stand alone. "
            "Extract from a network trained without branch_sum"
        )
    codewords = {name: scheme.words[list(chosen)] for name, scheme in model.schemes.items()}
    subnetwork = Subnetwork(model.options, codewords, chosen).to(model.fc.weight).eval()  # before: nothing is rounded
    subnetwork.load_state_dict(cut_weights(model.state_dict(), subnetwork.kept, list(chosen)))
    subnetwork.check = check_equal(model, subnetwork)
    if model.preparation is not None:
        subnetwork.class_names, subnetwork.preparation = tuple(model.class_names[k] for k in chosen), model.preparation
    return subnetwork


def check_classes(classes: Iterable[int], num_classes: int) -> tuple[int, ...]:
    """The classes as a tuple of integers.

    Raises:
        ValueError: none, a repeated one, or one out of range.
    """
    rows = tuple(int(k) for k in classes)
    if not rows:
        raise Refused("a subnetwork needs at least one class, got an empty list")
    if repeated := [k for k in rows if rows.count(k) > 1]:
        raise Refused(f"class {repeated[0]} is listed {rows.count(repeated[0])} times: name every class once")
    if strange := [k for k in rows if not 0 <= k < num_classes]:
        raise Refused(f"class {strange[0]} is not in 0 … {num_classes - 1}, the classes of the network")
    return rows


@torch.inference_mode()
def check_equal(model: CodedResNeXt, subnetwork: Subnetwork) -> dict[str, Any]:
    """Compare a subnetwork with the masked full network on random images: logits, and energies of kept branches.

    Both are compared as float64 copies: what differs then is no rounding, whatever the weights' type and the device.

    Returns:
        For a manifest: `difference`, the largest one over the full network's largest value, `tolerance`, and `dtype` of
        the weights.
    Raises:
        NotEqual: the difference is above the tolerance, or no number.
    """
    dtype = model.fc.weight.dtype
    model, subnetwork = (copy.deepcopy(network).double().eval() for network in (model, subnetwork))
    weight = model.fc.weight
    side = 4 * model.conv1.kernel_size[0] * model.conv1.stride[0]  # no stage shrinks to nothing
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(CHECK_BATCH, model.conv1.in_channels, side, side, generator=generator).to(weight)
    masks = {name: mask.to(weight.device) for name, mask in class_mask(model.schemes, subnetwork.classes).items()}
    for network in (model, subnetwork):
        network.preparation = None  # these are no images: nothing is to be said of them
    logits, energies = model(images, return_energies=True, branch_mask=masks)
    cut_logits, cut_energies = subnetwork(images, return_energies=True)
    # All logits are sums of the same features, and one class's may cancel to nearly nothing: the largest has the scale.
    triples = [(cut_logits, logits[:, list(subnetwork.classes)], logits)]
    triples += [(cut_energies[name], energies[name][:, mask], energies[name]) for name, mask in masks.items()]
    difference = max(_relative_difference(*triple) for triple in triples)
    if not difference <= TOLERANCE:
        raise NotEqual(
            f"the subnetwork of classes {list(subnetwork.classes)} is not the masked network: they differ by "
            f"{difference:.1e} of the largest value, {TOLERANCE:.0e} is allowed. Are all weights finite?"
        )
    return {"difference": difference, "tolerance": TOLERANCE, "dtype": str(dtype).removeprefix("torch.")}


def _relative_difference(found: Tensor, expected: Tensor, scale: Tensor) -> float:
    smallest = torch.finfo(expected.dtype).tiny  # all zeros, as logits of a network whose fc is
    relative = float((found - expected).abs().max() / scale.abs().max().clamp_min(smallest))
    return relative if relative == relative else float("inf")  # max() would pass over one that is no number
