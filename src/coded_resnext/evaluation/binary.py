"""Binary classifiers: one class's path alone, its threshold, what it accepts (section 4.3, figures 2b to 3, 7, 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..data.batches import eval_batches, seeds
from ..data.sets import ImageSet
from ..network.class_paths import ClassPaths
from ..network.model import CodedResNeXt

# With more classes than this, positives would drown: negatives are sampled, as many a positive as with ten.
FEW_CLASSES = 10
NEGATIVES_PER_POSITIVE = 9
THRESHOLD_DRAWS = 10
HISTOGRAM_BINS = 40


@torch.inference_mode()
def binary_logits(
    model: CodedResNeXt,
    schemes: Mapping[str, CodingScheme],
    images: ImageSet,
    batch_size: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """The logit of every class's binary classifier, and of each class on a path that is not its own.

    The blocks before the first coded one are the same for all classes and run once per image.

    Args:
        schemes: by block; `model.schemes`, or those that a plain network is cut by, to compare with.
    Returns:
        Two tensors (n, K): column k with only the branches of codeword k, and with only those of the next class's.
    """
    own, other = [], []
    for logits_of in _by_batch(ClassPaths(model, schemes), images, batch_size, device):
        on_path = [logits[:, k] for k, logits in enumerate(logits_of)]
        before = [logits[:, k - 1] for k, logits in enumerate(logits_of)]  # of path k: the class before it
        own.append(torch.stack(on_path, 1).cpu())
        other.append(torch.stack([*before[1:], before[0]], 1).cpu())
    return torch.cat(own), torch.cat(other)


@torch.inference_mode()
def path_logits(
    model: CodedResNeXt,
    schemes: Mapping[str, CodingScheme],
    images: ImageSet,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """(n, K, K) what every class's path says of every class: [:, j, k] is the logit of class k on the path of class j.

    For few classes: it holds n·K² numbers, of which `binary_logits` has two rows of K.
    """
    by_batch = _by_batch(ClassPaths(model, schemes), images, batch_size, device)
    return torch.cat([torch.stack(logits_of, 1).cpu() for logits_of in by_batch])


def _by_batch(
    paths: ClassPaths, images: ImageSet, batch_size: int, device: torch.device
) -> Iterator[list[Tensor]]:
    """The logits (B, K) of every class's path."""
    for pixels, _ in eval_batches(images, batch_size, device):
        shared = paths.shared(pixels)
        yield [paths.logits(shared, k) for k in range(paths.model.num_classes)]


def best_threshold(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The threshold whose F1 is highest, searched over every score: halfway between the scores it separates.

    The paper's code tries 100 values between two medians; the precision-recall curve has all that matter.
    """
    scores = np.concatenate([positives, negatives])
    truth = np.concatenate([np.ones(len(positives)), np.zeros(len(negatives))])
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    accepted = thresholds[int(f1[:-1].argmax())]  # scores at or above it count as positive
    below = scores[scores < accepted]
    return float((accepted + below.max()) / 2) if len(below) else float(accepted)


@dataclass(frozen=True)
class BinaryClassifier:
    """One class against the rest, figures 2b and 3; rates in percent, average precision 0 … 1."""

    name: str
    threshold: float
    recall: float
    precision: float
    average_precision: float
    precision_out: float | None
    average_precision_out: float | None


def binary_classifiers(
    thresholds: Sequence[float], test: tuple[Tensor, ImageSet], foreign: Tensor | None, *, seed: int
) -> list[BinaryClassifier]:
    """Precision and recall on test images, and against foreign ones.

    Args:
        thresholds: of every class, see `training_thresholds`.
        test: binary logits (n, K) and the images they are of.
        foreign: binary logits (m, K) of images of no class, or None.
        seed: of the negatives' sampling, with more than 10 classes.
    """
    names = test[1].classes
    sample = len(names) > FEW_CLASSES
    results = []
    for k, (name, threshold) in enumerate(zip(names, thresholds, strict=True)):
        positives, negatives = _by_truth(test[0][:, k], test[1], k)
        outside = None if foreign is None else foreign[:, k].double().numpy()
        if sample:
            negatives = sample_negatives(negatives, len(positives), seed, k, THRESHOLD_DRAWS)
            if outside is not None:
                outside = sample_negatives(outside, len(positives), seed, k, THRESHOLD_DRAWS + 1)
        precision_out, average_out = (None, None) if outside is None else _against(positives, outside, threshold)
        precision, average = _against(positives, negatives, threshold)
        recall = 100 * float((positives >= threshold).mean())
        results.append(BinaryClassifier(name, threshold, recall, precision, average, precision_out, average_out))
    return results


def average_precisions(logits: Tensor, images: ImageSet) -> list[float]:
    """Of every class against the rest, 0 … 1, from logits (n, K); it needs no threshold."""
    by_class = (_by_truth(logits[:, k], images, k) for k in range(len(images.classes)))
    return [_average_precision(positives, negatives) for positives, negatives in by_class]


def codeword_distances(schemes: Mapping[str, CodingScheme]) -> np.ndarray:
    """(K, K) in how many branches two classes' codewords differ, over the schemes that the blocks have between them."""
    distinct = {scheme.words.tobytes(): scheme.words.astype(int) for scheme in schemes.values()}
    return sum(np.abs(words[:, None] - words[None]).sum(2) for words in distinct.values())


@torch.inference_mode()
def training_thresholds(
    model: CodedResNeXt,
    schemes: Mapping[str, CodingScheme],
    images: ImageSet,
    *,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> list[float]:
    """The threshold of every class's binary classifier, from training images.

    With many classes only the images that a threshold is found on go through a class's path: 9 negatives for each
    positive and draw, of a million. What is before the first coded block sees every image once.

    Args:
        schemes: as of `binary_logits`.
    """
    classes = range(len(images.classes))
    needed = [_needed(*_threshold_images(images, k, seed)).astype(np.int32) for k in classes]
    paths, pieces, begin = ClassPaths(model, schemes), [[] for _ in classes], 0
    for pixels, _ in eval_batches(images, batch_size, device):
        shared, end = paths.shared(pixels), begin + len(pixels)
        for k, rows in enumerate(needed):
            here = rows[slice(*rows.searchsorted([begin, end]))] - begin
            if len(here):
                pieces[k].append(paths.logits(shared[here], k)[:, k].cpu())
        begin = end
    return [training_threshold(lambda _, found=pieces[k]: torch.cat(found), images, k, seed=seed) for k in classes]


def training_threshold(
    logits_of: Callable[[np.ndarray], Tensor], images: ImageSet, k: int, *, seed: int
) -> float:
    """The threshold of class k's binary classifier, from training images.

    With more than 10 classes, the mean over draws of 9 negatives for each positive.

    Args:
        logits_of: what the classifier says of the images of these indices, sorted, (m,); asked once.
    """
    positives, draws = _threshold_images(images, k, seed)
    needed = _needed(positives, draws)
    logits = logits_of(needed).double().numpy()

    def scores(rows: np.ndarray) -> np.ndarray:
        return logits[needed.searchsorted(rows)]

    return float(np.mean([best_threshold(scores(positives), scores(drawn)) for drawn in draws]))


def _threshold_images(images: ImageSet, k: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The indices of class k's images, and of each draw of others; one draw of all others when classes are few."""
    member = (images.labels == k).numpy()
    positives, negatives = np.flatnonzero(member), np.flatnonzero(~member)
    if len(images.classes) <= FEW_CLASSES:
        return positives, [negatives]
    return positives, [sample_negatives(negatives, len(positives), seed, k, d) for d in range(THRESHOLD_DRAWS)]


def _needed(positives: np.ndarray, draws: Sequence[np.ndarray]) -> np.ndarray:
    """All of these indices, sorted, once each."""
    return np.unique(np.concatenate([positives, *draws]))


def sample_negatives(negatives: np.ndarray, positives: int, *key: int) -> np.ndarray:
    """Nine negatives for each positive, without replacement and by seed; all of them when there are fewer."""
    wanted = min(len(negatives), NEGATIVES_PER_POSITIVE * positives)
    return negatives[seeds("negatives", *key).choice(len(negatives), wanted, replace=False)]


def logit_histograms(
    test: tuple[Tensor, ImageSet], foreign: Tensor | None, classes: int
) -> list[dict[str, str | list[float] | list[int]]]:
    """Figures 3 and 7: counts of the binary classifier's logit, of the first `classes` classes, on shared edges."""
    rows = []
    for k, name in enumerate(test[1].classes[:classes]):
        positives, negatives = _by_truth(test[0][:, k], test[1], k)
        groups = {"positives": positives, "negatives": negatives}
        if foreign is not None:
            groups["foreign"] = foreign[:, k].double().numpy()
        edges = np.histogram_bin_edges(np.concatenate(list(groups.values())), HISTOGRAM_BINS)
        counts = {group: np.histogram(values, edges)[0].tolist() for group, values in groups.items()}
        rows.append({"class": name, "edges": edges.round(4).tolist(), **counts})
    return rows


def _by_truth(logits: Tensor, images: ImageSet, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n,) of the images of class k, and of the others."""
    column, member = logits.double().numpy(), (images.labels == k).numpy()
    return column[member], column[~member]


def _against(positives: np.ndarray, negatives: np.ndarray, threshold: float) -> tuple[float, float]:
    """Precision in percent (0 when nothing is accepted) and average precision of some positives and negatives."""
    hits, false_alarms = int((positives >= threshold).sum()), int((negatives >= threshold).sum())
    return 100 * hits / max(1, hits + false_alarms), _average_precision(positives, negatives)


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> float:
    truth = np.concatenate([np.ones(len(positives)), np.zeros(len(negatives))])
    return float(average_precision_score(truth, np.concatenate([positives, negatives])))
