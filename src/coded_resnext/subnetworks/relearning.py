"""What forgetting a class and teaching it anew does to it and to the others: the effect of class surgery, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..data.batches import seeds
from ..data.sets import ImageSet
from ..evaluation.prediction import percent_equal, predict
from ..network.model import CodedResNeXt
from .surgery import train_new_class, with_new_class, without_class

MOST_CLASSES = 10  # of more classes the first ones are tried
MOST_IMAGES = 5000  # random ones of the training set; a path is small and learns from few
EPOCHS = 4
LEARNING_RATE = 0.02
LEARNING_BATCH = 64

Row = dict[str, str | float]


def forget_and_learn(
    model: CodedResNeXt, train: ImageSet, test: ImageSet, *, mu: float, seed: int, batch_size: int, device: torch.device
) -> list[Row]:
    """Take a class out, then teach it anew on a spare codeword, for one class after the other.

    The new path begins with branches that the old one left trained, so this is easier than a class never seen.

    Args:
        model: a trained coded network; it stays as it is.
        mu: weight of the coding loss, as in the training.
        batch_size: of the evaluations.
    Returns:
        A row a class: accuracy (percent) of the other classes' images with the network whole (`others`), after
        forgetting (`others_without`) and after learning (`others_after`); of its own images (`own`, `own_after`); and
        in what share of the coded blocks the spare codeword is the old one (`same_codeword`).
    """
    count = model.num_classes
    train = train.subset(seeds("images to learn anew", seed).permutation(len(train))[:MOST_IMAGES])
    whole = predict(model, test, batch_size, device).logits.argmax(1)
    rows: list[Row] = []
    for k in range(min(count, MOST_CLASSES)):
        images, own = moved_last(test, k), test.labels == k
        fewer = without_class(model, k)
        without = predict(fewer, images.subset((~own).nonzero()[:, 0]), batch_size, device).logits.argmax(1)
        more = with_new_class(fewer)
        train_new_class(
            more, moved_last(train, k), count - 1,
            mu=mu, epochs=EPOCHS, learning_rate=LEARNING_RATE, batch_size=LEARNING_BATCH, seed=seed,
        )  # fmt: skip
        after = predict(more, images, batch_size, device).logits.argmax(1)
        same = [
            (more.schemes[name].words[-1] == scheme.words[k]).all().item() for name, scheme in model.schemes.items()
        ]
        rows.append({
            "class": test.classes[k],
            "others": percent_equal(whole[~own], test.labels[~own]),
            "others_without": percent_equal(without, images.labels[~own]),
            "others_after": percent_equal(after[~own], images.labels[~own]),
            "own": percent_equal(whole[own], test.labels[own]),
            "own_after": percent_equal(after[own], images.labels[own]),
            "same_codeword": sum(same) / len(same),
        })  # fmt: skip
    return rows


def moved_last(images: ImageSet, k: int) -> ImageSet:
    """The same images, with class k numbered as the last and those behind it one less."""
    names: Sequence[str] = images.classes
    labels = torch.where(images.labels == k, len(names) - 1, images.labels - (images.labels > k).long())
    return replace(images, labels=labels, classes=(*names[:k], *names[k + 1 :], names[k]))
