"""Thresholds that keep a target: as few multiply-adds as an accuracy allows, or as much accuracy as a budget does.

A price λ turns both into one number, accuracy − λ·cost. For one price the thresholds are found block by block: with the
other blocks fixed, sorting the images by score shows at once where leaving stops paying. Thresholds flatter the images
that they were chosen on, the more the fewer there are. So at each price caution also lets only the most content part
leave of those for whom it pays, and what all this brings is estimated by cross-validation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOLDS = 5
PRICES = np.geomspace(1e-3, 3.0, 30)  # of the whole network's cost, in units of accuracy
PARTS = (1.0, 0.95, 0.9, 0.75, 0.5)  # of the images for whom leaving pays
ROUNDS = 10  # of going through the blocks; a few suffice


@dataclass(frozen=True)
class Answers:
    """What a policy says of n held-out images at B exits and at the softmax head behind them.

    Attributes:
        scores: (n, B); higher is more content, NaN never.
        right: (n, B + 1) boolean.
        cost: (B + 1,) share of the whole network's multiply-adds that an answer there has taken, 0 … 1.
    """

    scores: np.ndarray
    right: np.ndarray
    cost: np.ndarray

    def of(self, rows: np.ndarray | slice) -> Answers:
        return Answers(self.scores[rows], self.right[rows], self.cost)

    def exits(self, cuts: np.ndarray) -> np.ndarray:
        """(n,) where each image leaves: the first exit whose score reaches its cut (B,); inf closes an exit."""
        content = np.column_stack([self.scores >= cuts, np.ones(len(self.scores), dtype=bool)])
        return content.argmax(1)


@dataclass(frozen=True)
class OperatingPoint:
    """Cuts (B,) on the scores, and what they bring by cross-validation, 0 … 1."""

    cuts: np.ndarray
    accuracy: float
    cost: float


def operating_points(answers: Answers) -> list[OperatingPoint]:
    """No exit at all, and what each price and part brings unless another is cheaper and no worse; from dear to cheap.

    Accuracy and cost of a point are of cuts chosen on the other folds; its own cuts are chosen on all images.
    """
    n, places = answers.right.shape
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    points = [OperatingPoint(np.full(places - 1, np.inf), float(answers.right[:, -1].mean()), 1.0)]
    for part in PARTS:
        totals = np.zeros((len(PRICES), 2))
        for k in range(FOLDS):
            held = answers.of(fold == k)
            for i, cuts in enumerate(_sweep(answers.of(fold != k), part)):
                exits = held.exits(cuts)
                totals[i] += held.right[np.arange(len(exits)), exits].sum(), held.cost[exits].sum()
        points += [
            OperatingPoint(cuts, accuracy, cost)
            for cuts, (accuracy, cost) in zip(_sweep(answers, part), totals / n, strict=True)
        ]
    best: list[OperatingPoint] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best[::-1]


def for_accuracy(points: Sequence[OperatingPoint], least: float) -> OperatingPoint:
    """The cheapest point that is at least so accurate, or the most accurate when none is."""
    good = [point for point in points if point.accuracy >= least]
    return good[-1] if good else points[0]


def for_budget(points: Sequence[OperatingPoint], most: float) -> OperatingPoint | None:
    """The most accurate point that costs at most so much; None when even the first exit is dearer."""
    return next((point for point in points if point.cost <= most), None)


def _sweep(answers: Answers, part: float) -> list[np.ndarray]:
    """Cuts for each price, every search from the cuts of the price before."""
    cuts = np.full(answers.scores.shape[1], np.inf)
    order = np.argsort(-np.nan_to_num(answers.scores, nan=-np.inf), axis=0, kind="stable")
    found = []
    for price in PRICES:
        worth = answers.right - price * answers.cost  # (n, B + 1), of leaving at each place
        for _ in range(ROUNDS):
            before = cuts.copy()
            for b in reversed(range(len(cuts))):
                cuts[b] = _best_cut(answers, worth, cuts, b, order[:, b], part)
            if np.array_equal(cuts, before):
                break
        found.append(cuts.copy())
    return found


def _best_cut(
    answers: Answers, worth: np.ndarray, cuts: np.ndarray, b: int, order: np.ndarray, part: float
) -> float:
    """Where to cut exit b when all others stay: the most content images leave, a part of those it pays for."""
    closed = cuts.copy()
    closed[b] = np.inf
    otherwise = answers.exits(closed)
    here = order[(otherwise[order] > b) & ~np.isnan(answers.scores[order, b])]  # who comes by, most content first
    gain = np.cumsum(worth[here, b] - worth[here, otherwise[here]])
    scores = answers.scores[here, b]
    possible = np.append(scores[:-1] > scores[1:], True)[: len(scores)]  # equal scores leave together or not at all
    gain = np.where(possible, gain, -np.inf)
    if not len(gain) or gain.max() <= 0:
        return np.inf
    return _between(scores, math.ceil(part * (int(gain.argmax()) + 1)))


def _between(ordered: np.ndarray, count: int) -> float:
    """A cut that the first `count` of descending scores reach, halfway to the next: rounding changes no answer."""
    last = ordered[count - 1]
    return float(last if count == len(ordered) else (last + ordered[count]) / 2)
