"""Thresholds: optimal where that can be tried out, honest about images they were not chosen on."""

import itertools

import numpy as np
import pytest

from coded_resnext.early_exit.thresholds import Answers, for_accuracy, for_budget, operating_points

from coded_resnext.early_exit.thresholds import _best_cut, _sweep  # the search itself  # isort: skip

COST = np.array([0.4, 0.7, 1.0])


def made_up(n, seed=0, helpful=True):
    """Two exits and a head; where scores help, the more content are more often right."""
    rng = np.random.default_rng(seed)
    scores = rng.random((n, 2))
    chance = scores if helpful else np.full((n, 2), 0.5)
    right = np.column_stack([rng.random((n, 2)) < 0.5 + chance / 2, rng.random(n) < 0.97])
    return Answers(scores, right, COST)


def value(answers, cuts, price):
    exits = answers.exits(np.asarray(cuts))
    return (answers.right[np.arange(len(exits)), exits] - price * answers.cost[exits]).sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("price", [0.01, 0.2, 1.0])
def test_the_best_cut_of_one_exit_is_the_best_of_all(seed, price):
    """Against every possible cut, the other exit as it is; scores with ties."""
    answers = made_up(40, seed)
    answers.scores[:] = answers.scores.round(1)
    worth = answers.right - price * answers.cost
    for b, other in itertools.product((0, 1), (0.5, np.inf)):
        cuts = np.array([other, other])
        found = cuts.copy()
        found[b] = _best_cut(answers, worth, cuts, b, np.argsort(-answers.scores[:, b], kind="stable"), part=1.0)
        best = -np.inf
        for candidate in (*np.unique(answers.scores[:, b]), np.inf):
            tried = cuts.copy()
            tried[b] = candidate
            best = max(best, value(answers, tried, price))
        assert value(answers, found, price) == pytest.approx(best, abs=1e-12)


def test_no_exit_opens_at_a_price_of_nothing_that_loses():
    answers = made_up(200)
    answers.right[:, 2] = True
    answers.right[:, :2] = False
    assert all(np.isinf(cuts).all() for cuts in _sweep(answers, 1.0)[:10])


def test_points_go_from_dear_to_cheap_and_none_is_worse_and_dearer():
    points = operating_points(made_up(500))
    cost, accuracy = [point.cost for point in points], [point.accuracy for point in points]
    assert len(points) > 5
    assert cost == sorted(cost, reverse=True)
    assert accuracy == sorted(accuracy, reverse=True)
    assert cost[0] <= 1.0
    assert 0.4 <= cost[-1] < 0.41  # nearly everybody leaves at the first exit


def test_what_is_expected_comes_true_on_other_images():
    """Cross-validated accuracy is of images that chose nothing; within four standard errors of 2,000 images.

    The cost is of each fold's own cuts, which wander where accuracy hardly depends on them.
    """
    points, fresh = operating_points(made_up(2000)), made_up(20_000, seed=1)
    for point in points:
        exits = fresh.exits(point.cuts)
        accuracy = fresh.right[np.arange(len(exits)), exits].mean()
        assert accuracy == pytest.approx(point.accuracy, abs=4 * (0.9 * 0.1 / 2000) ** 0.5)
        assert fresh.cost[exits].mean() == pytest.approx(point.cost, abs=0.05)


def test_targets_choose_from_the_points():
    points = operating_points(made_up(1000))
    whole = points[0].accuracy
    chosen = for_accuracy(points, whole - 0.02)
    assert chosen.accuracy >= whole - 0.02
    assert all(point.accuracy < whole - 0.02 for point in points if point.cost < chosen.cost)
    assert for_accuracy(points, 2.0) is points[0]  # nothing is that good
    cheap = for_budget(points, 0.6)
    assert cheap.cost <= 0.6
    assert all(point.accuracy <= cheap.accuracy for point in points if point.cost <= 0.6)
    assert for_budget(points, 0.25) is None  # the first exit costs 0.4


def test_scores_that_are_no_numbers_never_leave():
    answers = made_up(100)
    answers.scores[:10] = np.nan
    for point in operating_points(answers):
        assert (answers.exits(point.cuts)[:10] == 2).all()


def test_equal_scores_leave_together():
    answers = made_up(300)
    answers.scores[:] = (answers.scores * 3).astype(int)  # as patience has them
    for point in operating_points(answers):
        assert np.isinf(point.cuts).all() or np.isin(point.cuts[np.isfinite(point.cuts)], [0, 0.5, 1, 1.5, 2]).all()
