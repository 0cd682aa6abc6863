"""Intervals of what was measured: over images, seeds and classes, in pairs wherever both sides share them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from .answers import Answers

if TYPE_CHECKING:  # what measures takes an interval too, and is there without the extra that brings pandas
    import pandas as pd

Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
DRAWS = 400  # quantiles of the spread that a power is averaged over
ONE_RUN = " (one run)"


def wilson(percent: float, images: int) -> tuple[float, float]:
    """95 % interval (Wilson's) of a share that was measured on so many images, in percent.

    Unlike the plain normal interval it stays within 0 … 100, and is not empty when every image is right.
    """
    share, shrink = percent / 100, 1 + Z95**2 / images
    centre = (share + Z95**2 / (2 * images)) / shrink
    half = Z95 * math.sqrt(share * (1 - share) / images + Z95**2 / (4 * images**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


class Estimate(NamedTuple):
    """A number and what it is known by; all in percent or points.

    Attributes:
        value: the mean over runs.
        seed_error, freedom: standard error by the draw of the seeds (or of the classes), and its degrees of freedom.
        image_error: standard error by the draw of the test images that runs share.
        runs, images: that it is of; runs of the side that was run less often.
        over: what the error counts: "runs and images", "runs", "images" or "classes".
        paired: what both sides of a difference have in common, and was taken in pairs: as `over`, or nothing.
    """

    value: float
    seed_error: float
    freedom: int
    image_error: float
    runs: int
    images: int
    over: str
    paired: str = ""

    @property
    def error(self) -> float:
        """Half the 95 % interval: Student's t for the seeds, a normal distribution for the images."""
        return _half(self.seed_error, self.freedom, self.image_error)

    def verdict(self, margin: float = 0.0) -> str:
        """Of the claim that the value is above −margin: all of its interval is ("agrees"), none ("differs"), or part.

        One run tells nothing of other seeds, and the verdict says so.
        """
        if self.value - self.error > -margin:
            word = "agrees"
        elif self.value + self.error < -margin:
            word = "differs"
        else:
            return "undecided"
        return word + (ONE_RUN if self.runs == 1 else "")

    def power(self, effect: float, margin: float = 0.0) -> float:
        """How often, in percent, such a claim would agree with so many runs and images if the true value were `effect`.

        The value scatters by both errors, and so does the estimated spread of the seeds: averaged over its quantiles.
        """
        spread = math.hypot(self.seed_error, self.image_error)
        if spread == 0:
            return 100.0 * (effect > -margin)
        estimated = [self.seed_error]
        if self.freedom:
            quantiles = chdtri(self.freedom, (np.arange(DRAWS) + 0.5) / DRAWS)
            estimated = (self.seed_error * np.sqrt(quantiles / self.freedom)).tolist()
        halves = np.array([_half(seeds, self.freedom, self.image_error) for seeds in estimated])
        return 100 * float(ndtr((effect + margin - halves) / spread).mean())


def rate(runs: Sequence[Answers]) -> Estimate:
    """A mean accuracy. The images count by Wilson's interval, the seeds by Student's t."""
    mean = float(np.mean([run.accuracy for run in runs]))
    low, high = wilson(mean, runs[0].count)
    seeds, freedom = _pooled([[run.accuracy for run in runs]])
    over = "runs and images" if freedom else "images"
    return Estimate(mean, seeds, freedom, (high - low) / 2 / Z95, len(runs), runs[0].count, over)


def difference(first: Sequence[Answers], second: Sequence[Answers]) -> Estimate:
    """How much more accurate one condition is than another, in points.

    Runs of one seed are a pair (they may be one network under two conditions), and so are the answers to one image
    where records have them. Where less than two seeds are in pairs although a side has several runs, means are compared
    and the spread is pooled: what was run once is taken to vary as what stands beside it does.
    """
    of_first, of_second = ({run.seed: run for run in runs} for runs in (first, second))
    seeds = sorted(of_first.keys() & of_second.keys())
    if not seeds or len(seeds) == 1 < max(len(first), len(second)):
        spread, freedom = _pooled([[run.accuracy for run in runs] for runs in (first, second)])
        value = float(np.mean([run.accuracy for run in first]) - np.mean([run.accuracy for run in second]))
        runs, over = min(len(first), len(second)), "runs and images" if freedom else "images"
        return Estimate(value, spread, freedom, _apart(first, second), runs, first[0].count, over)
    pairs = [(of_first[seed], of_second[seed]) for seed in seeds]
    differences = [a.accuracy - b.accuracy for a, b in pairs]
    spread, freedom = _pooled([differences])
    with_bits = all(run.right is not None for pair in pairs for run in pair)
    images = _together(pairs) if with_bits else _apart(*zip(*pairs, strict=True))
    over = "runs and images" if freedom else "images"
    paired = {(True, True): over, (True, False): "images", (False, True): "runs", (False, False): ""}
    return Estimate(
        float(np.mean(differences)), spread, freedom, images, len(pairs), pairs[0][0].count, over,
        paired[with_bits, freedom > 0],
    )  # fmt: skip


def paired_images(lost: float, won: float, images: int) -> float:
    """Standard error of a difference of two accuracies on the same images, in points.

    Wald's with half an image more in each cell where they differ (Agresti and Min, Statistics in Medicine 2005): it is
    not empty when both are right throughout.

    Args:
        lost, won: images that only the one, only the other answers right.
    """
    return 100 * math.sqrt(lost + won + 1 - (lost - won) ** 2 / (images + 2)) / (images + 2)


def of_classes(
    first: Mapping[int, np.ndarray], images: int, second: Mapping[int, np.ndarray] | None = None
) -> Estimate:
    """A mean over classes, or how much larger it is than another.

    With several runs the error is theirs, of the mean over the same classes; with one it is that of drawing classes.

    Args:
        first, second: by seed, (K,) numbers of the classes.
    """
    if second is None:
        seeds, paired = sorted(first), False
        numbers = [first[seed] for seed in seeds]
    else:
        seeds, paired = sorted(first.keys() & second.keys()), True
        if not seeds or len(seeds) == 1 < max(len(first), len(second)):
            means = [[float(values.mean()) for values in side.values()] for side in (first, second)]
            spread, freedom = _pooled(means)
            if freedom:
                value, runs = float(np.mean(means[0]) - np.mean(means[1])), min(len(first), len(second))
                return Estimate(value, spread, freedom, 0.0, runs, images, "runs")
            numbers = [next(iter(first.values())) - next(iter(second.values()))]  # one run each, of two seeds
        else:
            numbers = [first[seed] - second[seed] for seed in seeds]
    value = float(np.mean([values.mean() for values in numbers]))
    if len(numbers) > 1:
        spread, freedom, over = *_pooled([[float(values.mean()) for values in numbers]]), "runs"
    else:
        spread, freedom, over = *_pooled([numbers[0].tolist()]), "classes"
    return Estimate(value, spread, freedom, 0.0, len(numbers), images, over, over if paired else "")


def error95(*rows: pd.Series) -> float:
    """Half the 95 % interval of a mean accuracy, or of the difference of two, in percent, from rows of a table.

    As `rate`, and as `difference` where nothing is in pairs.
    """
    images = math.hypot(*((row["high"] - row["low"]) / 2 for row in rows))
    repeated = [row for row in rows if row["runs"] > 1]
    freedom = sum(row["runs"] - 1 for row in repeated)
    if not freedom:
        return images
    pooled = sum(row["std"] ** 2 * (row["runs"] - 1) for row in repeated) / freedom
    return math.hypot(images, stdtrit(freedom, 0.975) * math.sqrt(pooled * sum(1 / row["runs"] for row in rows)))


def _half(seeds: float, freedom: int, images: float) -> float:
    return math.hypot(stdtrit(freedom, 0.975) * seeds if freedom else 0.0, Z95 * images)


def _pooled(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard error of the sum or difference of means, by a spread that all groups share, and its freedom."""
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0, 0
    squares = sum(float(((np.array(group) - np.mean(group)) ** 2).sum()) for group in groups)
    return math.sqrt(squares / freedom * sum(1 / len(group) for group in groups)), freedom


def _apart(first: Sequence[Answers], second: Sequence[Answers]) -> float:
    """Standard error by the images when it is not known which were right: more than it is, where they are the same."""
    halves = []
    for runs in (first, second):
        low, high = wilson(float(np.mean([run.accuracy for run in runs])), runs[0].count)
        halves.append((high - low) / 2)
    return math.hypot(*halves) / Z95


def _together(pairs: Sequence[tuple[Answers, Answers]]) -> float:
    """Standard error by the images of the mean of paired differences.

    Of one pair it is `paired_images`. The spread over several pairs has the images' noise in it, but for what all have
    in common: images that one condition answers better whatever the seed. That is the covariance, over the images that
    both tested, of two pairs' differences; nothing, when chance made it negative.
    """
    gains = [a.right.astype(float) - b.right for a, b in pairs]
    if len(gains) == 1:
        return paired_images(float((gains[0] < 0).sum()), float((gains[0] > 0).sum()), len(gains[0]))
    whole = 1 + max(int(a.images.max()) for a, _ in pairs)
    scattered = np.zeros((len(pairs), whole))  # by pair and image; 0 where it was not tested
    for row, gain, (a, _) in zip(scattered, gains, pairs, strict=True):
        row[a.images] = (gain - gain.mean()) / len(gain)
    together = scattered @ scattered.T
    shared = (together.sum() - together.trace()) / (len(pairs) * (len(pairs) - 1))
    return 100 * math.sqrt(max(0.0, float(shared)))
