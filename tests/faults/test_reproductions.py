"""A reproduction that is killed goes on when it is started again; `make faults` kills more."""

import pytest
from faults.reproductions import MOMENTS, main


@pytest.mark.slow
def test_reproductions_that_are_killed_lose_nothing_and_leave_nothing():
    """One kill at each kind of moment, then two reproductions at once in two folders."""
    counts = main(3, 1)
    assert sum(counts[moment] for moment in MOMENTS) >= 2  # a slow machine may be asked when all is done
    assert (counts["no orphan"], counts["nothing repeated"], counts["same records"]) == (3, 3, 3)
    assert counts["beside, same"] == 2
