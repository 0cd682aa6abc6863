"""Intervals of what was measured: over the test images, the seeds and the classes."""

from __future__ import annotations

import math

import pandas as pd
from scipy.special import stdtrit

Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def wilson(percent: float, images: int) -> tuple[float, float]:
    """95 % interval (Wilson's) of a share that was measured on so many images, in percent.

    Unlike the plain normal interval it stays within 0 … 100, and is not empty when every image is right.
    """
    share, shrink = percent / 100, 1 + Z95**2 / images
    centre = (share + Z95**2 / (2 * images)) / shrink
    half = Z95 * math.sqrt(share * (1 - share) / images + Z95**2 / (4 * images**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def error95(*rows: pd.Series) -> float:
    """Half the 95 % interval of a mean accuracy, or of the difference of two, in percent.

    The draw of the test images counts by Wilson's interval, since the plain one is empty when all are right; the same
    images measure both sides of a difference, so it is known better than this says. The draw of the seeds counts by
    Student's t, with a spread that is pooled over the rows: what was run once is taken to vary as what stands beside it
    does. Where all were run once, only the images count.
    """
    images = sum(((row["high"] - row["low"]) / 2) ** 2 for row in rows)
    repeated = [row for row in rows if row["runs"] > 1]
    freedom = sum(row["runs"] - 1 for row in repeated)
    if not freedom:
        return math.sqrt(images)
    pooled = sum(row["std"] ** 2 * (row["runs"] - 1) for row in repeated) / freedom
    seeds = stdtrit(freedom, 0.975) ** 2 * pooled * sum(1 / row["runs"] for row in rows)
    return math.sqrt(images + seeds)


def error95_of_mean(values: pd.Series) -> float:
    """Half the 95 % interval of a mean over classes, by Student's t."""
    return stdtrit(len(values) - 1, 0.975) * values.std() / math.sqrt(len(values))
