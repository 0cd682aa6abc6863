"""Devices: the timer."""

from coded_resnext.network.devices import alternate


def test_contestants_take_turns_and_the_first_round_does_not_count():
    calls = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_who_takes_long_takes_part_rarely():
    calls = []
    seconds = alternate({"a": lambda: None, "slow": lambda: calls.append(1)}, rounds=7, rarely={"slow": 3})
    assert len(seconds["slow"]) == 3  # of rounds 0, 3 and 6
    assert len(calls) == 4
