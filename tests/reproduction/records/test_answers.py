"""The bits of a record: what is packed comes back, and older records have none."""

import numpy as np
import pytest
from made_up import IMAGES, write

from coded_resnext.reproduction.records.answers import SOFTMAX, answers, pack, unpack

pytestmark = pytest.mark.usefixtures("no_records")


@pytest.mark.parametrize("count", [1, 7, 8, 1297, 10_000])
def test_bits_come_back(count):
    right = np.random.default_rng(count).random(count) < 0.9
    text = pack(right)
    assert np.array_equal(unpack(text, count), right)
    assert len(text) <= count / 6 + 4  # 1.7 kB for 10,000 images


def test_answers_know_which_images_they_are_of():
    right, tested = np.arange(IMAGES) % 10 > 0, np.arange(2 * IMAGES) % 2 == 1
    record = write(
        "accuracy", "coded-s3", {"accuracy": 90.0}, {"seed": 3}, right={SOFTMAX: pack(right)}, tested=pack(tested)
    )
    run = answers(record, SOFTMAX, 90.0)
    assert (run.seed, run.count) == (3, IMAGES)
    assert np.array_equal(run.right, right)
    assert np.array_equal(run.images, np.flatnonzero(tested))


def test_a_record_without_bits_has_its_accuracy():
    run = answers(write("accuracy", "coded-s0", {"accuracy": 90.0}), SOFTMAX, 90.0)
    assert (run.accuracy, run.right, run.images) == (90.0, None, None)
