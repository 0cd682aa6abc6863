"""What single branches are worth to a trained network (figure 2a)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..data.batches import eval_batches, seeds
from ..data.sets import ImageSet
from ..network.model import CodedResNeXt


@torch.inference_mode()
def branch_removal(
    model: CodedResNeXt, images: ImageSet, block: str, *, repeats: int, seed: int, batch_size: int, device: torch.device
) -> list[dict[str, Any]]:
    """Figure 2a: accuracy when branches of one block are removed at random, active or inactive ones of the true class.

    What lies before the block runs once per image. In each repeat the branches of an image leave in one random
    order, so the removals of one repeat are nested.

    Returns:
        A row for each set ("active", "inactive"), number removed and repeat; accuracy in percent; right, (n,) bool.
    """
    model.eval()
    words = torch.tensor(model.schemes[block].words, device=device)
    start = model.block_names.index(block)
    rng = seeds("branch removal", seed)
    places = [torch.from_numpy(rng.random((len(images), words.shape[1]))) for _ in range(repeats)]  # before batches
    batches = zip(*(whole.split(batch_size) for whole in places), strict=True)
    right: dict[tuple[str, int, int], list[Tensor]] = {}
    for (pixels, labels), orders in zip(eval_batches(images, batch_size, device), batches, strict=True):
        features, _ = model.forward_blocks(model.forward_stem(pixels), stop=start)
        active = words[labels]  # (B, N)
        for repeat, order in enumerate(orders):
            for which, members in (("active", active), ("inactive", ~active)):
                # Members come first, in random order.
                rank = order.to(device).masked_fill(~members, 2.0).argsort(1).argsort(1)
                for removed in range(int(members[0].sum()) + 1):
                    tail, _ = model.forward_blocks(features, start, branch_mask={block: rank >= removed})
                    hits = model.forward_head(tail).argmax(1) == labels
                    right.setdefault((which, removed, repeat), []).append(hits.cpu())
    rows = []
    for (which, removed, repeat), parts in sorted(right.items(), key=lambda item: item[0]):
        hits = torch.cat(parts).numpy()
        accuracy = 100 * int(hits.sum()) / len(images)
        rows.append({"set": which, "removed": removed, "repeat": repeat, "accuracy": accuracy, "right": hits})
    return rows
