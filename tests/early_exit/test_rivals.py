"""What early exit is compared with, on features and scores that can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from coded_resnext import CodedResNeXt
from coded_resnext.early_exit.guarantee import CONFIDENCE, guaranteed, guarantees, harmed, tells_right_from_wrong
from coded_resnext.early_exit.rivals import RIVALS, class_means, linear_head, rival_answers, rival_costs
from coded_resnext.early_exit.thresholds import Answers, OperatingPoint
from coded_resnext.network.cost import multiply_adds


def clusters(seed, n=300):
    """Three classes around corners, far enough apart for both heads."""
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(0, 3, n))
    corners = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]], dtype=torch.float64)
    return corners[labels] + torch.from_numpy(rng.normal(size=(n, 3))), labels


@pytest.mark.parametrize("head", [class_means, linear_head])
def test_heads_find_the_clusters_and_know_when_they_are_sure(head):
    (features, labels), (asked, truth) = clusters(0), clusters(1)
    found = head(features, labels, asked)
    right = found.labels == truth.numpy()
    assert right.mean() > 0.93
    assert found.score[right].mean() > found.score[~right].mean()
    between = head(features, labels, torch.tensor([[2.0, 0, 0], [0, 9, 0]], dtype=torch.float64))
    assert between.score[0] < between.score[1]


def test_the_nearest_class_mean_by_hand():
    features = torch.tensor([[0.0], [2], [10], [12]], dtype=torch.float64)
    found = class_means(features, torch.tensor([0, 0, 1, 1]), torch.tensor([[5.0], [7]], dtype=torch.float64))
    assert found.labels.tolist() == [0, 1]
    # Means 1 and 11: distances 4 and 6 of mean 5.
    assert found.score == pytest.approx(1 / (1 + math.exp((4 - 6) / 5)))


def test_what_a_head_costs():
    model = CodedResNeXt([1, 1], 10, 10, 2, width=8)
    whole = multiply_adds(model, 8).total
    cost = rival_costs(model, ["layer1.0", "layer2.0"], 8, whole)
    until = [multiply_adds(model, 8).until(name, whole=True) for name in ("layer1.0", "layer2.0")]
    heads = [32 * 10, 32 * 10 + 64 * 10]
    assert cost * whole == pytest.approx([until[0] + heads[0], until[1] + heads[1], whole + heads[1]])


def test_answers_of_every_block_and_of_the_softmax():
    (features, labels), (asked, truth) = clusters(0), clusters(1)
    logits = torch.nn.functional.one_hot(truth, 3).double()
    for rival in RIVALS:
        answers = rival_answers(rival, ({"a": features, "b": features}, labels),
                                ({"a": asked, "b": asked}, logits, truth), np.array([0.2, 0.5, 1]))  # fmt: skip
        assert answers.scores.shape == (300, 2)
        assert answers.right[:, 2].all()
        assert (answers.right[:, 0] == answers.right[:, 1]).all()


def one_exit(seed, n, harm):
    """Images of which a share, whatever their score, is answered wrongly by the exit and rightly behind it."""
    rng = np.random.default_rng(seed)
    right = np.column_stack([rng.random(n) >= harm, np.ones(n, dtype=bool)])
    return Answers(rng.random((n, 1)), right, np.array([0.5, 1.0]))


def test_harm_is_counted_where_only_the_late_answer_is_right():
    answers = Answers(np.zeros((4, 1)), np.array([[1, 1], [0, 1], [1, 0], [0, 0]], dtype=bool), np.array([0.5, 1]))
    assert harmed(answers, np.array([0.0])).tolist() == [False, True, False, False]
    assert not harmed(answers, np.array([np.inf])).any()


def test_a_limit_is_exceeded_no_more_often_than_the_confidence_says():
    """With the true harm just above the limit, the test may pass in at most 5 % of all draws."""
    everybody = OperatingPoint(np.array([0.0]), 0, 0)
    nobody = OperatingPoint(np.array([np.inf]), 0, 0)
    passed = [guaranteed([nobody, everybody], one_exit(seed, 200, 0.0501), 0.05) is everybody for seed in range(2000)]
    # 2,000 draws of a chance of at most 0.05: four deviations above it.
    assert np.mean(passed) <= 1 - CONFIDENCE + 4 * math.sqrt(0.05 * 0.95 / 2000)
    assert np.mean(passed) > 0.01  # and it is not for want of trying
    assert np.mean([guaranteed([everybody], one_exit(seed, 200, 0.01), 0.05) is not None for seed in range(100)]) > 0.8


def test_too_few_images_guarantee_nothing():
    few = one_exit(0, 58, 0.0)  # none of 58 harmed: a harm of 5 % would do that in 5.1 % of all draws
    assert binom.cdf(0, 58, 0.05) > 0.05 > binom.cdf(0, 59, 0.05)
    everybody = OperatingPoint(np.array([0.0]), 0, 0)
    assert guaranteed([everybody], few, 0.05) is None
    assert guaranteed([everybody], one_exit(0, 59, 0.0), 0.05) is everybody


def test_what_guaranteed_thresholds_bring():
    rows = guarantees(one_exit(0, 1000, 0.0), one_exit(1, 500, 0.0))
    assert [row["harm"] for row in rows] == [1.0, 2.0, 5.0]
    assert rows[-1] == {"harm": 5.0, "harmed": 0.0, "accuracy": 100.0, "multiply_adds": 50.0}
    # Half of the answers are wrong: nobody may leave, or so few that the limit is kept.
    for row in guarantees(one_exit(0, 1000, 0.5), one_exit(1, 500, 0.5)):
        assert row["harmed"] is None or row["harmed"] <= row["harm"]


def test_auroc_of_a_score_for_its_answer_being_right():
    right = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 0], [0, 1, 0]], dtype=bool)
    scores = np.array([[4.0, 1], [1, 2], [3, 3], [np.nan, 4]])
    assert tells_right_from_wrong(Answers(scores, right, np.ones(3))) == [100.0, None]
