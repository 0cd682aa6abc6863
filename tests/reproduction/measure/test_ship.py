"""Shipped weights: what a card promises, and that the networks in git are the ones measured."""

import json

import pytest
import torch

from coded_resnext import CodedResNeXt, TrainingParameters, load_images, paths, predict
from coded_resnext.__main__ import main
from coded_resnext.early_exit.calibration import load_calibration
from coded_resnext.errors import CheckpointError
from coded_resnext.network.weights import read_card
from coded_resnext.reproduction.measure import stages
from coded_resnext.reproduction.measure.ship import calibrate_named, file_weights
from coded_resnext.reproduction.measure.stages import evaluate
from coded_resnext.reproduction.measure.timing import time_exits
from coded_resnext.reproduction.measure.train import train
from coded_resnext.reproduction.records.presets import EvaluationParameters
from coded_resnext.training import run as trained_module

CPU = torch.device("cpu")
SHIPPED = sorted(path.stem for path in paths.WEIGHTS.glob("*.json"))


@pytest.fixture(scope="module")
def trained():
    small = {"layers": (1, 1, 1), "width": 4, "branch_width": 1, "epochs": 2, "warmup_epochs": 1}
    return train(TrainingParameters(name="pretrained-s0", **small))


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr(paths, "OWN_WEIGHTS", tmp_path / "weights")


@pytest.mark.usefixtures("elsewhere")
def test_weights_come_back_as_they_were_measured(trained, capsys):
    assert main(["weights", "digits", "pretrained-s0"]) == 0
    assert "digits-pretrained-s0: float" in capsys.readouterr().out
    card = read_card("digits-pretrained")
    assert card["checkpoint"] == trained["checkpoint"]
    assert card["record"] == "data/results/digits/training-pretrained-s0.json"
    model = CodedResNeXt.from_pretrained("digits-pretrained-s0")
    images = load_images("digits", "test").normalised_as(card["data"]["mean"], card["data"]["std"])
    assert predict(model, images, 500, CPU).accuracy(images.labels) == card["accuracy"]["stored"]
    assert abs(card["accuracy"]["stored"] - trained["metrics"]["test_accuracy"]) <= 0.05
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.fixture
def only_shipped(elsewhere, trained, monkeypatch, tmp_path):
    """Weights whose checkpoint is gone, and a place for records."""
    file_weights("digits", "pretrained-s0")
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")


@pytest.mark.usefixtures("only_shipped")
def test_shipped_weights_exit_early_by_the_clock(trained, capsys):
    with pytest.raises(FileNotFoundError, match="coded_resnext calibrate digits-pretrained-s0"):
        time_exits("digits", "pretrained-s0", rounds=1, images=4)
    assert main(["calibrate", "digits-pretrained"]) == 0
    assert "from 200 held-out images" in capsys.readouterr().out
    model = CodedResNeXt.from_pretrained("digits-pretrained")
    calibration = load_calibration(paths.WEIGHTS / "digits-pretrained-s0", model)
    assert calibration.thresholds("margin", "drop", 0.5)
    record = time_exits("digits", "pretrained-s0", rounds=1, images=4)
    assert record["curves"][0]["network"] == "whole network"
    assert record["checkpoint"] == trained["checkpoint"]
    assert record["parameters"]["shipped_weights"]


@pytest.fixture
def listed(only_shipped, monkeypatch, tmp_path):
    """The same run, as one that the preset lists."""
    monkeypatch.setattr(stages, "run_names", lambda preset: ["pretrained-s0"])
    monkeypatch.setattr(paths, "RUNS", tmp_path)


@pytest.mark.usefixtures("listed")
def test_shipped_weights_are_evaluated_where_there_is_no_record(trained, capsys):
    parameters = EvaluationParameters("digits")
    (record,) = evaluate("accuracy", parameters)
    assert record["parameters"]["shipped_weights"]
    assert record["checkpoint"] == trained["checkpoint"]
    assert abs(record["metrics"]["accuracy"] - trained["metrics"]["test_accuracy"]) <= 0.05
    (again,) = evaluate("accuracy", parameters)
    assert again == record
    assert "the committed record" in capsys.readouterr().out
    assert "clean_train_accuracy" not in record["metrics"]  # the training's record has it


@pytest.mark.usefixtures("listed")
def test_how_well_training_images_are_fitted_is_measured_where_training_did_not(trained, monkeypatch):
    older = {**trained, "metrics": {"test_accuracy": trained["metrics"]["test_accuracy"]}}
    monkeypatch.setattr(stages, "read_record", lambda preset, stage, name: older if stage == "training" else None)
    (record,) = evaluate("accuracy", EvaluationParameters("digits"))
    measured, known = (found["metrics"]["clean_train_accuracy"] for found in (record, trained))
    assert abs(measured - known) <= 100 / 300 + 1e-9  # one image: weights are shipped in float16


@pytest.mark.usefixtures("listed")
def test_shipped_weights_without_their_images_are_left_out(monkeypatch, capsys):
    def no_images(*_, **__):
        raise FileNotFoundError("no data set digits: unpack it first")

    monkeypatch.setattr(trained_module, "load_images", no_images)
    with pytest.raises(FileNotFoundError, match="no trained run and no record"):
        evaluate("accuracy", EvaluationParameters("digits"))
    assert "were not evaluated: no data set digits: unpack it first" in capsys.readouterr().out


@pytest.mark.usefixtures("elsewhere")
def test_a_plain_network_has_nothing_to_calibrate():
    small = {"layers": (1, 1, 1), "width": 4, "branch_width": 1, "epochs": 1, "warmup_epochs": 0}
    train(TrainingParameters(name="pretrained-plain-s0", coded=False, **small))
    file_weights("digits", "pretrained-plain-s0")
    with pytest.raises(ValueError, match="plain network: it decodes nothing"):
        calibrate_named("digits-pretrained-plain")


@pytest.mark.usefixtures("elsewhere", "trained")
def test_a_file_that_is_not_the_cards_is_refused():
    file_weights("digits", "pretrained-s0")
    path = paths.WEIGHTS / "digits-pretrained-s0.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="not the file that its card names"):
        CodedResNeXt.from_pretrained("digits-pretrained")


@pytest.mark.usefixtures("elsewhere")
def test_unknown_weights_and_unfinished_runs_are_refused(trained):
    with pytest.raises(ValueError, match="they come with the repository"):
        read_card("digits")
    with pytest.raises(ValueError, match="train it first"):
        file_weights("digits", "never-trained")
    file_weights("digits", "pretrained-s0")
    with pytest.raises(ValueError, match="did you mean 'digits-pretrained-s0'"):
        CodedResNeXt.from_pretrained("digits-pretraned-s0")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_have_their_record(name, committed_results):
    card = read_card(name)
    record = json.loads((committed_results.parents[1] / card["record"]).read_text())
    assert record["checkpoint"] == card["checkpoint"]
    assert record["metrics"]["test_accuracy"] == card["accuracy"]["recorded"]
    assert (paths.WEIGHTS / f"{name}.safetensors").stat().st_size < 12e6
    assert CodedResNeXt.from_pretrained(name).options["num_classes"] == len(card["data"]["classes"])


@pytest.mark.parametrize("name", [name for name in SHIPPED if (paths.WEIGHTS / name).is_dir()])
def test_shipped_calibrations_are_of_their_weights(name):
    calibration = load_calibration(paths.WEIGHTS / name, CodedResNeXt.from_pretrained(name))
    assert calibration.images == read_card(name)["recipe"]["holdout"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_as_accurate_as_their_card_says(name):
    """On 500 test images: within four standard errors of what all of them gave."""
    card = read_card(name)
    own = card["data"]["name"] == "digits"  # a package's
    if not own and not (paths.RAW / card["data"]["name"] / "test").is_dir():  # a test downloads nothing
        pytest.skip(f"the test images of {card['data']['name']} are not in the data folder (CODED_RESNEXT_DATA)")
    images = load_images(card["data"]["name"], "test").normalised_as(card["data"]["mean"], card["data"]["std"])
    sample = images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:500])
    accuracy = predict(CodedResNeXt.from_pretrained(name), sample, 500, CPU).accuracy(sample.labels)
    share = card["accuracy"]["stored"] / 100
    assert abs(accuracy / 100 - share) <= 4 * (share * (1 - share) / 500) ** 0.5
