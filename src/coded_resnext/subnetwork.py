"""Subnetworks that stand alone (section 4.3): the paths of some classes, cut out of a trained network.

The paper masks branches and runs the whole network. Here what a mask would silence is not there: rows of conv1,
groups of conv2, columns of conv3 and their batch norms. Nothing is searched for or trained, and no data is needed:
the codewords say what to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .block import CodedBottleneck
from .codes import CodingScheme
from .errors import NotEqual
from .model import CodedResNeXt, class_mask

# Largest difference between the masked and the cut network, relative to the largest logit. Both are the same sums in
# another order: rounding of one block is amplified by those after it, some 1e-16 and 1e-7 times a few hundred.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
CHECK_BATCH = 2


class Subnetwork(CodedResNeXt):
    """The paths of some classes of a CodedResNeXt, and their rows of fc: a smaller network of the same modules.

    One class makes the paper's binary classifier; several make the union of their paths.

    Args:
        options: of the full network, see CodedResNeXt.options.
        schemes: of the full network.
        classes: indices of what it tells apart, in the order of its logits.
    Attributes:
        classes: as given.
        kept: {block: (N,) boolean}, which branches of the full network are there.
    Raises:
        ValueError: no class, a repeated one or one that the network does not have; no coded block to cut.
    """

    def __init__(self, options: Mapping[str, Any], schemes: Mapping[str, CodingScheme], classes: Sequence[int]) -> None:
        super().__init__(**{**options, "drop_branch": 0.0}, schemes=schemes)  # nothing spare is left to drop
        self.classes = check_classes(classes, self.num_classes)
        if not self.schemes:
            raise ValueError(
                "this network is plain: every branch works for every class, and there is nothing to cut. "
                "Extract from a coded network"
            )
        self.kept = class_mask(self.schemes, self.classes)
        for name, keep in self.kept.items():
            stage, index = name.split(".")
            self.get_submodule(stage)[int(index)] = _smaller(self.get_submodule(name), int(keep.sum()))
        self.fc = nn.Linear(self.fc.in_features, len(self.classes), bias=False)

    def forward(self, x: Tensor, *, return_energies: bool = False) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, len(classes)) of images (B, in_channels, H, W).

        Args:
            x: images, normalised as in training.
            return_energies: also return {block: (B, kept branches)}, r·E(t̄); rows still sum to N_act.
        """
        return super().forward(x, return_energies=return_energies)


def extract_subnetwork(model: CodedResNeXt, classes: Iterable[int]) -> Subnetwork:
    """Cut out of a network what works for the given classes.

    Args:
        model: a coded network; it is not changed.
        classes: indices, in the order that the logits shall have.
    Returns:
        A network whose logits (B, len(classes)) are the full network's under `class_mask(model.schemes, classes)`,
        in evaluation mode. Its weights are copies.
    Raises:
        ValueError: no class, a repeated one or one that the network does not have; a plain network.
        NotEqual: the logits of the two differ on random images, which no sound network should see.
    """
    chosen = check_classes(classes, model.num_classes)
    subnetwork = Subnetwork(model.options, model.schemes, chosen)
    weight = model.fc.weight
    subnetwork.to(weight.device, weight.dtype).eval()
    subnetwork.load_state_dict(_cut(model.state_dict(), subnetwork.kept, chosen))
    check_equal(model, subnetwork)
    return subnetwork


def check_classes(classes: Iterable[int], num_classes: int) -> tuple[int, ...]:
    """The classes as a tuple of integers.

    Raises:
        ValueError: none, a repeated one, or one out of range.
    """
    rows = tuple(int(k) for k in classes)
    if not rows:
        raise ValueError("a subnetwork needs at least one class, got an empty list")
    if repeated := sorted({k for k in rows if rows.count(k) > 1}):
        raise ValueError(f"class {repeated[0]} is listed {rows.count(repeated[0])} times: name each class once")
    if strange := [k for k in rows if not 0 <= k < num_classes]:
        raise ValueError(f"class {strange[0]} is not in 0 … {num_classes - 1}, the classes of the network")
    return rows


@torch.inference_mode()
def check_equal(model: CodedResNeXt, subnetwork: Subnetwork) -> dict[str, Any]:
    """Compare a subnetwork with the masked full network on random images.

    Returns:
        For the manifest: `difference`, the largest one over the largest logit, `tolerance` and `dtype`.
    Raises:
        NotEqual: the difference is above the tolerance.
    """
    weight = model.fc.weight
    generator = torch.Generator().manual_seed(0)
    side = 4 * model.conv1.kernel_size[0] * model.conv1.stride[0]  # small, and no stage shrinks to nothing
    images = torch.randn(CHECK_BATCH, model.conv1.in_channels, side, side, generator=generator, dtype=torch.float64)
    images = images.to(weight.device, weight.dtype)
    masks = {name: keep.to(weight.device) for name, keep in subnetwork.kept.items()}
    was_training = model.training
    masked = model.eval()(images, branch_mask=masks)[:, list(subnetwork.classes)]
    model.train(was_training)
    cut = subnetwork.eval()(images)
    difference = float((cut - masked).abs().max() / masked.abs().max().clamp_min(torch.finfo(masked.dtype).tiny))
    tolerance = TOLERANCE[weight.dtype]
    if not difference <= tolerance:  # nor when it is no number
        raise NotEqual(
            f"the subnetwork of classes {list(subnetwork.classes)} is not the masked network: logits differ by "
            f"{difference:.1e} of the largest, {tolerance:.0e} is allowed. Are all weights finite?"
        )
    return {"difference": difference, "tolerance": tolerance, "dtype": str(weight.dtype).removeprefix("torch.")}


def _smaller(block: CodedBottleneck, kept: int) -> CodedBottleneck:
    """A block of the same shape outside, with fewer branches."""
    return CodedBottleneck(
        block.conv1.in_channels, block.conv3.out_channels, block.num_branches, block.conv2.weight.shape[1],
        block.num_active, block.conv2.stride[0], kept,
    )  # fmt: skip


def _cut(weights: Mapping[str, Tensor], kept: Mapping[str, Tensor], classes: Sequence[int]) -> dict[str, Tensor]:
    """What of a full network's state dict belongs to the kept branches and the chosen classes."""
    cut = dict(weights)
    for name, keep in kept.items():
        width = weights[f"{name}.conv2.weight"].shape[0]
        channels = keep.repeat_interleave(width // len(keep)).nonzero()[:, 0].to(weights[f"{name}.conv2.weight"].device)
        for key in weights:
            layer, _, tensor = key.removeprefix(f"{name}.").partition(".")
            if not key.startswith(f"{name}.") or tensor == "num_batches_tracked":
                continue
            if layer in ("conv1", "bn1", "conv2", "bn2"):
                cut[key] = weights[key][channels]
            elif layer == "conv3":
                cut[key] = weights[key][:, channels]
    cut["fc.weight"] = weights["fc.weight"][list(classes)]
    return cut
