"""Which images stand for an exit."""

import torch

from coded_resnext.early_exit.measure import SHOWN, examples
from coded_resnext.early_exit.stopping import Exits


def test_examples_are_of_their_exit_and_not_the_first():
    """Of a set that is sorted by class they show several classes."""
    n = 300
    exits = Exits(torch.zeros(n, dtype=torch.int64), torch.arange(n) % 2, torch.ones(n))
    labels = torch.arange(n) // 30
    whole = torch.zeros(n, dtype=torch.int64)
    whole[::50] = 1
    rows = examples(exits, whole, labels)
    alike = rows[: 2 * SHOWN]
    assert [row["exit"] for row in alike] == [0] * SHOWN + [1] * SHOWN
    assert all(row["exit"] == row["image"] % 2 for row in rows)
    assert len({row["label"] for row in alike}) > 3
    assert {row["image"] for row in rows if row["answer"] != row["whole"]} == set(range(0, n, 50))
    assert rows == examples(exits, whole, labels)
