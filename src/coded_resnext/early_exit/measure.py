"""What early exit and decoding across blocks bring, measured on the test set; what they choose is chosen on others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batches import seeds
from ..evaluation.prediction import Predictions, percent_equal
from ..network.decoding import decode
from ..network.model import CodedResNeXt
from .calibration import SOFTMAX, Calibration
from .channel import evidence
from .stopping import Exits, StoppingRule
from .targets import BUDGETS
from .thresholds import Answers, OperatingPoint

KINDS = ("soft", "hard")  # of decisions about bits
SHOWN = 6  # images of each exit in the figure


def shares(exits: Exits, coded_blocks: int) -> list[float]:
    """How many images leave at each coded block, and at the softmax; percent."""
    counts = torch.bincount(exits.exits, minlength=coded_blocks + 1)
    return (100 * counts.double() / len(exits.exits)).tolist()


def tradeoff(points: Sequence[OperatingPoint], answers: Answers) -> list[dict[str, float]]:
    """Accuracy and multiply-adds, percent, of test images under cuts that were chosen on others, from dear to cheap."""
    rows: list[dict[str, float]] = []
    for point in points:
        exits = answers.exits(point.cuts)
        right = answers.right[np.arange(len(exits)), exits]
        row = {"accuracy": 100 * float(right.mean()), "multiply_adds": 100 * float(answers.cost[exits].mean())}
        if row not in rows[-1:]:
            rows.append(row)
    return rows


def decoders(
    model: CodedResNeXt, calibration: Calibration, held: tuple[Predictions, Tensor], test: tuple[Predictions, Tensor]
) -> list[dict[str, str | float]]:
    """Decoding across blocks: accuracy, percent, of each block alone and of all blocks up to it, soft and hard.

    The row of the softmax has, as "soft" and "hard", the softmax combined with all blocks: log probabilities weighted
    by two numbers that make the held-out labels most likely.
    """
    rows: list[dict[str, str | float]] = []
    sums: dict[tuple[str, str], Tensor | float] = {(kind, which): 0.0 for kind in KINDS for which in ("held", "test")}
    for name, scheme in model.schemes.items():
        words = torch.tensor(scheme.words, dtype=torch.float64)
        row: dict[str, str | float] = {
            "decoder": name, "alone": percent_equal(decode(test[0].energies[name], scheme), test[1])
        }  # fmt: skip
        for kind in KINDS:
            for which, predictions in (("held", held[0]), ("test", test[0])):
                energies = predictions.energies[name].double()
                sums[kind, which] += evidence(energies, words, calibration.channels[name], hard=kind == "hard")
            row[kind] = percent_equal(sums[kind, "test"].argmax(1), test[1])
        rows.append(row)
    row = {"decoder": SOFTMAX, "alone": test[0].accuracy(test[1])}
    for kind in KINDS:
        weights = _most_likely_weights(held[0].logits.double(), sums[kind, "held"], held[1])
        together = weights[0] * test[0].logits.double() + weights[1] * sums[kind, "test"]
        row[kind] = percent_equal(together.argmax(1), test[1])
    return [*rows, row]


def _most_likely_weights(first: Tensor, second: Tensor, labels: Tensor) -> np.ndarray:
    """Two numbers a, b for which softmax(a·first + b·second) makes the labels most likely; convex."""
    from scipy.optimize import minimize

    scale = second.std().item() / first.std().item()  # both of the same size, for the search

    def loss(weights: np.ndarray) -> float:
        return F.cross_entropy(weights[0] * first + weights[1] * second / scale, labels).item()

    found = minimize(loss, [0.5, 0.5], method="Nelder-Mead").x
    return np.array([found[0], found[1] / scale])


def anytime(
    rule: StoppingRule, predictions: Predictions, labels: Tensor, cost: np.ndarray
) -> list[dict[str, str | float | None]]:
    """Accuracy when every image is cut short at the same budget and answered by the deepest block that it pays for.

    Args:
        rule: of policy "posterior", which answers by all blocks so far.
    Returns:
        A row a budget: budget, block (None when not even the first exit is paid for), alone (that block by itself) and
        posterior (all blocks so far); percent.
    """
    readings = rule.read_all(predictions.energies)
    names = list(readings)
    rows: list[dict[str, str | float | None]] = []
    for budget in BUDGETS:
        reached = int((100 * cost[:-1] <= budget).sum())
        if budget == 100:
            answer = predictions.accuracy(labels)
            rows.append({"budget": budget, "block": SOFTMAX, "alone": answer, "posterior": answer})
        elif reached == 0:
            rows.append({"budget": budget, "block": None, "alone": None, "posterior": None})
        else:
            name = names[reached - 1]
            rows.append({
                "budget": budget,
                "block": name,
                "alone": predictions.decoding_accuracy(name, rule.schemes[name], labels),
                "posterior": percent_equal(readings[name].labels, labels),
            })  # fmt: skip
    return rows


def agreement(model: CodedResNeXt, predictions: Predictions, labels: Tensor) -> list[dict[str, str | float]]:
    """Which is right, each block alone or the softmax: a row a block: both, early, late, neither; percent."""
    late = predictions.logits.argmax(1) == labels
    rows = []
    for name, scheme in model.schemes.items():
        early = decode(predictions.energies[name], scheme) == labels
        cells = {"both": early & late, "early": early & ~late, "late": late & ~early, "neither": ~early & ~late}
        rows.append({"block": name} | {key: 100 * cell.double().mean().item() for key, cell in cells.items()})
    return rows


def examples(exits: Exits, whole: Tensor, labels: Tensor) -> list[dict[str, int]]:
    """Some test images of every exit, then some where the early answer and the whole network's differ.

    Drawn by chance: folders of images are sorted by what they show.

    Returns:
        A row an image: image (index in the test set), exit, answer, whole (the network's answer), label.
    """
    columns = {"exit": exits.exits, "answer": exits.labels, "whole": whole, "label": labels}
    order = torch.from_numpy(seeds("examples of exits", 0).permutation(len(labels)))
    chosen: list[int] = []
    for place in exits.exits.unique().tolist():
        chosen += order[exits.exits[order] == place][:SHOWN].tolist()
    other = order[(exits.labels != whole)[order]]
    chosen += [i for i in other[: 2 * SHOWN].tolist() if i not in chosen]
    return [{"image": i} | {key: int(column[i]) for key, column in columns.items()} for i in chosen]
