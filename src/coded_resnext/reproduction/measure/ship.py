"""What puts things into data/weights: a finished run's weights with their card, and early-exit thresholds of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ... import paths
from ...descriptions import to_json
from ...early_exit.calibration import FILE, Calibration
from ...errors import Refused
from ...evaluation.prediction import predict
from ...files import sha256, write_atomically
from ...network.devices import full_float32
from ...network.model import build_network
from ...network.weights import card_path, full_precision, load_weights, weights_path
from ...training.checkpoint import Checkpoint, ShippedCheckpoint, load_checkpoint, named_checkpoint, run_folder
from ...training.run import Run
from ..records.records import read_record, record_path
from .exits import calibrate_run

LICENCE = "MIT"
UNCHANGED = 0.05  # points of accuracy: five of ten thousand images, fewer than another batch size moves


def calibrate_named(name: str | Path) -> tuple[Calibration, Path]:
    """Early-exit thresholds of a run or of shipped weights, from the images held out of the training.

    Returns:
        The calibration and its file: in the run's folder, or for shipped weights in data/weights of CODED_RESNEXT_OUT.
    Raises:
        ValueError: an unknown name, a plain network, or one that held no images out.
    """
    return calibrate_checkpoint(named_checkpoint(name))


def calibrate_checkpoint(checkpoint: Checkpoint) -> tuple[Calibration, Path]:
    """As `calibrate_named`, of a checkpoint that was read."""
    folder = checkpoint.folder
    if isinstance(checkpoint, ShippedCheckpoint):
        folder = paths.OWN_WEIGHTS / folder.name
    return calibrate_run(Run(checkpoint), folder)[0], folder / FILE


def file_weights(preset: str, run: str) -> dict[str, Any]:
    """Put a finished run's weights and their card into data/weights; returns the card.

    They are stored in float16 if that leaves the test accuracy as the run's record has it, else in float32.

    Raises:
        ValueError: a run without a complete checkpoint and its record.
    """
    checkpoint = load_checkpoint(run_folder(preset, run))
    record = read_record(preset, "training", run)
    if checkpoint is None or record is None or record["checkpoint"] != checkpoint.weights_hash:
        raise Refused(f"run {preset}/{run} has no finished checkpoint with its record: train it first")
    name, description = f"{preset}-{run}", checkpoint.description
    finished = Run(checkpoint)
    images = finished.test
    recorded = record["metrics"]["test_accuracy"]
    for dtype in (torch.float16, torch.float32):
        weights = {key: _half(value, dtype) for key, value in checkpoint.weights().items()}
        model = build_network(description.network, description.schemes)
        load_weights(model, {key: full_precision(value) for key, value in weights.items()}, name)
        model.to(finished.device, memory_format=torch.channels_last)
        with full_float32():
            stored = predict(model, images, finished.batch_size, finished.device).accuracy(images.labels)
        if abs(stored - recorded) <= UNCHANGED:
            break
    path = paths.OWN_WEIGHTS / weights_path(name).name
    write_atomically(path, safetensors.torch.save(weights))
    card = {
        "name": name,
        "licence": LICENCE,
        "sha256": sha256(path),
        "dtype": str(dtype).removeprefix("torch."),
        "accuracy": {"recorded": recorded, "stored": stored, "images": len(images)},
        "record": str(record_path(preset, "training", run).relative_to(paths.OUT)),
        "checkpoint": checkpoint.weights_hash,
        "recipe": description.parameters,
        "network": description.network,
        "schemes": description.schemes,
        "data": description.data,
    }
    write_atomically(paths.OWN_WEIGHTS / card_path(name).name, to_json(card).encode())
    return card


def _half(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
