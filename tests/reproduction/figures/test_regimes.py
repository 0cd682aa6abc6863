"""The claims of all presets side by side, from records in git."""

import re

import pytest

from coded_resnext import paths
from coded_resnext.reproduction.figures.claims import CLAIM, claims
from coded_resnext.reproduction.figures.regimes import CLAIMS, energy_and_removal_table, regime_table, what_held


@pytest.fixture(autouse=True)
def only_committed(monkeypatch, committed_results):
    monkeypatch.setattr(paths, "RESULTS", committed_results)


def test_cells_are_the_claims():
    table = regime_table().set_index("preset")
    assert {"digits", "CIFAR-10, small"} <= set(table.index)
    of_digits = claims("digits").set_index("claim")
    for short, claim in CLAIMS.items():
        cell = table.loc["digits", short]
        assert cell.startswith(f"{of_digits.loc[claim, 'ours']:.1f} ± {of_digits.loc[claim, 'error']:.1f}"), short
    assert 0 <= float(table.loc["digits", "training_error"]) < 5
    assert float(table.loc["CIFAR-10, small", "training_error"]) > 5  # measured with the accuracy, after the fact


@pytest.mark.parametrize("preset", ["digits", "cifar10-few"])
def test_what_held_names_every_claim_with_a_verdict_once(preset):
    table = claims(preset)
    decided = table["claim"][(table["row"] == CLAIM) & table["runs"].notna()]
    sentence = what_held(preset)
    assert [sentence.count(f"*{claim}*") for claim in decided] == [1] * len(decided)
    assert len(decided) == sum(int(count) for count in re.findall(r"(\d+) (?:agrees?|differs?|undecided):", sentence))


def test_energies_and_removals_are_of_the_same_blocks():
    table = energy_and_removal_table()
    digits = table[table["preset"] == "digits"]
    assert digits["block"].tolist() == ["layer2.0", "layer2.1", "layer3.0", "layer3.1"]
    assert (digits["inactive_share"] < digits["if_even"]).all()
    assert digits["if_even"].tolist() == [50, 50, 70, 70]


@pytest.mark.usefixtures("no_records")
def test_without_records_there_is_nothing():
    assert regime_table().empty
    assert energy_and_removal_table().empty
