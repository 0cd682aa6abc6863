"""Whether verdicts come out again: what counts as changed, and that a page needs no repetition."""

import pytest
from made_up import write

from coded_resnext.reproduction.figures.again import (
    REPETITIONS,
    again_page,
    again_table,
    claims_again,
    verdicts_changed,
)

pytestmark = pytest.mark.usefixtures("no_records")


def write_five(preset, gains):
    for seed, gain in enumerate(gains, start=0 if preset == "digits" else 5):
        write("accuracy", f"coded-s{seed}", {"accuracy": 90.0 + gain}, {"seed": seed}, preset)
        write("accuracy", f"plain-s{seed}", {"accuracy": 90.0}, {"coded": False, "seed": seed}, preset)


def test_the_first_alone():
    write_five("digits", [3.0, 3.1, 3.2, 2.9, 3.0])
    assert verdicts_changed(claims_again()) == (0, 0, 0)
    assert list(again_table(claims_again())) == ["claim", "digits"]


def test_a_verdict_that_changes_is_counted():
    write_five("digits", [3.0, 3.1, 3.2, 2.9, 3.0])
    write_five(REPETITIONS[0], [9.0, -9.0, 9.0, -9.0, 0.0])
    assert verdicts_changed(claims_again()) == (2, 2, 0)  # nothing is lost, and better
    table = again_table(claims_again()).set_index("claim")
    assert list(table) == ["digits", "digits, seeds 5 to 9", "together"]
    assert table.loc["coded is better than plain", "digits"].endswith("✓")
    assert table.loc["coded is better than plain", "digits, seeds 5 to 9"].endswith("?")
    assert "**Of 2 verdicts 2 changed, 0 of them into the opposite.**" in again_page()


def test_the_opposite_is_told_from_undecided():
    write_five("digits", [3.0, 3.1, 3.2, 2.9, 3.0])
    write_five(REPETITIONS[0], [-9.0, -9.1, -9.2, -8.9, -9.0])
    assert verdicts_changed(claims_again()) == (2, 2, 2)
