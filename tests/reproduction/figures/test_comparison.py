"""The paper's numbers beside ours, one by one."""

import pandas as pd
import pytest
from made_up import decoding, point, removal, write, write_binary, write_everything

from coded_resnext import paths
from coded_resnext.reproduction.figures import comparison as module
from coded_resnext.reproduction.figures.comparison import comparison
from coded_resnext.reproduction.figures.tables import early_table

pytestmark = pytest.mark.usefixtures("no_records")


def rows(preset="digits"):
    """Of the data sets whose numbers stand beside the preset's."""
    table = comparison(preset)
    beside = table["data_set"].eq("CIFAR-10") | table["item"].eq("figure-5")
    return table[beside].set_index(["item", "condition", "metric"])


def test_without_records_only_arithmetic_has_numbers():
    table = comparison("digits")
    there = table[table["verdict"] != "not run"]
    assert set(there["part"]) == {"arithmetic"}
    assert {"table-3", "published-schemes"} <= set(there["item"])


def test_every_number_of_the_paper_is_listed():
    """CIFAR-100's and ImageNet's too, as not run; and arithmetic comes before what is measured."""
    write_everything()
    table = comparison("digits")
    listed = set(zip(table["item"], table["data_set"], strict=True))
    for file in paths.PAPER.glob("*.csv"):
        assert {(file.stem, data_set) for data_set in pd.read_csv(file)["data_set"]} <= listed
    assert table["part"].is_monotonic_increasing
    elsewhere = table[(table["data_set"] == "ImageNet") & (table["part"] == "measurement")]
    assert set(elsewhere["verdict"]) == {"not run"}
    clock = table[table["metric"] == "samples per second"]
    assert set(clock["part"]) == {"measurement"}


@pytest.mark.parametrize(
    ("preset", "verdict"),
    [("digits", "other data"), ("cifar10-small", "other network"), ("cifar10", "differs"), ("cifar100", "other data")],
)
def test_only_the_papers_network_on_its_data_is_judged(preset, verdict):
    write("accuracy", "coded-s0", {"accuracy": 50.0}, preset=preset)
    # A dictionary: pandas 2.2 answers with a series where any other row of an index is there twice.
    rows = comparison(preset).itertuples()
    verdicts = {(row.item, row.data_set, row.condition): row.verdict for row in rows}
    if preset == "cifar100":
        assert verdicts["table-2", "CIFAR-100", "network=coded"] == "differs"
        assert verdicts["table-2", "CIFAR-10", "network=coded"] == "not run"
        assert verdicts["exponent", "CIFAR-10", "exponent=4"] == verdict
    else:
        assert verdicts["table-2", "CIFAR-10", "network=coded"] == verdict


def test_every_number_finds_its_place():
    write_everything()
    for mu in (0.0, 6.0):
        write("early", f"mu{mu}", changes={"mu": mu, "seed": 5}, curves=decoding(10.0, 20.0 + mu, 95.0))
    write_binary("drop0", [point("a", 12.0, 70.0), point("b", 26.0, 92.0)], {"drop_branch": 0.0})
    write("accuracy", "e2", {"accuracy": 91.0}, {"exponent": 2.0})
    ours = rows()["ours"]
    assert ours["table-2", "network=coded", "accuracy"] == 95.0
    assert ours["figure-2a", "set=active; removed=1", "accuracy"] == 80.5
    assert ours["figure-4", "mu=6; decoder=softmax", "accuracy"] == 95.0
    assert ours["figure-5", "network=coded; mu=0; decoder=block 9", "accuracy"] == 20.0
    assert ours["figure-5", "network=coded; mu=0; decoder=block 6", "accuracy"] == 10.0
    assert ours["figure-6", "p_drop=0", "highest recall"] == 92.0
    assert ours["figure-2b", "negatives=in distribution", "lowest precision"] == 90.0
    assert ours["exponent", "exponent=2", "accuracy"] == 91.0


def test_a_foreign_data_set_gets_no_verdict():
    write_everything()
    assert rows().loc[("table-2", "network=coded", "accuracy"), "verdict"] == "other data"


@pytest.mark.parametrize(("ours", "verdict"), [(94.0, "agrees"), (93.3, "differs"), (90.0, "differs")])
def test_a_verdict_weighs_the_errors_of_both_sides(ours, verdict):
    """The paper's 94.41 % of 10,000 images has an error of 0.45 of its own."""
    row = pd.Series({
        "part": "measurement", "item": "table-2", "data_set": "CIFAR-10", "metric": "accuracy",
        "paper": 94.41, "read_from": "table",
        "ours": ours, "error": 0.5, "difference": ours - 94.41,
    })  # fmt: skip
    assert module._verdict(row, "CIFAR-10", True) == verdict
    assert module._verdict(row, "CIFAR-10", False) == "other network"
    assert module._verdict(row, "CIFAR-100", True) == "other data"


@pytest.mark.parametrize(
    ("read_from", "paper", "allowed"), [("table", 94.41, 0.005), ("text", 38.0, 0.5), ("plot", 59.0, 0.5)]
)
def test_numbers_may_differ_by_what_was_not_printed(read_from, paper, allowed):
    row = pd.Series({"metric": "lowest recall", "read_from": read_from, "paper": paper})
    assert module._allowed(row) == pytest.approx(allowed)


def test_removals_beyond_ours_are_not_run():
    write("specialisation", "coded-s0", curves=removal([95.0, 90.0]), block="layer2.0")
    table = rows()
    assert table.loc[("figure-2a", "set=active; removed=1", "accuracy"), "verdict"] == "other data"
    assert table.loc[("figure-2a", "set=active; removed=5", "accuracy"), "verdict"] == "not run"


def test_blocks_are_numbered_as_in_the_papers_network():
    """ImageNet's last block is its 16th; CIFAR's, and that of a small network beside it, the 9th."""
    table = early_table([write("early", "coded", curves=decoding(10.0, 20.0, 95.0))])
    for data, last in (("imagenet", 16), ("cifar10", 9), ("digits", 9)):
        rows = module._decoders(table.assign(mu=6.0), data)
        numbered = {row.condition: row.ours for row in rows if row.item == "figure-4"}
        assert numbered[f"mu=6; decoder=block {last}"] == 20.0
        assert numbered[f"mu=6; decoder=block {last - 1}"] == 10.0
