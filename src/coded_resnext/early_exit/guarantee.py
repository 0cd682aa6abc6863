"""Early exit with a guarantee: thresholds that make few images wrong, with a stated confidence.

Risk control by fixed-sequence testing (Angelopoulos et al., Learn then Test, arXiv 2110.01052; for early exit Jazbec et
al., arXiv 2405.20915). The harm of early exit is the share of images that the whole network answers rightly and the
early answer wrongly. Candidates come from one half of the held-out images; the other half tests them one after the
other, from the dearest on, as long as a harm above the limit can be ruled out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .thresholds import Answers, OperatingPoint, operating_points

HARMS = (1.0, 2.0, 5.0)  # percent of the images that may be made wrong
CONFIDENCE = 0.95


def harmed(answers: Answers, cuts: np.ndarray) -> np.ndarray:
    """(n,) which images are made wrong by leaving at these cuts."""
    exits = answers.exits(cuts)
    return answers.right[:, -1] & ~answers.right[np.arange(len(exits)), exits]


def guaranteed(points: Sequence[OperatingPoint], answers: Answers, most: float) -> OperatingPoint | None:
    """The last point in a row of passed tests, or None where the first is not passed: then no image may leave early.

    Args:
        points: from dear to cheap; one that lets nobody leave harms nobody, and needs no test.
        answers: of images on which the points were not chosen.
        most: harm that may be, 0 … 1; a point with more passes with probability 1 − CONFIDENCE at most.
    """
    from scipy.stats import binom

    passed = None
    for point in points:
        if np.isinf(point.cuts).all():
            continue
        count = int(harmed(answers, point.cuts).sum())
        if binom.cdf(count, len(answers.right), most) > 1 - CONFIDENCE:
            break
        passed = point
    return passed


def guarantees(held: Answers, test: Answers) -> list[dict[str, float | None]]:
    """What guaranteed thresholds bring on test images, a row for each of HARMS.

    Thresholds are chosen on one half of the held-out images and tested on the other. The temperatures and channels of
    "entropy" and "posterior" were fitted to all of them, so that the guarantee of these two is not strict.

    Returns:
        harm (that was allowed) and, measured: harmed, accuracy and multiply_adds; percent, None where no threshold
        could be guaranteed.
    """
    half = np.random.default_rng(0).permutation(len(held.right)) % 2 == 0
    points = operating_points(held.of(half))
    rows: list[dict[str, float | None]] = []
    for harm in HARMS:
        point = guaranteed(points, held.of(~half), harm / 100)
        row: dict[str, float | None] = {"harm": harm, "harmed": None, "accuracy": None, "multiply_adds": None}
        if point is not None:
            exits = test.exits(point.cuts)
            row |= {
                "harmed": 100 * float(harmed(test, point.cuts).mean()),
                "accuracy": 100 * float(test.right[np.arange(len(exits)), exits].mean()),
                "multiply_adds": 100 * float(test.cost[exits].mean()),
            }
        rows.append(row)
    return rows


def tells_right_from_wrong(answers: Answers) -> list[float | None]:
    """AUROC of each exit's score for its own answer being right, percent; None where all are right, or all wrong."""
    from sklearn.metrics import roc_auc_score

    found: list[float | None] = []
    for score, right in zip(answers.scores.T, answers.right.T, strict=False):  # the softmax behind them has no score
        number = ~np.isnan(score)
        mixed = right[number].any() and not right[number].all()
        found.append(100 * float(roc_auc_score(right[number], score[number])) if mixed else None)
    return found
