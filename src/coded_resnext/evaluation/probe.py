"""What a linear classifier reads off the features of a block: the rival of early decoding that needs labels, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.batches import eval_batches
from ..data.sets import ImageSet, spread
from ..network.model import CodedResNeXt

RIDGE = 1e-2  # of the features' mean variance; fixed beforehand, for nothing is chosen on the test images
MOST_IMAGES = 50_000  # that a probe is fitted on


def linear_probes(
    model: CodedResNeXt,
    blocks: Sequence[str],
    train: ImageSet,
    test: ImageSet,
    *,
    batch_size: int,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Of each block's features, averaged over the image, the least-squares fit to the classes of training images.

    In closed form, with a little ridge. Training images are not augmented, and at most 50,000.

    Returns:
        A row a block: block; accuracy on the test images, percent; right, (n,) bool.
    """
    fitted_on = spread(train, MOST_IMAGES)
    known, asked = (pooled_features(model, blocks, images, batch_size, device) for images in (fitted_on, test))
    rows = []
    for block in blocks:
        right = (probe(known[block], fitted_on.labels, asked[block]) == test.labels).numpy()
        rows.append({"block": block, "accuracy": 100 * float(right.mean()), "right": right})
    return rows


def probe(features: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """Classes (m,) of features (m, C), by the least-squares fit to those of others (n, C) with known labels (n,)."""
    targets = torch.nn.functional.one_hot(labels).double()
    mean = features.mean(0)
    centred = features - mean
    covariance = centred.T @ centred / len(centred)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(mean), dtype=torch.float64)
    weights = torch.linalg.solve(covariance + ridge, centred.T @ (targets - targets.mean(0)) / len(centred))
    return ((asked - mean) @ weights + targets.mean(0)).argmax(1)


@torch.inference_mode()
def pooled_features(
    model: CodedResNeXt, blocks: Sequence[str], images: ImageSet, batch_size: int, device: torch.device
) -> dict[str, Tensor]:
    """The output of each block, averaged over height and width: {block: (n, C)}, float64."""
    model.eval()
    found: dict[str, list[Tensor]] = {block: [] for block in blocks}
    for pixels, _ in eval_batches(images, batch_size, device):
        features = model.forward_stem(pixels)
        for place, name in enumerate(model.block_names):
            features, _ = model.forward_blocks(features, place, place + 1)
            if name in found:
                found[name].append(features.mean((2, 3)).double().cpu())
    return {block: torch.cat(parts) for block, parts in found.items()}
