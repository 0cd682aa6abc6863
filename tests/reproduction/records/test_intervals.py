"""What an interval promises: seldom wrong when there is nothing, and right as often as its power says."""

import math

import numpy as np
import pytest
from scipy.special import ndtri

from coded_resnext.reproduction.records.answers import Answers
from coded_resnext.reproduction.records.intervals import Estimate, difference, of_classes, paired_images, rate

DATA_SETS = 2000
RUNS = 5


def answered(seed, right, images=None):
    images = np.arange(len(right)) if images is None else images
    return Answers(seed, 100 * float(right.mean()), len(right), right, images)


def without_bits(runs):
    return [run._replace(right=None, images=None) for run in runs]


class Experiment:
    """Two conditions that several seeds answer, 96 % right and a true difference of some points.

    An image is easy or hard for all, a little more so under one condition, and more or less so for each run; a run has
    a skill. Two conditions of one network have most of that noise in common. Where `drawn`, seeds draw their test
    images from the whole, as the digits do; else all share them, as CIFAR's do.
    """

    def __init__(self, effect, *, drawn, one_network=False, whole=1797, tested=1297):
        self.rng, self.tested = np.random.default_rng(0), tested
        self.whole = whole if drawn else tested
        self.common = 0.9 if one_network else 0.0
        self.places = ndtri([0.96 + effect / 100, 0.96])

    def draw(self):
        easy = math.sqrt(0.6) * self.rng.standard_normal(self.whole)
        common = self.noise()
        images = [self.rng.permutation(self.whole)[: self.tested] for _ in range(RUNS)]
        sides = []
        for place in self.places:
            here = place + easy + math.sqrt(0.05) * self.rng.standard_normal(self.whole)
            noise = math.sqrt(self.common) * common + math.sqrt(1 - self.common) * self.noise()
            right = here + noise > 0
            sides.append([answered(seed, right[seed, those], those) for seed, those in enumerate(images)])
        return sides

    def noise(self):
        """Of every run and image, and of every run."""
        of_images = math.sqrt(0.35) * self.rng.standard_normal((RUNS, self.whole))
        return of_images + 0.03 * self.rng.standard_normal((RUNS, 1))


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize(("margin", "one_network"), [(0.0, False), (0.0, True), (0.5, False)])
def test_no_effect_seldom_agrees(drawn, margin, one_network):
    """At the edge of the claim: no difference, or exactly the margin lost."""
    experiment = Experiment(-margin, drawn=drawn, one_network=one_network)
    verdicts = [difference(*experiment.draw()).verdict(margin) for _ in range(DATA_SETS)]
    assert verdicts.count("agrees") <= 0.05 * DATA_SETS


@pytest.mark.parametrize(
    ("effect", "margin", "drawn", "one_network"),
    [
        (0.75, 0.0, True, False),  # coded is better than plain
        (0.75, 0.5, False, False),  # nothing is lost
        (0.08, 0.5, True, False),  # branch dropping costs no accuracy
        (0.5, 0.0, True, True),  # removing inactive branches gains, by half of what it gains in the paper
    ],
)
def test_an_effect_agrees_as_often_as_the_power_says(effect, margin, drawn, one_network):
    """The power is reckoned from what the data sets are like on the whole, not from one of them.

    Within four points: shares of images are no normal numbers, and 2,000 data sets tell a share to two points.
    """
    experiment = Experiment(effect, drawn=drawn, one_network=one_network)
    found = [difference(*experiment.draw()) for _ in range(DATA_SETS)]
    share = 100 * np.mean([estimate.verdict(margin) == "agrees" for estimate in found])
    typical = found[0]._replace(
        seed_error=math.sqrt(np.mean([estimate.seed_error**2 for estimate in found])),
        image_error=math.sqrt(np.mean([estimate.image_error**2 for estimate in found])),
    )
    assert 10 < share < 99  # else any power would do
    assert typical.power(effect, margin) == pytest.approx(share, abs=4)


def test_one_pair_of_runs_is_as_agresti_and_min_have_it():
    """Three images that only the first answers right, one that only the second does."""
    first = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1], dtype=bool)
    second = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 1], dtype=bool)
    found = difference([answered(0, first)], [answered(0, second)])
    assert found.value == pytest.approx(20.0)
    assert found.image_error == pytest.approx(100 * math.sqrt(3 + 1 + 1 - 2**2 / 12) / 12)
    assert (found.paired, found.over, found.runs) == ("images", "images", 1)
    same = difference([answered(0, first)], [answered(0, first)])
    assert same.image_error == paired_images(0, 0, 10) > 0  # all alike is not certain either


def test_images_are_paired_by_which_they_are():
    """Not by their place: two seeds that tested no image in common have nothing in common."""
    rng = np.random.default_rng(0)
    gains = rng.random((2, 100)) < 0.3
    wrong = np.zeros(100, dtype=bool)

    def found(second_images):
        images = [np.arange(100), second_images]
        return difference(
            [answered(s, gains[0], images[s]) for s in range(2)], [answered(s, wrong, images[s]) for s in range(2)]
        )

    together, apart = found(np.arange(100)), found(np.arange(100, 200))
    assert together.image_error == pytest.approx(100 * gains[0].std() / 10)
    assert apart.image_error == 0


def test_records_without_bits_pair_the_seeds_alone():
    experiment = Experiment(1.0, drawn=False)
    first, second = experiment.draw()
    paired, old = difference(first, second), difference(without_bits(first), without_bits(second))
    assert (paired.paired, old.paired) == ("runs and images", "runs")
    assert (old.value, old.seed_error) == (paired.value, paired.seed_error)
    assert old.image_error > paired.image_error
    once = difference(without_bits(first[:1]), without_bits(second[:1]))
    assert (once.paired, once.over) == ("", "images")


def test_one_run_beside_several_is_taken_to_vary_as_they_do():
    """Student's t of 95 %: 2.776 with four degrees of freedom."""
    first, second = Experiment(0.0, drawn=False).draw()
    found = difference(first, second[2:3])
    spread = np.std([run.accuracy for run in first], ddof=1)
    assert found.value == pytest.approx(np.mean([run.accuracy for run in first]) - second[2].accuracy)
    assert (found.runs, found.freedom, found.paired) == (1, 4, "")
    assert found.seed_error == pytest.approx(spread * math.sqrt(1 / 5 + 1))
    assert found.error > 2.776 * found.seed_error


def test_seeds_are_paired_by_number_whatever_their_order():
    first, second = Experiment(0.0, drawn=True).draw()
    assert difference(first[::-1], second) == difference(first, second)
    assert difference(first[1:], second).runs == RUNS - 1


@pytest.mark.parametrize(
    ("value", "runs", "margin", "verdict"),
    [(1.1, 5, 0.0, "agrees"), (1.1, 1, 0.0, "agrees (one run)"), (0.9, 5, 0.0, "undecided"), (-1.1, 5, 0.0, "differs"),
     (0.6, 5, 0.5, "agrees"), (-0.4, 5, 0.5, "undecided"), (-1.6, 1, 0.5, "differs (one run)")],
)  # fmt: skip
def test_a_verdict_is_where_the_whole_interval_is(value, runs, margin, verdict):
    assert Estimate(value, 0.0, 0, 1 / 1.959964, runs, 1000, "images").verdict(margin) == verdict


def test_an_interval_that_ends_on_the_edge_decides_nothing():
    assert Estimate(-0.5, 0.0, 0, 0.0, 5, 1000, "images").verdict(0.5) == "undecided"


def test_power_of_what_is_known_without_error():
    """The true value alone decides."""
    estimate = Estimate(0.0, 0.0, 0, 0.0, 5, 1000, "images")
    powers = [estimate.power(effect, margin=0.5) for effect in (-0.6, -0.5, -0.4, 0.4)]
    assert powers == [0.0, 0.0, 100.0, 100.0]


def test_power_of_what_is_known_without_seeds():
    """Of a normal distribution: an effect as large as the error agrees half of the time, none in 2.5 %."""
    estimate = Estimate(0.0, 0.0, 0, 1.0, 1, 1000, "images")
    assert [estimate.power(effect) for effect in (0.0, 1.959964)] == pytest.approx([2.5, 50.0])
    assert estimate.power(1.0, margin=0.959964) == pytest.approx(50.0)


def test_levels_count_images_and_seeds():
    runs = [Answers(seed, accuracy, 1000) for seed, accuracy in enumerate((90.0, 91.0, 92.0))]
    assert rate(runs).error > 4.302 / math.sqrt(3)
    assert rate(runs[:1]).over == "images"


def test_classes_count_where_there_is_one_run_only():
    """4.303 is Student's t with two degrees of freedom: of three classes, or of three runs."""
    numbers = {seed: np.array([1.0, 2.0, 3.0]) + seed for seed in range(3)}
    one, several = of_classes({0: numbers[0]}, 100), of_classes(numbers, 100)
    assert (one.over, several.over) == ("classes", "runs")
    assert [one.error, several.error] == pytest.approx([4.303 / math.sqrt(3)] * 2, 1e-3)
    paired = of_classes(numbers, 100, {seed: values - 1 for seed, values in numbers.items()})
    assert (paired.value, paired.error, paired.paired) == (1.0, 0.0, "runs")
    unpaired = of_classes(numbers, 100, {0: numbers[0]})
    assert (unpaired.over, unpaired.paired, unpaired.runs) == ("runs", "", 1)
