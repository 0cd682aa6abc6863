"""Early exit without codes: what a plain network's own features say at the blocks where a coded one decodes.

The closest rivals, on the network that was trained without a thought of early exit: the nearest class mean, which needs
no training either (E²CM, Görmez, Dasari and Koyuncu, arXiv 2103.01148), and linear heads trained on frozen features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..network.cost import block_sizes, multiply_adds
from ..network.model import CodedResNeXt
from .thresholds import Answers

RIVALS = ("class means", "linear heads")


class Head(NamedTuple):
    """What a rival says at one block: labels (n,), and how sure it is (n,), higher is surer."""

    labels: np.ndarray
    score: np.ndarray


def class_means(features: Tensor, labels: Tensor, asked: Tensor) -> Head:
    """The class whose mean of the training images' features is nearest.

    Sureness is the largest of softmax(−d_k / mean distance): distances of a block are compared with each other, since
    blocks differ in scale.

    Args:
        features: (n, C) of training images, labels: (n,) theirs.
        asked: (m, C).
    """
    classes = int(labels.max()) + 1
    means = torch.stack([features[labels == k].mean(0) for k in range(classes)])
    distances = torch.cdist(asked, means)
    sure, nearest = (-distances / distances.mean(1, keepdim=True)).softmax(1).max(1)
    return Head(nearest.numpy(), sure.numpy())


def linear_head(features: Tensor, labels: Tensor, asked: Tensor) -> Head:
    """The most probable class of a multinomial logistic regression on standardised features; sureness is its
    probability.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    probable = head.fit(features.numpy(), labels.numpy()).predict_proba(asked.numpy())
    return Head(probable.argmax(1), probable.max(1))


HEADS = dict(zip(RIVALS, (class_means, linear_head), strict=True))


def rival_answers(
    rival: str,
    known: tuple[Mapping[str, Tensor], Tensor],
    asked: tuple[Mapping[str, Tensor], Tensor, Tensor],
    cost: np.ndarray,
) -> Answers:
    """What a rival says of images at every block, and the softmax behind them.

    Args:
        rival: of RIVALS.
        known: pooled features (n, C) by block of the training images, and their labels.
        asked: those of other images, the network's logits of them, and their labels.
        cost: of `rival_costs`.
    """
    features, logits, labels = asked
    heads = [HEADS[rival](known[0][block], known[1], features[block]) for block in features]
    right = [head.labels == labels.numpy() for head in heads] + [(logits.argmax(1) == labels).numpy()]
    return Answers(np.column_stack([head.score for head in heads]), np.column_stack(right), cost)


def rival_costs(model: CodedResNeXt, blocks: list[str], image_size: int, whole: int) -> np.ndarray:
    """(B + 1,) multiply-adds of an answer at each block and at the softmax, as a share of `whole`.

    A head of either kind multiplies C features with K rows, at every block that an image passes.
    """
    cost = multiply_adds(model, image_size)
    channels = {name: block.conv3.out_channels for name, block, _, _ in block_sizes(model, image_size)}
    heads = np.cumsum([channels[name] * model.num_classes for name in blocks])
    spent = np.array([cost.until(name, whole=True) for name in blocks] + [cost.total])
    return (spent + np.append(heads, heads[-1])) / whole
