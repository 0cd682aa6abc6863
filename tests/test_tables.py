"""Tables: which runs count together, what a claim's verdict rests on, and the paper's numbers."""

import dataclasses

import pandas as pd
import pytest

from coded_resnext import claims, paths, records, tables
from coded_resnext.parameters import load_preset, to_plain
from coded_resnext.records import begin, read_stage, write_record
from coded_resnext.summaries import accuracy_table, binary_table, early_table, removal_table, run_kinds, wilson

IMAGES = 1000
COLUMNS = ["item", "data_set", "condition", "metric", "value", "read_from"]
ITEMS = sorted(path.stem for path in paths.PAPER.glob("*.csv"))


@pytest.fixture(autouse=True)
def no_records(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "RESULTS", tmp_path / "own")
    monkeypatch.setattr(records, "COMMITTED_RESULTS", tmp_path / "committed")
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")


def write(stage, name, metrics=None, changes=None, **more):
    listed = load_preset("digits").runs
    parameters = dataclasses.replace(listed["plain-s0" if name.startswith("plain") else "coded-s0"], name=name)
    return write_record(
        "digits", stage, name, parameters={**to_plain(parameters), **(changes or {})}, seed=0, checkpoint=None,
        metrics={"images": IMAGES, **(metrics or {})}, beginning=begin("CPU"), seconds=1.0, **more,
    )  # fmt: skip


def removal(active):
    """Accuracies after removing 0, 1, … active branches, each twice; inactive ones change nothing."""
    rows = [("active", active), ("inactive", [active[0]] * len(active))]
    return [
        {"set": which, "removed": removed, "repeat": repeat, "accuracy": accuracy + repeat}
        for which, accuracies in rows
        for removed, accuracy in enumerate(accuracies)
        for repeat in range(2)
    ]


def point(name, precision=90.0, recall=80.0, precision_out=60.0):
    return {
        "name": name, "threshold": 1.0, "recall": recall, "precision": precision, "average_precision": 0.9,
        "precision_out": precision_out, "average_precision_out": None if precision_out is None else 0.5,
    }  # fmt: skip


def decoding(first, last, softmax):
    return [
        {"block": "layer2.0", "accuracy": first},
        {"block": "layer3.0", "accuracy": last},
        {"block": "softmax", "accuracy": softmax},
    ]


def write_everything(coded=95.0, plain=94.0, active=(95.0, 80.0), precision=90.0, first=70.0):
    write("accuracy", "coded-s0", {"accuracy": coded})
    write("accuracy", "plain-s0", {"accuracy": plain})
    write("specialisation", "coded-s0", curves=removal(list(active)), block="layer2.0")
    write("binary", "coded-s0", points=[point(str(k), precision + k) for k in range(3)])
    write("early", "coded-s0", curves=decoding(first, 93.0, coded))


def by_claim(preset="digits"):
    return claims.claims(preset).set_index("claim")


# Which runs count together


def test_seeds_are_averaged_and_ablations_are_not_mixed_in():
    write("accuracy", "coded-s0", {"accuracy": 90.0})
    write("accuracy", "coded-s1", {"accuracy": 92.0}, {"seed": 1})
    write("accuracy", "mu-0", {"accuracy": 10.0}, {"mu": 0.0})
    write("accuracy", "plain-s0", {"accuracy": 80.0})
    write("accuracy", "plain-mu-0", {"accuracy": 82.0}, {"mu": 0.0})  # a plain network has no coding loss to weigh
    table = accuracy_table(read_stage("digits", "accuracy")).set_index("kind")
    assert table["accuracy"].to_dict() == {"coded": 91.0, "coded, mu=0.0": 10.0, "plain": 81.0}
    assert table["runs"].to_dict() == {"coded": 2, "coded, mu=0.0": 1, "plain": 2}
    assert table.loc["coded", "std"] == pytest.approx(2**0.5)
    assert pd.isna(table.loc["coded, mu=0.0", "std"])  # one run has no spread


def test_varying_one_parameter_keeps_runs_that_differ_in_nothing_else():
    write("accuracy", "coded-s0", {"accuracy": 90.0})
    write("accuracy", "plain-s0", {"accuracy": 80.0})
    write("accuracy", "exponent-1", {"accuracy": 70.0}, {"exponent": 1.0})
    write("accuracy", "both", {"accuracy": 60.0}, {"exponent": 1.0, "mu": 0.0})
    table = accuracy_table(read_stage("digits", "accuracy"), vary="exponent")
    assert table.set_index("exponent")["accuracy"].to_dict() == {4.0: 90.0, 1.0: 70.0}


def test_an_older_record_without_a_newer_parameter_is_of_its_default():
    record = write("accuracy", "coded-s0", {"accuracy": 90.0})
    del record["parameters"]["exponent"]
    assert run_kinds([record]) == ["coded"]


def test_binary_classifiers_are_averaged_by_class_and_may_have_no_foreign_images():
    write("binary", "coded-s0", points=[point("b", 80.0, precision_out=None), point("a", 60.0, precision_out=None)])
    write("binary", "coded-s1", changes={"seed": 1}, points=[point(n, 90.0, precision_out=None) for n in "ba"])
    table = binary_table(read_stage("digits", "binary"))
    assert table["class"].tolist() == ["b", "a"]  # the classes' own order
    assert table["precision"].tolist() == [85.0, 75.0]
    assert table["precision_out"].isna().all()


def test_removals_are_averaged_over_repeats():
    write("specialisation", "coded-s0", curves=removal([95.0, 80.0]), block="layer2.0")
    table = removal_table(read_stage("digits", "specialisation")).set_index(["set", "removed"])
    assert table.loc[("active", 1), "accuracy"] == 80.5
    assert table.loc[("active", 1), "std"] == pytest.approx(0.5**0.5)


def test_decoders_are_counted_from_the_end():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    table = early_table(read_stage("digits", "early"))
    assert dict(zip(table["decoder"], table["from_end"], strict=True)) == {"layer2.0": 2, "layer3.0": 1, "softmax": 0}


@pytest.mark.parametrize("table", [accuracy_table, early_table, removal_table, binary_table])
def test_no_records_make_an_empty_table(table):
    assert table([]).empty
    assert "kind" in table([], vary="mu")


def test_a_record_without_what_a_table_needs_is_refused_by_name():
    with pytest.raises(ValueError, match=r"accuracy-coded-s0 has no metric 'accuracy'"):
        accuracy_table([write("accuracy", "coded-s0")])
    with pytest.raises(ValueError, match=r"early-coded-s0 has no 'curves'"):
        early_table([write("early", "coded-s0")])


@pytest.mark.parametrize("percent", [0.0, 37.5, 100.0])
def test_wilsons_interval_holds_the_share_and_is_never_empty(percent):
    low, high = wilson(percent, 40)
    assert 0 <= low <= percent <= high <= 100
    assert high - low > 5  # forty images cannot say more, not even when all are right


# Claims


def test_without_records_nothing_is_run():
    table = claims.claims("digits")
    assert set(table["verdict"]) == {claims.NOT_RUN}
    assert table[["ours", "images"]].isna().all(axis=None)
    assert "not run" in tables.as_text(table)


def test_claims_come_from_the_records():
    write_everything()
    claims = by_claim()
    assert claims.loc["accuracy, coded", ["paper", "ours"]].tolist() == ["94.41", 95.0]
    assert claims.loc["accuracy, plain", "paper"] == "93.66"
    assert claims.loc["coded minus plain: nothing is lost", "ours"] == 1.0
    assert claims.loc["accuracy without its active branches", "ours"] == 80.5
    assert claims.loc["early decoding by the last coded block", "ours"] == 93.0
    assert claims.loc["binary classifiers, mean precision: mostly right", "ours"] == 91.0
    assert (claims["images"] == IMAGES).all()
    assert set(claims["verdict"]) == {"", "agrees"}


@pytest.mark.parametrize(
    ("numbers", "claim", "verdict"),
    [
        ({"coded": 90.0, "plain": 95.0}, "coded minus plain: nothing is lost", "differs"),
        ({"coded": 94.0, "plain": 95.0}, "coded minus plain: nothing is lost", "agrees"),  # within the error
        ({"active": (80.0, 80.5)}, "removing active branches hurts more than inactive", "undecided"),
        ({"active": (80.0, 95.0)}, "removing active branches hurts more than inactive", "differs"),
        ({"precision": 15.0}, "binary classifiers, mean precision: mostly right", "differs"),
        ({"first": 97.0}, "decoding improves from the first block to the last", "differs"),
    ],
)
def test_a_verdict_follows_the_numbers(numbers, claim, verdict):
    write_everything(**numbers)
    assert by_claim().loc[claim, "verdict"] == verdict


def test_only_the_claims_of_a_missing_stage_are_not_run():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    table = by_claim()
    assert table.loc["decoding improves from the first block to the last", "verdict"] == "agrees"
    assert table.loc["accuracy, coded", "verdict"] == claims.NOT_RUN


def test_a_data_set_without_foreign_images_says_so():
    write("binary", "coded-s0", points=[point("a", precision_out=None), point("b", precision_out=None)])
    claim = by_claim().loc["binary classifiers, mean precision against foreign images"]
    assert claim["verdict"] == claims.NOT_MEASURED


def test_an_ablation_stands_for_no_claim():
    write("accuracy", "mu-0", {"accuracy": 10.0}, {"mu": 0.0})
    assert by_claim().loc["accuracy, coded", "verdict"] == claims.NOT_RUN


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        claims.claims("digit")


# The paper's numbers


@pytest.mark.parametrize("item", ITEMS)
def test_the_papers_numbers_are_tidy(item):
    frame = pd.read_csv(paths.PAPER / f"{item}.csv")
    assert list(frame) == COLUMNS
    assert set(frame["item"]) == {item}
    assert set(frame["data_set"]) <= {"CIFAR-10", "CIFAR-100", "ImageNet"}
    assert set(frame["read_from"]) <= {"text", "table", "plot", "computed"}
    assert pd.api.types.is_numeric_dtype(frame["value"])
    assert not frame.duplicated(["data_set", "condition", "metric"]).any()
    assert len(tables.paper(item)) == len(frame)


def test_every_table_and_plot_with_numbers_is_there():
    figures = {"figure-2a", "figure-2b", "figure-2c", "figure-4", "figure-5", "figure-6", "figure-8"}
    assert {"table-1", "table-2", "table-3", "table-4", *figures} <= set(ITEMS)


def test_table_2():
    table = tables.paper("table-2").set_index(["data_set", "network"])["value"]
    assert table["CIFAR-10"].to_dict() == {"coded": 94.41, "plain": 93.66}
    assert table["CIFAR-100"].to_dict() == {"coded": 78.28, "plain": 76.86}
    assert table["ImageNet"].to_dict() == {"coded": 78.12, "plain": 78.05}


def test_table_3_is_two_balanced_schemes():
    for ratio, rows in tables.paper("table-3").groupby("ratio"):
        words = rows.pivot(index="class", columns="branch", values="value")
        ones = int(ratio.split("/")[0])
        assert words.shape == (10, 10)
        assert (words.sum(axis=1) == ones).all()
        assert (words.sum(axis=0) == ones).all()


def test_conditions_become_columns_and_a_data_set_chooses():
    frame = tables.paper("figure-2a", "cifar100")
    assert set(frame["data_set"]) == {"CIFAR-100"}
    assert frame.query("set == 'active' and removed == 8")["value"].tolist() == [72.7]
    assert set(tables.paper("figure-2a", "digits")["data_set"]) == {"CIFAR-10"}
    assert set(tables.paper("figure-2b", "imagenet")["data_set"]) == {"CIFAR-10"}
    assert set(tables.paper("figure-5", "digits")["data_set"]) == {"CIFAR-100"}  # the only one of that figure
    with pytest.raises(ValueError, match=r"unknown item of the paper 'figure-2'; did you mean .*'figure-2a'"):
        tables.paper("figure-2")


# Tables as text


def test_text_is_aligned_and_missing_cells_are_empty():
    frame = pd.DataFrame({"kind": ["coded", "plain"], "accuracy": [9.5, 100.0], "std": [None, 0.25]})
    assert tables.as_text(frame) == (
        "kind   accuracy   std\n"
        "-----  --------  ----\n"
        "coded       9.5\n"
        "plain     100.0  0.25\n"
    )  # fmt: skip


def test_tables_are_saved_for_reading_and_in_full():
    frame = pd.DataFrame({"a|b": ["x|y"], "share": [100 / 3]})
    markdown, csv = tables.save_table(frame, "digits", "table-2-accuracy")
    assert markdown.parent == paths.FIGURES / "digits"
    assert markdown.read_text() == "| a\\|b | share |\n|---|--:|\n| x\\|y | 33.33 |\n"
    pd.testing.assert_frame_equal(pd.read_csv(csv), frame)
