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

    The true label picks the branches: this asks what branches are worth, and is no way to classify. What lies before
    the block runs once per image. In each repeat the branches of an image leave in one random order, so the removals of
    one repeat are nested; removing none or all of a set does not depend on it and is done once.

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
                count = int(members[0].sum())
                for removed in range(count + 1):
                    if repeat and removed in (0, count):
                        hits = right[which, removed, 0][-1]
                    else:
                        tail, _ = model.forward_blocks(features, start, branch_mask={block: rank >= removed})
                        hits = (model.forward_head(tail).argmax(1) == labels).cpu()
                    right.setdefault((which, removed, repeat), []).append(hits)
    rows = []
    for (which, removed, repeat), parts in sorted(right.items(), key=lambda item: item[0]):
        hits = torch.cat(parts).numpy()
        accuracy = 100 * int(hits.sum()) / len(images)
        rows.append({"set": which, "removed": removed, "repeat": repeat, "accuracy": accuracy, "right": hits})
    return rows


@torch.inference_mode()
def removal_by_block(
    model: CodedResNeXt, images: ImageSet, *, batch_size: int, device: torch.device
) -> list[dict[str, str | float]]:
    """The ends of figure 2a for every coded block: accuracy without all active, and without all inactive branches.

    Returns:
        A row a block: block; active and inactive, the accuracy without these, percent.
    """
    model.eval()
    words = {name: torch.tensor(scheme.words, device=device) for name, scheme in model.schemes.items()}
    right = {(name, which): 0 for name in words for which in ("active", "inactive")}
    for pixels, labels in eval_batches(images, batch_size, device):
        features, before = model.forward_stem(pixels), 0
        for name, codewords in words.items():
            start = model.block_names.index(name)
            features, _ = model.forward_blocks(features, before, start)
            before, active = start, codewords[labels]
            for which, kept in (("active", ~active), ("inactive", active)):
                tail, _ = model.forward_blocks(features, start, branch_mask={name: kept})
                right[name, which] += int((model.forward_head(tail).argmax(1) == labels).sum())
    return [
        {"block": name, **{which: 100 * right[name, which] / len(images) for which in ("active", "inactive")}}
        for name in words
    ]


@torch.inference_mode()
def removal_by_class(
    model: CodedResNeXt, images: ImageSet, block: str, *, batch_size: int, device: torch.device
) -> tuple[list[float], list[list[float]]]:
    """What each branch of one block is worth to each class.

    Returns:
        Accuracy on the images of every class, K numbers, percent; and without branch n, N rows of K.
    """
    model.eval()
    start = model.block_names.index(block)
    branches, classes = model.schemes[block].num_branches, model.num_classes
    keep = torch.cat([torch.ones(1, branches, dtype=torch.bool), ~torch.eye(branches, dtype=torch.bool)]).to(device)
    right = torch.zeros(branches + 1, classes)
    for pixels, labels in eval_batches(images, batch_size, device):
        features, _ = model.forward_blocks(model.forward_stem(pixels), stop=start)
        for row, kept in enumerate(keep):
            tail, _ = model.forward_blocks(features, start, branch_mask={block: kept.expand(len(labels), -1)})
            hits = model.forward_head(tail).argmax(1) == labels
            right[row] += torch.bincount(labels[hits], minlength=classes).cpu()
    percent = (100 * right / images.labels.bincount(minlength=classes).clamp_min(1)).double().numpy().round(3)
    return percent[0].tolist(), percent[1:].tolist()
