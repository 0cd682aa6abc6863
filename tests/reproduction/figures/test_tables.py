"""Records as tables: which runs count together, and how rates are averaged."""

import pandas as pd
import pytest
from made_up import decoding, point, removal, write, write_binary

from coded_resnext import paths
from coded_resnext.reproduction.figures.tables import (
    ablation_table,
    accuracy_table,
    binary_table,
    controls_table,
    dropping_table,
    early_table,
    energy_table,
    path_table,
    probe_table,
    removal_by_block_table,
    removal_table,
)
from coded_resnext.reproduction.records.intervals import error95, wilson
from coded_resnext.reproduction.records.kinds import run_kinds
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.reproduction.records.records import read_stage
from coded_resnext.training.parameters import to_plain

pytestmark = pytest.mark.usefixtures("no_records")


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
    write_binary("coded-s0", [point("b", 80.0, precision_out=None), point("a", 60.0, precision_out=None)])
    write_binary("coded-s1", [point(n, 90.0, precision_out=None) for n in "ba"], {"seed": 1})
    table = binary_table(read_stage("digits", "binary"))
    assert table["class"].tolist() == ["b", "a"]  # the classes' own order
    assert table["precision"].tolist() == [85.0, 75.0]
    assert table["precision_out"].isna().all()


def test_removals_are_averaged_over_repeats_before_runs():
    """Random removals of one network are no runs: one run has no spread, several have theirs alone."""
    for seed, last in enumerate((80.0, 84.0)):
        write("specialisation", f"coded-s{seed}", changes={"seed": seed}, curves=removal([95.0, last]), block="layer2")
        table = removal_table(read_stage("digits", "specialisation")).set_index(["set", "removed"])
        if not seed:
            assert table.loc[("active", 1), "accuracy"] == 80.5
            assert pd.isna(table.loc[("active", 1), "std"])
    assert table.loc[("active", 1), "accuracy"] == 82.5
    assert table.loc[("active", 1), "std"] == pytest.approx(8**0.5)


def test_decoders_are_counted_from_the_end():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    table = early_table(read_stage("digits", "early"))
    assert dict(zip(table["decoder"], table["from_end"], strict=True)) == {"layer2.0": 2, "layer3.0": 1, "softmax": 0}


@pytest.mark.parametrize("table", [accuracy_table, early_table, binary_table])
def test_no_records_make_an_empty_table(table):
    assert table([]).empty
    assert "kind" in table([], vary="mu")
    assert removal_table([]).empty


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


def accuracy(runs, std, images=(89.0, 91.0)):
    return pd.Series({"runs": runs, "std": std, "low": images[0], "high": images[1]})


def test_errors_count_the_images_and_the_seeds():
    """Student's t of 95 %: 4.303 with two degrees of freedom, 2.776 with four."""
    assert error95(accuracy(1, float("nan"))) == 1.0
    assert error95(accuracy(3, 0.0)) == 1.0
    assert error95(accuracy(3, 0.6), accuracy(3, 0.6)) == pytest.approx((2 + (2.776 * 0.6) ** 2 * 2 / 3) ** 0.5, 1e-3)
    once = error95(accuracy(3, 0.6), accuracy(1, float("nan")))  # varies as what stands beside it does
    assert once == pytest.approx((2 + (4.303 * 0.6) ** 2 * 4 / 3) ** 0.5, 1e-3)


def test_controls_are_averaged_by_class():
    for seed, own in ((0, 0.8), (1, 0.9)):
        write_binary(f"coded-s{seed}", [point("a"), point("b")], {"seed": seed}, own=own)
    table = controls_table(read_stage("digits", "binary")).set_index(["cut", "class"])
    assert table.loc[("own codeword", "a"), "average_precision"] == pytest.approx(0.85)
    assert table.loc[("another codeword", "b"), "average_precision"] == pytest.approx(0.201)
    assert set(table["runs"]) == {2}


def test_paths_of_other_classes_by_distance():
    """Pairs at one distance are averaged, then runs; a class's own path is at 0."""
    for seed, own in ((0, 0.9), (1, 0.7)):
        paths = [[own, 0.4, 0.2], [0.6, own, 0.2], [0.2, 0.2, own]]
        distances = [[0, 4, 6], [4, 0, 6], [6, 6, 0]]
        write_binary(f"coded-s{seed}", [point(n) for n in "abc"], {"seed": seed}, paths=paths, distances=distances)
    write_binary("coded-s2", [point(n) for n in "abc"], {"seed": 2})  # an older record
    table = path_table(read_stage("digits", "binary")).set_index("distance")
    assert table["average_precision"].tolist() == pytest.approx([0.8, 0.5, 0.2])
    assert table["pairs"].tolist() == [3, 2, 4]
    assert table.loc[0, "std"] == pytest.approx(0.02**0.5)
    assert set(table["runs"]) == {2}


def test_energies_that_inactive_branches_carry():
    """Half of the branches are active: they would have half if all were alike."""
    for seed, share in ((0, 10.0), (1, 20.0)):
        energies = [{"block": "layer2.0", "energies": [[0.9, 0.1], [0.1, 0.9]], "inactive_share": share}]
        write("early", f"coded-s{seed}", changes={"seed": seed}, curves=decoding(1.0, 2.0, 3.0), energies=energies)
    (row,) = energy_table(read_stage("digits", "early")).to_dict("records")
    assert (row["block"], row["if_even"], row["inactive_share"]) == ("layer2.0", 50.0, 15.0)


def test_decoding_beside_linear_probes_of_the_plain_network():
    write("early", "coded-s0", curves=decoding(70.0, 93.0, 95.0))
    for seed, accuracy in enumerate((60.0, 64.0)):
        probes = [{"block": "layer2.0", "accuracy": accuracy}, {"block": "layer3.0", "accuracy": 90.0}]
        write("accuracy", f"plain-s{seed}", {"accuracy": 94.0}, {"coded": False, "seed": seed}, probes=probes)
    write("accuracy", "plain-s2", {"accuracy": 94.0}, {"coded": False, "seed": 2})  # an older record
    stages = [read_stage("digits", stage) for stage in ("accuracy", "early")]
    table = probe_table(*stages).set_index("block")
    assert table[["decoding", "probe"]].to_numpy().tolist() == [[70.0, 62.0], [93.0, 90.0]]
    assert table.loc["layer2.0", "probe_std"] == pytest.approx(8**0.5)
    assert probe_table([], []).empty


def test_what_every_block_gains_without_its_inactive_branches():
    for seed, gained in ((0, 1.0), (1, 3.0)):
        blocks = [{"block": "layer2.0", "active": 50.0, "inactive": 90.0 + gained}]
        more = {"curves": removal([90.0, 50.0]), "block": "layer2.0", "blocks": blocks}
        write("specialisation", f"coded-s{seed}", {"accuracy": 90.0}, {"seed": seed}, **more)
    (row,) = removal_by_block_table(read_stage("digits", "specialisation")).to_dict("records")
    assert (row["whole"], row["without_active"], row["gained"]) == (90.0, 50.0, 2.0)
    assert row["std"] == pytest.approx(2**0.5)


def test_ablations_stand_beside_the_run_they_vary():
    for name, changes, last in (("coded-s0", {}, 93.0), ("mu-0", {"mu": 0.0}, 11.0)):
        write("accuracy", name, {"accuracy": 95.0}, changes)
        write("early", name, changes=changes, curves=decoding(70.0, last, 95.0))
    write("accuracy", "plain-s0", {"accuracy": 94.0})
    write_binary("coded-s0", [point("a", 90.0), point("b", 80.0)])
    table = ablation_table(*(read_stage("digits", stage) for stage in ("accuracy", "early", "binary")))
    table = table.set_index("kind")
    assert table["last_block"].dropna().to_dict() == {"coded": 93.0, "coded, mu=0.0": 11.0}
    assert table.loc["coded", ["first_block", "precision"]].tolist() == [70.0, 85.0]
    assert table.loc["plain", ["last_block", "precision"]].isna().all()


def test_held_out_images_choose_the_dropping_among_paths_that_stand_alone():
    held = {"accuracy": 90.0, "average_precision": 0.95, "images": 200}
    write("accuracy", "coded-s0", {"accuracy": 1.0}, held=held)
    write("accuracy", "coded-s1", {"accuracy": 3.0}, {"seed": 1}, held={**held, "accuracy": 91.0})
    for name, changes, accuracy, precision in (
        ("drop-0", {"drop_branch": 0.0}, 95.0, 0.6), ("ramp", {"drop_ramp": 0.67}, 90.9, 0.9),
        ("mu-0", {"mu": 0.0}, 99.0, 0.99),
    ):  # fmt: skip
        write("accuracy", name, {"accuracy": 2.0}, changes,
              held={**held, "accuracy": accuracy, "average_precision": precision})  # fmt: skip
    write("accuracy", "plain-s0", {"accuracy": 94.0}, {"coded": False}, held={"accuracy": 91.5, "images": 200})
    write("accuracy", "plain-s1", {"accuracy": 95.0}, {"coded": False, "seed": 1})  # an older record
    write("accuracy", "narrow", {"accuracy": 9.0}, {"coded": False, "width": 8}, held={"accuracy": 9.0, "images": 200})
    write("accuracy", "coded-s2", {"accuracy": 50.0}, {"seed": 2})  # an older record
    table = dropping_table(read_stage("digits", "accuracy")).set_index("kind")
    assert table["held_accuracy"].to_dict() == {
        "coded": 90.5, "coded, drop_branch=0.0": 95.0, "coded, drop_ramp=0.67": 90.9, "plain": 91.5
    }
    assert table["less_plain"].dropna().round(6).to_dict() == {
        "coded": -1.0, "coded, drop_branch=0.0": 3.5, "coded, drop_ramp=0.67": -0.6
    }
    assert table.index[table["chosen"] == "yes"].tolist() == ["coded, drop_ramp=0.67"]
    assert table.loc["coded", ["runs", "accuracy", "images"]].tolist() == [2, 2.0, 200]
    without = dropping_table([record for record in read_stage("digits", "accuracy") if record["parameters"]["coded"]])
    assert "less_plain" not in without.columns


def test_the_small_presets_default_is_what_held_out_images_choose(monkeypatch, committed_results):
    """And not what a record of the test images would."""
    monkeypatch.setattr(paths, "COMMITTED_RESULTS", committed_results)
    table = dropping_table(read_stage("cifar10-small", "accuracy")).set_index("kind")
    preset = load_preset("cifar10-small")
    (kind,) = run_kinds([{"parameters": to_plain(preset.runs[preset.default])}])
    assert table.index[table["chosen"] == "yes"].tolist() == [kind]
    assert table.loc[["coded", kind, "plain"], "runs"].tolist() == [3, 3, 3]
