"""One pass of a network over a set of images: logits and energies, no labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..data.batches import eval_batches
from ..data.sets import ImageSet
from ..network.decoding import decode
from ..network.model import CodedResNeXt


@dataclass(frozen=True)
class Predictions:
    """What a network said of n images, on the CPU.

    Attributes:
        logits: (n, K) float32.
        energies: {block: (n, N)} float32, r·E(t̄) of the coded blocks.
    """

    logits: Tensor
    energies: dict[str, Tensor]

    def accuracy(self, labels: Tensor) -> float:
        """Top-1 of the softmax, percent."""
        return percent_equal(self.logits.argmax(1), labels)

    def decoding_accuracy(self, block: str, scheme: CodingScheme, labels: Tensor) -> float:
        """Top-1 of one coded block as a decoder, equation 7, percent."""
        return percent_equal(decode(self.energies[block], scheme), labels)


@torch.inference_mode()
def predict(
    model: CodedResNeXt, images: ImageSet, batch_size: int, device: torch.device, *, workers: int = 0
) -> Predictions:
    """Logits and energies of all images in order, in evaluation mode; the network's mode stays.

    The network computes in its own precision, or what autocast says. Images on disk are read by `workers` processes.
    """
    was_training, precision = model.training, next(model.parameters()).dtype
    model.eval()
    logits: list[Tensor] = []
    energies: dict[str, list[Tensor]] = {}
    for pixels, _ in eval_batches(images, batch_size, device, workers=workers):
        answer, spent = model(pixels.to(precision), return_energies=True)
        logits.append(answer.float().cpu())
        for name, value in spent.items():
            energies.setdefault(name, []).append(value.float().cpu())
    model.train(was_training)
    return Predictions(torch.cat(logits), {name: torch.cat(parts) for name, parts in energies.items()})


def percent_equal(answers: Tensor, labels: Tensor) -> float:
    """Share of equal entries, percent."""
    return 100 * (answers == labels.to(answers.device)).double().mean().item()


def confusion_counts(predictions: Predictions, labels: Tensor) -> Tensor:
    """(K, K) how many images of class k, by row, the softmax took for class l; for `assign_classes`."""
    k = predictions.logits.shape[1]
    return (labels * k + predictions.logits.argmax(1)).bincount(minlength=k * k).reshape(k, k)


def early_decoding(
    predictions: Predictions, schemes: Mapping[str, CodingScheme], labels: Tensor
) -> list[dict[str, str | float]]:
    """Figure 4: percent right when each coded block decodes alone, then the softmax."""
    rows: list[dict[str, str | float]] = [
        {"block": name, "accuracy": predictions.decoding_accuracy(name, scheme, labels)}
        for name, scheme in schemes.items()
    ]
    return [*rows, {"block": "softmax", "accuracy": predictions.accuracy(labels)}]


def class_energies(
    predictions: Predictions, schemes: Mapping[str, CodingScheme], labels: Tensor
) -> list[dict[str, Any]]:
    """What equation 5 trains: where the energies of each class go.

    Returns:
        A row a coded block: block; energies, K×N, the mean of r·E(t̄) over the images of a class, whose codeword is the
        target; inactive_share, percent of all energy that branches carry whose bit of the true codeword is 0.
    """
    rows = []
    for name, scheme in schemes.items():
        energies = predictions.energies[name].double()
        words = torch.tensor(scheme.words)
        means = torch.stack([energies[labels == k].mean(0) for k in range(len(words))])
        inactive = (energies * ~words[labels]).sum() / energies.sum()
        energies_by_class = means.numpy().round(4).tolist()
        rows.append({"block": name, "energies": energies_by_class, "inactive_share": 100 * inactive.item()})
    return rows


def full_accuracy(predictions: Predictions, labels: Tensor) -> dict[str, float]:
    """Top-1 and top-5 (where there are more than five classes), percent."""
    top = {"accuracy": predictions.accuracy(labels)}
    if predictions.logits.shape[1] > 5:
        among_best = (predictions.logits.topk(5).indices == labels[:, None]).any(1)
        top["accuracy_top5"] = 100 * among_best.double().mean().item()
    return top
