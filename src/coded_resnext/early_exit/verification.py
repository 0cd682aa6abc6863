"""Decode, then verify: an early block names m candidates, and the rest of the network runs their paths only.

What lies behind the block needs the branches of the candidates' codewords and no others, and the logits choose among
the candidates. m = 1 believes the block, m = K is the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..data.batches import eval_batches
from ..data.sets import ImageSet
from ..network.cost import Cost, multiply_adds
from ..network.decoding import codeword_distances
from ..network.model import CodedResNeXt


@torch.inference_mode()
def decode_then_verify(
    model: CodedResNeXt, images: ImageSet, block: str, candidates: Sequence[int], batch_size: int, device: torch.device
) -> list[dict[str, str | int | float]]:
    """Accuracy and multiply-adds against the number of candidates of one coded block.

    The paths are kept by masks; multiply-adds are those of networks cut to them.

    Returns:
        A row a number of candidates: block, candidates, listed (how often the right class is among them), accuracy, and
        multiply_adds (of the whole network's); percent.
    """
    model.eval()
    start = model.block_names.index(block) + 1
    cost = multiply_adds(model, images.image_size)
    words = {name: torch.tensor(scheme.words, device=device) for name, scheme in model.schemes.items()}
    later = [name for name in model.block_names[start:] if name in model.schemes]
    listed, right, spent = (dict.fromkeys(candidates, 0.0) for _ in range(3))
    for pixels, labels in eval_batches(images, batch_size, device):
        features, energies = model.forward_blocks(model.forward_stem(pixels), stop=start)
        order = codeword_distances(energies[block], words[block].to(energies[block])).argsort(1)
        for m in candidates:
            chosen = order[:, :m]
            masks = {name: words[name][chosen].any(1) for name in later}  # (B, N)
            tail, _ = model.forward_blocks(features, start, branch_mask=masks)
            logits = model.forward_head(tail)
            others = torch.ones_like(logits, dtype=torch.bool).scatter(1, chosen, False)
            answers = logits.masked_fill(others, -torch.inf).argmax(1)
            right[m] += int((answers == labels).sum())
            listed[m] += int((chosen == labels[:, None]).any(1).sum())
            kept = {name: mask.double().mean().item() for name, mask in masks.items()}
            spent[m] += len(labels) * _path_cost(model, cost, block, kept)
    share = 100 / len(images)
    return [
        {
            "block": block, "candidates": m, "listed": share * listed[m], "accuracy": share * right[m],
            "multiply_adds": share * spent[m] / cost.total,
        }
        for m in candidates
    ]  # fmt: skip


def _path_cost(model: CodedResNeXt, cost: Cost, block: str, kept: dict[str, float]) -> float:
    """Multiply-adds of the network up to and with a block, of its decoding, and of a share of each later coded block.

    All of a block but its shortcut is in proportion to the branches kept.
    """
    spent = cost.until(block, whole=True) + cost.blocks[block].decoding + cost.head
    for name in model.block_names[model.block_names.index(block) + 1 :]:
        later = cost.blocks[name]
        if name not in kept:
            spent += later.total
            continue
        product = later.normaliser * model.get_submodule(name).conv3.out_channels  # conv3 reads what was normalised
        shortcut = later.outside - product
        spent += shortcut + kept[name] * (later.total - shortcut)
    return spent
