"""Targets: thresholds that lose so much accuracy, or spend so much; chosen on held-out images, not on the test set."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..evaluation.prediction import Predictions
from ..network.model import CodedResNeXt
from .calibration import Calibration, Target, calibration_in
from .stopping import STOPS_ABOVE, StoppingRule
from .thresholds import Answers, OperatingPoint, for_accuracy, for_budget, operating_points

DROPS = (0.0, 0.5, 1.0)  # percentage points of accuracy that may be lost
USUAL_DROP = 0.5  # where none is asked for
BUDGETS = (25, 50, 75, 100)  # percent of the whole network's multiply-adds


def fit_targets(
    model: CodedResNeXt, calibration: Calibration, held: Predictions, labels: Tensor, image_size: int
) -> tuple[Calibration, dict[str, list[OperatingPoint]]]:
    """Thresholds of every policy for every accuracy drop and budget, from held-out images.

    Returns:
        The calibration with them, and each policy's operating points.
    """
    whole = held.accuracy(labels) / 100
    targets, points = [], {}
    for policy in STOPS_ABOVE:
        rule = StoppingRule(model.schemes, policy, {}, calibration).everywhere()
        points[policy] = operating_points(what_it_says(rule, held, labels, rule.costs(model, image_size)))
        chosen = {("drop", drop): for_accuracy(points[policy], whole - drop / 100) for drop in DROPS}
        chosen |= {("budget", budget): for_budget(points[policy], budget / 100) for budget in BUDGETS}
        targets += [
            Target(policy, kind, value, to_thresholds(rule, point.cuts), 100 * point.accuracy, 100 * point.cost)
            for (kind, value), point in chosen.items()
            if point is not None
        ]
    return dataclasses.replace(calibration, targets=tuple(targets)), points


def best_policy(calibration: Calibration, drop: float) -> str:
    """The policy that costs least for an accuracy drop on the held-out images."""
    fitting = [target for target in calibration.targets if (target.kind, target.value) == ("drop", drop)]
    return min(fitting, key=lambda target: target.multiply_adds).policy


def calibrated_rule(model: CodedResNeXt, folder: Path, drop: float = USUAL_DROP) -> StoppingRule | None:
    """The cheapest rule that loses so many points, by the calibration in a folder; None where there is none."""
    calibration = calibration_in(folder, model) if model.schemes else None
    if calibration is None:
        return None
    policy = best_policy(calibration, drop)
    return StoppingRule(model.schemes, policy, calibration.thresholds(policy, "drop", drop), calibration)


def to_thresholds(rule: StoppingRule, cuts: np.ndarray) -> dict[str, float]:
    """Cuts on scores of which higher is more content, as the policy's thresholds."""
    open_exits = {name: float(cut) for name, cut in zip(rule.schemes, cuts, strict=True) if math.isfinite(cut)}
    if rule.policy == "patience":  # a cut halfway between two numbers of blocks
        return {name: float(math.ceil(cut)) for name, cut in open_exits.items()}
    return {name: cut if STOPS_ABOVE[rule.policy] else -cut for name, cut in open_exits.items()}


def what_it_says(rule: StoppingRule, predictions: Predictions, labels: Tensor, cost: np.ndarray) -> Answers:
    """What a policy says of images at every coded block, and the softmax behind them."""
    readings = list(rule.read_all(predictions.energies).values())
    sign = 1 if STOPS_ABOVE[rule.policy] else -1
    right = [reading.labels == labels for reading in readings] + [predictions.logits.argmax(1) == labels]
    scores = torch.stack([sign * reading.score.double() for reading in readings], 1)
    return Answers(scores.numpy(), torch.stack(right, 1).numpy(), cost)
