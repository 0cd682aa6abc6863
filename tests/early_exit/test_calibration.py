"""Temperatures that make confidence honest, in a file that belongs to one network."""

import dataclasses
import json

import pytest
import torch

from coded_resnext import CodedResNeXt, load_scheme
from coded_resnext.early_exit.calibration import (
    FILE,
    Target,
    calibrate,
    fit_temperature,
    load_calibration,
    save_calibration,
    weights_hash,
)
from coded_resnext.errors import CheckpointError
from coded_resnext.evaluation.prediction import Predictions
from coded_resnext.training.checkpoint import Description, save_checkpoint

TARGET = Target("margin", "drop", 0.5, {"layer2.0": 0.25}, 98.0, 40.0)


def build(seed=0):
    torch.manual_seed(seed)
    return CodedResNeXt([1, 1], 10, 10, 2, width=4, schemes={"layer2": load_scheme(10, 10, 3)}).eval()


@pytest.fixture
def calibrated():
    model = build()
    with torch.inference_mode():
        logits, energies = model(torch.randn(30, 3, 8, 8), return_energies=True)
    calibration = calibrate(model, Predictions(logits, energies), torch.arange(30) % 10)
    return model, dataclasses.replace(calibration, targets=(TARGET,))


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_the_temperature_is_found_again(temperature):
    """Labels drawn from a softmax; 20,000 of them fix its temperature within 5 %."""
    generator = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(20_000, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_a_calibration_is_read_as_it_was_written(calibrated, tmp_path):
    model, calibration = calibrated
    path = save_calibration(tmp_path, calibration)
    assert path.name == FILE
    assert json.loads(path.read_text())["weights"] == weights_hash(model)
    assert load_calibration(tmp_path, model) == calibration
    assert [file.name for file in tmp_path.iterdir()] == [FILE]  # nothing temporary is left
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no calibration\.json: python -m coded_resnext calibrate"):
        load_calibration(str(tmp_path), model)


def test_its_hash_is_the_checkpoints(tmp_path):
    """Whatever the layout in memory: what a checkpoint names is what a calibration names."""
    model = build()
    assert save_checkpoint(tmp_path, model.state_dict(), {}, Description({}, {}, {}, {})) == weights_hash(model)
    assert weights_hash(model.to(memory_format=torch.channels_last)) == weights_hash(model)


def test_shipped_weights_come_before_a_folder_of_their_name(monkeypatch, tmp_path):
    """As for the network itself: both are found by one name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10-small").mkdir()
    model = CodedResNeXt.from_pretrained("cifar10-small")
    assert load_calibration("cifar10-small", model).weights == weights_hash(model)


def test_another_networks_file_is_refused(calibrated, tmp_path):
    _, calibration = calibrated
    save_calibration(tmp_path, calibration)
    with pytest.raises(ValueError, match="calibrate it again"):
        load_calibration(tmp_path, build(seed=1))


@pytest.mark.parametrize("damage", ["{", "[]", "\xff", '{"schema": 1}', '{"schema": 99}'])
def test_a_damaged_file_is_refused(damage, calibrated, tmp_path):
    (tmp_path / FILE).write_text(damage)
    with pytest.raises(CheckpointError, match=r"calibration\.json (is damaged|has schema)"):
        load_calibration(tmp_path, calibrated[0])


def test_a_target_is_asked_for_by_name(calibrated):
    _, calibration = calibrated
    assert calibration.thresholds("margin", "drop", 0.5) == {"layer2.0": 0.25}
    with pytest.raises(ValueError, match=r"unknown target 'margin drop 0\.7'.*did you mean 'margin drop 0\.5'"):
        calibration.thresholds("margin", "drop", 0.7)
