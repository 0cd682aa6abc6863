"""Evaluations side by side: their order, their cores, and what one that fails does to the others."""

import time

import pytest
import torch

from coded_resnext.reproduction.measure import stages


@pytest.fixture
def four_cores():
    """torch's threads, whatever OMP_NUM_THREADS says here."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_cores")
def test_side_by_side_in_order_and_with_a_share_of_the_cores():
    running, most = set(), []

    def do(name):
        running.add(name)
        most.append(len(running))
        time.sleep(0.05 if name == "a" else 0.01)
        running.discard(name)
        return {"name": name, "threads": torch.get_num_threads()}

    records = stages._side_by_side(do, list("abcdefgh"))
    assert [record["name"] for record in records] == list("abcdefgh")
    assert {record["threads"] for record in records} == {1}
    assert max(most) == 4
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_cores")
def test_one_that_fails_leaves_the_others_to_their_end():
    done = []

    def do(name):
        if name == "b":
            raise ZeroDivisionError
        time.sleep(0.02)
        done.append(name)
        return None

    with pytest.raises(ZeroDivisionError):
        stages._side_by_side(do, list("abcd"))
    assert sorted(done) == ["a", "c", "d"]
    assert torch.get_num_threads() == 4
