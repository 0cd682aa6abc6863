"""The stage "exits" from a checkpoint to its tables, figures and times, on a small network that was never trained."""

import dataclasses

import numpy as np
import pytest
import torch

from coded_resnext import CodedResNeXt, EarlyExit, load_images, load_scheme, paths
from coded_resnext.early_exit.calibration import FILE, load_calibration
from coded_resnext.early_exit.stopping import STOPS_ABOVE, StoppingRule
from coded_resnext.early_exit.targets import DROPS
from coded_resnext.errors import NothingToShow
from coded_resnext.network.cost import multiply_adds
from coded_resnext.network.model import describe_schemes
from coded_resnext.reproduction.figures import gallery, registry
from coded_resnext.reproduction.figures.exits import (
    chosen_target,
    share_table,
    static_table,
    sureness_table,
    target_table,
    timing_table,
)
from coded_resnext.reproduction.figures.text import as_text
from coded_resnext.reproduction.measure import stages
from coded_resnext.reproduction.measure import timing as exit_timing
from coded_resnext.reproduction.measure.exits import candidate_counts, example_pictures, measure_exits
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training import checkpoint
from coded_resnext.training.checkpoint import Description, load_checkpoint, save_checkpoint
from coded_resnext.training.parameters import to_plain
from coded_resnext.training.run import Run

CPU = torch.device("cpu")


class Session:
    """Of one checkpoint: its folder, what was measured, and that as a record of the digits preset."""

    def __init__(self, folder, coded, randomise):
        torch.manual_seed(0)
        schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)} if coded else {}
        model = randomise(CodedResNeXt([1, 2, 1], 10, 10, 2, width=8, in_channels=1, schemes=schemes))
        name = "coded-s0" if coded else "plain-s0"
        parameters = to_plain(load_preset("digits").runs[name])
        digits = load_images("digits", "train")
        description = Description(
            parameters, model.options, describe_schemes(model),
            {
                "name": "digits", "classes": digits.classes, "mean": digits.mean, "std": digits.std,
                "image_size": digits.image_size,
            },
            epoch=parameters["epochs"],
        )  # fmt: skip
        save_checkpoint(folder, model.state_dict(), {}, description)
        self.folder = folder
        self.run = Run(load_checkpoint(folder))
        self.run.test = self.run.test.subset(range(80))
        metrics, more = measure_exits(self.run)
        self.record = {"stage": "exits", "name": name, "parameters": parameters, "metrics": metrics, **more, "seed": 0,
                       "checkpoint": self.run.checkpoint.weights_hash}  # fmt: skip


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    def randomise(model):  # a fresh block adds nothing to its shortcut
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        return model

    return {kind: Session(tmp_path_factory.mktemp(kind), kind == "coded", randomise) for kind in ("coded", "plain")}


@pytest.fixture
def coded(sessions):
    return sessions["coded"]


@pytest.fixture
def records(sessions):
    return [session.record for session in sessions.values()]


def test_the_calibration_lies_beside_the_checkpoint(coded):
    calibration = load_calibration(coded.folder, coded.run.model)
    assert calibration.weights == coded.run.checkpoint.weights_hash
    assert calibration.images == len(coded.run.held) == 200
    assert load_checkpoint(coded.folder).weights_hash == calibration.weights  # and is no part of it


def test_nothing_is_chosen_on_the_test_set(coded, monkeypatch):
    """Other test images, and every threshold, temperature and likelihood stays as it was."""
    before = (coded.folder / FILE).read_bytes()
    other = Run(load_checkpoint(coded.folder))
    other.test = other.test.subset(range(100, 140))
    measure_exits(other)
    assert (coded.folder / FILE).read_bytes() == before


def test_a_run_without_held_out_images_cannot_be_calibrated(coded):
    run = Run(coded.run.checkpoint)
    run.training = run.training | {"holdout": 0}
    with pytest.raises(ValueError, match=r"run coded-s0 held no training images out.*holdout above 0"):
        measure_exits(run)


def test_a_plain_network_is_a_point(sessions):
    record = sessions["plain"].record
    assert set(record["metrics"]) == {"accuracy", "images", "multiply_adds"}
    assert "targets" not in record


def test_exits_cost_what_the_layers_cost(coded):
    """Until the energies, plus every decision so far; without an exit the whole network and nothing else."""
    model = coded.run.model
    cost = multiply_adds(model, 8)
    rule = StoppingRule(model.schemes, "margin", {"layer2.0": 1.0, "layer3.0": 1.0})
    found = rule.costs(model, 8) * cost.total
    decision = 10 + 100 + 10  # ‖v‖², v·w_k, their sums
    spent = [cost.until(name, whole=False) for name in model.schemes] + [cost.total]
    assert found == pytest.approx(np.array(spent) + decision * np.array([1, 1, 2, 2]))
    assert StoppingRule(model.schemes, "margin", {}).costs(model, 8)[-1] == 1


def test_targets_are_measured_as_they_are_routed(coded):
    """What the record says of a target, against the network really routed over the same images."""
    calibration = load_calibration(coded.folder, coded.run.model)
    images = coded.run.test
    pixels = torch.cat([x for x, _ in _batches(images)])
    for row in coded.record["targets"]:
        thresholds = calibration.thresholds(row["policy"], row["kind"], row["value"])
        answer = EarlyExit(coded.run.model, row["policy"], thresholds, calibration).predict(pixels)
        assert row["accuracy"] == pytest.approx(100 * (answer.labels == images.labels).double().mean().item())
        counts = torch.bincount(answer.exits, minlength=len(row["exits"]))
        assert row["exits"] == pytest.approx((100 * counts / len(images)).tolist())
        whole = coded.record["metrics"]["accuracy"]
        assert row["drop"] == pytest.approx(whole - row["accuracy"], abs=1e-9)
    assert all(row["other_exit"] == row["other_label"] == 0 for row in coded.record["routed"])


def test_every_policy_has_a_target_of_each_drop(coded, records):
    found = {(row["policy"], row["value"]) for row in coded.record["targets"] if row["kind"] == "drop"}
    assert found == {(policy, drop) for policy in STOPS_ABOVE for drop in DROPS}
    table = target_table(records, "drop")
    assert len(table) == len(found)
    chosen = chosen_target(records, 0.5)
    expected = {r["policy"]: r["expected_multiply_adds"] for r in coded.record["targets"] if r["value"] == 0.5}
    assert expected[chosen["policy"]] == min(expected.values())


def test_shares_sum_to_everybody(records):
    shares = share_table(records, 0.5)
    assert shares.groupby("policy")["share"].sum().to_numpy() == pytest.approx(100)


def test_runs_of_one_kind_are_averaged(coded):
    second = dict(coded.record, name="coded-s1", parameters=coded.record["parameters"] | {"seed": 1})
    second["metrics"] = second["metrics"] | {"accuracy": second["metrics"]["accuracy"] + 2}
    (row,) = static_table([coded.record, second]).to_dict("records")
    assert (row["kind"], row["runs"]) == ("coded", 2)
    assert row["accuracy"] == pytest.approx(coded.record["metrics"]["accuracy"] + 1)
    assert row["std"] == pytest.approx(2**0.5)


def test_agreement_is_whole(coded):
    for row in coded.record["agreement"]:
        assert sum(row[key] for key in ("both", "early", "late", "neither")) == pytest.approx(100)
        assert row["both"] + row["late"] == pytest.approx(coded.record["metrics"]["accuracy"])


def test_budgets_below_the_first_exit_have_no_answer(coded):
    first = coded.record["exit_costs"][0]
    for row in coded.record["anytime"]:
        assert (row["block"] is None) == (row["budget"] < first)
        assert (row["alone"] is None) == (row["block"] is None)


def test_example_pictures_come_from_the_data_set(coded):
    rows, names = example_pictures(coded.record)
    assert len(rows) == len(names) > 1
    assert all(picture.size == (8, 8) for row in rows for picture, _ in row)
    elsewhere = dict(coded.record, parameters=coded.record["parameters"] | {"data": "nowhere"})
    assert example_pictures(elsewhere) == ([], [])


def test_candidates_are_counted_up_to_all():
    assert candidate_counts(10) == [1, 2, 3, 5, 10]
    assert candidate_counts(100) == [1, 2, 3, 5, 10, 20, 30, 50, 100]


@pytest.fixture
def timed(coded, sessions, monkeypatch):
    """A timing record of one round, as it would have been written."""
    written = {}

    def write_record(preset, stage, name, **content):
        content.pop("beginning")
        written.update(content, stage=stage, name=name)
        return written

    monkeypatch.setattr(exit_timing, "write_record", write_record)
    monkeypatch.setattr(checkpoint, "run_folder", lambda preset, name: sessions[name.split("-")[0]].folder)
    monkeypatch.setattr(exit_timing, "run_names", lambda preset: ["coded-s0", "plain-s0"])
    monkeypatch.setattr(exit_timing, "BATCHES", (1, 4))
    return exit_timing.time_exits("digits", "coded-s0", rounds=1, images=4)


def test_every_contestant_is_timed_and_printed(timed):
    text = as_text(timing_table(timed))
    contestants = 3 + len(STOPS_ABOVE) * len(DROPS)
    assert len(timed["curves"]) == 2 * contestants
    assert len(text.splitlines()) == 2 + 2 * contestants
    whole = next(line for line in text.splitlines() if "whole network" in line)
    assert whole.split()[-1] == "1.00"
    assert "plain network" in text


def test_what_was_not_calibrated_is_not_timed(sessions, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "run_folder", lambda preset, name: tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished checkpoint of a run 'mine'"):
        exit_timing.time_exits("digits", "mine", rounds=1, images=4)
    monkeypatch.setattr(checkpoint, "run_folder", lambda preset, name: sessions["plain"].folder)
    with pytest.raises(FileNotFoundError, match="is not calibrated: run 10_early_exit first"):
        exit_timing.time_exits("digits", "plain-s0", rounds=1, images=4)


def test_every_figure_and_table_of_the_notebooks(records, timed, monkeypatch, tmp_path):
    stages = {"exits": records, "timing": [timed]}
    monkeypatch.setattr(registry, "read_stage", lambda preset, stage: stages[stage])
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    for stem in (stem for stem, item in registry.TABLES.items() if item.notebook.startswith("10")):
        table = gallery.tabulate(stem, "digits")
        assert len(table)
        assert not table.isna().all().any()  # no spread of a single run
    for item in (item for item in registry.FIGURES.values() if item.notebook.startswith("10")):
        figure = item.make("digits")
        assert figure.get_figwidth() <= 5.5
        assert figure.get_supxlabel() or figure.axes[0].get_xlabel()
    assert gallery.draw("exit-tradeoff", "digits").png == tmp_path / "digits" / "exit-tradeoff.png"


def test_what_is_not_there_is_said(records, monkeypatch):
    stages = {"exits": [dict(records[0], rejection=[]), records[1]], "timing": []}
    monkeypatch.setattr(registry, "read_stage", lambda preset, stage: stages[stage])
    with pytest.raises(NothingToShow, match="was not timed: python -m coded_resnext bench-exits digits"):
        gallery.tabulate("exit-times", "digits")
    rounded = records[0]["parameters"] | {"shipped_weights": True}
    stages["timing"] = [dict(records[0], parameters=rounded)]
    assert "was timed with other weights than its exits were measured with" in gallery.show("exit-times", "digits")
    assert "not measured against foreign images" in gallery.show("rejection", "digits")
    stages["exits"] = records[1:]
    assert "no record of stage exits of a coded run" in gallery.show_table("exit-targets", "digits")


def _batches(images):
    from coded_resnext.data.batches import eval_batches

    return eval_batches(images, 60, CPU)


def test_an_unfinished_checkpoint_is_not_timed(coded, tmp_path, monkeypatch):
    unfinished = dataclasses.replace(coded.run.checkpoint.description, epoch=1)
    save_checkpoint(tmp_path, coded.run.model.state_dict(), {}, unfinished)
    monkeypatch.setattr(checkpoint, "run_folder", lambda preset, name: tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished checkpoint of a run 'mine'"):
        exit_timing.time_exits("digits", "mine", rounds=1, images=4)


def test_records_of_plain_networks_do_not_grow_stale(records, monkeypatch):
    """They have no rejection, which looked as if foreign images had come since; and none are read to know."""
    monkeypatch.setattr(stages, "has_partner", lambda name: True)
    plain = next(record for record in records if record["name"] == "plain-s0")
    assert not stages._foreign_came(plain)
    assert stages._foreign_came({**records[0], "rejection": []})


def test_a_score_that_was_never_wrong_tells_nothing(records):
    """Few test images may all be answered rightly: the table stays, without a number."""
    silent = [{**row, "auroc": None} for row in records[0]["sureness"]]
    table = sureness_table([{**records[0], "sureness": silent}])
    assert table["policy"].tolist() == list(STOPS_ABOVE)
    assert table[records[0]["blocks"]].isna().all().all()
