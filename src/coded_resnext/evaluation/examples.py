"""Images that show how a class becomes known, block by block: chosen by what the blocks answer, by chance among those.

Nothing is chosen for how good it looks: every image of a group is as likely as every other.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..codes.scheme import CodingScheme, first_stage
from ..data.batches import seeds
from ..network.decoding import codeword_distances, decode
from .prediction import Predictions

EASY, LATE, WRONG_EARLY, FOREIGN = GROUPS = ("easy", "late", "wrong early", "foreign")
MANY = 10  # images of a group


def choose_examples(
    predictions: Predictions, schemes: Mapping[str, CodingScheme], labels: Tensor, seed: int
) -> dict[str, Tensor]:
    """Up to `MANY` images of each group, in random order.

    Easy: every coded block and the softmax are right. Late: the softmax is right, and no block of the first coded
    stage. Wrong early: the softmax is right, and the first block is wrong with a larger margin (distance to the
    second-nearest codeword less that to the nearest) than half of the images that it gets right.

    Returns:
        {group: indices}; a group may be empty.
    """
    softmax = predictions.logits.argmax(1) == labels
    right = {name: decode(predictions.energies[name], scheme) == labels for name, scheme in schemes.items()}
    first, *_ = schemes
    margins = decoding_margins(predictions.energies[first], schemes[first])
    members = {
        EASY: softmax & torch.stack(list(right.values())).all(0),
        LATE: softmax & ~torch.stack([right[name] for name in first_stage(list(schemes))]).any(0),
        WRONG_EARLY: softmax & ~right[first] & (margins > margins[right[first]].median()),
    }
    return {group: _some(mask, group, seed) for group, mask in members.items()}


def choose_foreign(count: int, seed: int) -> Tensor:
    """Up to `MANY` of so many foreign images, in random order."""
    return _some(torch.ones(count, dtype=torch.bool), FOREIGN, seed)


def decoding_margins(energies: Tensor, scheme: CodingScheme) -> Tensor:
    """How much farther the second-nearest codeword is than the nearest, (B,)."""
    words = torch.tensor(scheme.words, dtype=energies.dtype)
    two = codeword_distances(energies, words).topk(2, largest=False).values
    return two[:, 1] - two[:, 0]


def _some(mask: Tensor, group: str, seed: int) -> Tensor:
    found = mask.nonzero()[:, 0]
    return found[torch.from_numpy(seeds(f"examples, {group}", seed).permutation(len(found))[:MANY])]
