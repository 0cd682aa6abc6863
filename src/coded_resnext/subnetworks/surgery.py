"""Class surgery: add a class to a trained network, or take one out, without training the network again.

A new class gets a spare codeword in every scheme, at the scheme's own distance from all others; only the branches of
its path and its row of fc are trained. Other classes use these branches too: what that costs them is to be measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..data.batches import eval_batches, seeds
from ..data.sets import ImageSet
from ..errors import Refused
from ..network.losses import CodingLoss, total_loss
from ..network.model import CodedResNeXt, class_mask

MOST_WORDS = 1_000_000  # up to so many are all tried; of more, so many random ones


def spare_codeword(scheme: CodingScheme, *, seed: int = 0) -> np.ndarray:
    """A word (N,) of the scheme's weight, at the scheme's minimum distance or more from all its codewords.

    Among those that are, the one whose branches work for the fewest classes, so that it disturbs the fewest.

    Raises:
        ValueError: there is none, or none was found among a million.
    """
    n, w = scheme.num_branches, scheme.num_active
    if math.comb(n, w) <= MOST_WORDS:
        places = np.array(list(combinations(range(n), w)))
    else:
        rng = seeds("new codeword", seed)
        places = np.stack([rng.permutation(n)[:w] for _ in range(MOST_WORDS)])
    words = np.zeros((len(places), n), dtype=np.int32)
    np.put_along_axis(words, places, 1, axis=1)
    shared = (words @ scheme.words.T.astype(np.int32)).max(axis=1)
    fitting = words[2 * (w - shared) >= scheme.min_distance]
    if not len(fitting):
        raise Refused(
            f"{scheme} has no room for one more word: design one with "
            f"design_scheme({scheme.num_classes + 1}, {n}, {w}) and train again"
        )
    return fitting[(fitting @ scheme.column_sums).argmin()].astype(bool)


@torch.no_grad()
def with_new_class(model: CodedResNeXt) -> CodedResNeXt:
    """A network with one class more, the last: spare codewords, and a row of fc that starts as the mean of the others.

    Raises:
        ValueError: a plain network; a scheme without room, see `spare_codeword`.
    """
    if not model.schemes:
        raise Refused("this network is plain: it has no paths, and a new class would need all of it")
    longer = {
        scheme: CodingScheme(np.vstack([scheme.words, spare_codeword(scheme)])) for scheme in model.schemes.values()
    }
    row = model.fc.weight.mean(0, keepdim=True)
    schemes = {name: longer[scheme] for name, scheme in model.schemes.items()}
    return _same_with(model, schemes, torch.cat([model.fc.weight, row]))


@torch.no_grad()
def without_class(model: CodedResNeXt, k: int) -> CodedResNeXt:
    """The network without class k: neither its row of fc nor its codewords are there.

    Logits of the others stay what they are. Branches that work for no other class are silenced: their columns of
    conv3 become zero.

    Raises:
        ValueError: no such class, or too few would be left.
    """
    rest = [other for other in range(model.num_classes) if other != k]
    if len(rest) == model.num_classes:
        raise Refused(f"class {k} is not in 0 … {model.num_classes - 1}, the classes of the network")
    schemes = {name: CodingScheme(scheme.words[rest]) for name, scheme in model.schemes.items()}
    smaller = _same_with(model, schemes, model.fc.weight[rest])
    for name, scheme in schemes.items():
        weight = smaller.get_submodule(name).conv3.weight
        weight[:, _channels(torch.from_numpy(scheme.column_sums == 0), weight.shape[1])] = 0
    return smaller


def train_new_class(
    model: CodedResNeXt, images: ImageSet, k: int, *, mu: float, epochs: int, learning_rate: float, batch_size: int,
    seed: int,
) -> None:  # fmt: skip
    """Train the path of class k and its row of fc by equation 6, and nothing else; batch statistics stay as they are.

    Args:
        model: of `with_new_class`; changed in place, and in evaluation mode afterwards.
        images: of all classes: the others must be seen, or their shared branches forget them.
        mu: weight of the coding loss.
        learning_rate: of SGD with momentum 0.9, without weight decay, which would reach what is frozen.
    """
    device = model.fc.weight.device
    masks = path_masks(model, k)
    parameters = {name: parameter for name, parameter in model.named_parameters() if name in masks}
    optimiser = torch.optim.SGD(parameters.values(), learning_rate, momentum=0.9)
    coding_loss = CodingLoss(model.schemes).to(device)
    model.eval()
    for epoch in range(epochs):
        order = seeds("order of surgery", seed, epoch).permutation(len(images))
        for pixels, labels in eval_batches(images.subset(order), batch_size, device):
            logits, energies = model(pixels, return_energies=True)
            total_loss(logits, energies, labels, coding_loss, mu)[0].backward()
            for name, parameter in parameters.items():
                parameter.grad.mul_(masks[name].to(device))
            optimiser.step()
            model.zero_grad()


def path_masks(model: CodedResNeXt, k: int) -> dict[str, Tensor]:
    """Which entries of which parameters are the path of class k and its row of fc: {parameter: 0 or 1}.

    The last batch norm of a block is everybody's, and is left out.
    """
    row = torch.zeros(model.num_classes, 1)
    row[k] = 1
    masks = {"fc.weight": row}
    for name, keep in class_mask(model.schemes, [k]).items():
        block = model.get_submodule(name)
        channels = _channels(keep, block.conv3.in_channels).float()
        for layer in ("conv1", "conv2"):
            masks[f"{name}.{layer}.weight"] = channels[:, None, None, None]
        for layer in ("bn1", "bn2"):
            masks |= {f"{name}.{layer}.{tensor}": channels for tensor in ("weight", "bias")}
        masks[f"{name}.conv3.weight"] = channels[None, :, None, None]
    return masks


def _channels(branches: Tensor, width: int) -> Tensor:
    """(N,) by branch to (N·d,) by channel."""
    return branches.repeat_interleave(width // len(branches))


def _same_with(model: CodedResNeXt, schemes: Mapping[str, CodingScheme], rows: Tensor) -> CodedResNeXt:
    """A copy in evaluation mode with other schemes and other rows of fc, as many as the schemes have classes."""
    other = CodedResNeXt(**{**model.options, "num_classes": len(rows)}, schemes=schemes)
    other.load_state_dict({**model.state_dict(), "fc.weight": rows})
    return other.to(rows).eval()
