"""What subnetworks are worth: one class alone, several classes together, and how far class paths overlap.

Every subnetwork here is cut out and run, none is a masked full network; what it is compared with is the full network
that hears only the logits of the same classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import safetensors.torch
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..data.batches import seeds
from ..data.sets import ImageSet, spread_indices
from ..evaluation.binary import average_precisions
from ..evaluation.prediction import Predictions, percent_equal, predict
from ..network.cost import count_parameters, multiply_adds
from ..network.model import CodedResNeXt
from .extract import extract_subnetwork

SUBSETS = 10  # random ones of every size
ALL_SIZES = 10  # with more classes only the sizes below are tried
PAIRED = 2000  # images that are compared with each other
SOME_SIZES = (2, 3, 5, 10, 20, 50, 100, 200, 500)

Row = dict[str, str | int | float]


def size(model: CodedResNeXt, image_size: int) -> dict[str, int]:
    """Parameters counted both ways, multiply-adds with and without energies, and bytes of the weights as a file."""
    parameters, cost = count_parameters(model), multiply_adds(model, image_size)
    return {
        "parameters": parameters.total,
        "without_shortcuts": parameters.without_shortcuts,
        "multiply_adds": cost.total,
        "convolutions": cost.convolutions,
        "file_bytes": len(safetensors.torch.save({k: v.contiguous() for k, v in model.state_dict().items()})),
    }


def single_classes(
    model: CodedResNeXt, full: Predictions, images: ImageSet, batch_size: int, device: torch.device
) -> list[Row]:
    """A row for every class: the size of its subnetwork, and average precision (0 … 1) of its logit and the full one's.

    Args:
        full: of the full network on `images`.
    """
    of_full = average_precisions(full.logits, images)
    rows: list[Row] = []
    for k, name in enumerate(images.classes):
        subnetwork = extract_subnetwork(model, [k])
        logits = predict(subnetwork, images, batch_size, device).logits[:, 0]
        truth = (images.labels == k).numpy()
        rows.append({
            "class": name,
            "average_precision": float(average_precision_score(truth, logits.numpy())),
            "average_precision_full": of_full[k],
            **size(subnetwork, images.image_size),
        })  # fmt: skip
    return rows


def subset_curves(
    model: CodedResNeXt, full: Predictions, images: ImageSet, batch_size: int, device: torch.device, *, seed: int
) -> list[Row]:
    """Accuracy (percent) among m random classes, m = 2 … K, of their subnetwork and of the full network.

    Only images of the m classes count, and only their logits compete.

    Args:
        full: of the full network on `images`.
        seed: of the choice of classes.
    """
    rng = seeds("subsets of classes", seed)
    rows: list[Row] = []
    for m in subset_sizes(model.num_classes):
        for repeat in range(SUBSETS if m < model.num_classes else 1):
            classes = rng.permutation(model.num_classes)[:m]
            chosen = np.flatnonzero(np.isin(images.labels.numpy(), classes))
            subnetwork = extract_subnetwork(model, classes)
            logits = predict(subnetwork, images.subset(chosen), batch_size, device).logits
            labels = torch.from_numpy(np.argsort(classes))[_ranks(images.labels[chosen], classes)]
            rows.append({
                "classes": m,
                "repeat": repeat,
                "accuracy": percent_equal(logits.argmax(1), labels),
                "accuracy_full": percent_equal(full.logits[chosen][:, classes].argmax(1), labels),
                "images": len(chosen),
                **size(subnetwork, images.image_size),
            })  # fmt: skip
    return rows


def coupling(schemes: Mapping[str, CodingScheme], energies: Mapping[str, Tensor], labels: Tensor) -> list[Row]:
    """How far the paths of two classes overlap in every coded block, by design and as measured.

    By design it is the Jaccard overlap of two codewords, |∩| / |∪|, at most (w − d/2) / (w + d/2) for weight w and
    distance d. What is measured is the same of mean energies: Σ_n min / Σ_n max, which is that of the codewords where
    the energies are.

    Args:
        energies: r·E(t̄) by block, (n, N).
        labels: (n,), of the same images.
    Returns:
        A row for each block and overlap that occurs: block, designed, bound, pairs of classes that have it, measured
        (their mean), low and high (the least and the largest).
    """
    rows: list[Row] = []
    for name, scheme in schemes.items():
        first, second = np.triu_indices(scheme.num_classes, k=1)
        designed = jaccard(scheme.words[first].astype(float), scheme.words[second].astype(float))
        mean = np.stack([energies[name][labels == k].double().mean(0).numpy() for k in range(scheme.num_classes)])
        measured = jaccard(mean[first], mean[second])
        half = scheme.min_distance / 2
        for value in np.unique(designed):
            those = measured[designed == value]
            rows.append({
                "block": name,
                "designed": float(value),
                "bound": (scheme.num_active - half) / (scheme.num_active + half),
                "pairs": len(those),
                "measured": float(those.mean()),
                "low": float(those.min()),
                "high": float(those.max()),
            })  # fmt: skip
    return rows


def cohesion(energies: Mapping[str, Tensor], labels: Tensor) -> list[Row]:
    """How alike images of one class use the branches, and images of two: what modular networks are judged by.

    As modularizing while training has it (Qi et al., arXiv 2306.09376; for neurons NeMo, arXiv 2508.11348): the Jaccard
    overlap of the modules that two images activate, averaged over pairs of images of one class (cohesion) and of two
    classes (coupling). A branch counts as activated where its bit is read as 1, r·E(t̄) ≥ 1/2. And the cosine of the
    energies themselves, which needs no threshold: MODA (arXiv 2411.01074) trains activations of a class to be alike.

    Args:
        energies: r·E(t̄) by block, (n, N); at most `PAIRED` images, at equal distances, are compared.
        labels: (n,).
    Returns:
        A row a block: block, cohesion, coupling, and cosine_within and cosine_between; 0 … 1. None where no two of the
        images compared are of one class.
    """
    chosen = spread_indices(len(labels), PAIRED)
    same = labels[chosen][:, None] == labels[chosen]
    pairs = torch.ones_like(same).triu(1)
    if not (same & pairs).any():
        return []
    rows: list[Row] = []
    for name, every in energies.items():
        spent = every[chosen].double()
        bits = (spent >= 0.5).double()
        shared = bits @ bits.T
        either = bits.sum(1)[:, None] + bits.sum(1) - shared
        overlap = torch.where(either > 0, shared / either, 1.0)  # two images that activate nothing do the same
        direction = torch.nn.functional.normalize(spent, dim=1)
        cosine = direction @ direction.T
        rows.append({
            "block": name,
            "cohesion": overlap[same & pairs].mean().item(),
            "coupling": overlap[~same & pairs].mean().item(),
            "cosine_within": cosine[same & pairs].mean().item(),
            "cosine_between": cosine[~same & pairs].mean().item(),
        })  # fmt: skip
    return rows


def jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Σ min / Σ max over the last axis: Jaccard's overlap of sets, and of energies, which weigh their branches."""
    return np.minimum(first, second).sum(-1) / np.maximum(first, second).sum(-1)


def subset_sizes(num_classes: int) -> Sequence[int]:
    """How many classes subnetworks are tried with: 2 … K, or some of them."""
    if num_classes <= ALL_SIZES:
        return range(2, num_classes + 1)
    return [*(m for m in SOME_SIZES if m < num_classes), num_classes]


def _ranks(labels: Tensor, classes: np.ndarray) -> Tensor:
    """Where each label stands among the sorted classes."""
    return torch.from_numpy(np.searchsorted(np.sort(classes), labels.numpy()))
