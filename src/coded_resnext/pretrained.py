"""Weights that ship with the repository: data/weights/<preset>-<run>.safetensors, each with a card beside it.

A card (.json) says which network the file is, how it was trained, which record measured it, and what storing it in
half precision did to its accuracy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from . import paths
from .calibration import Calibration
from .checkpoint import Checkpoint, build_network, load_checkpoint, load_weights, read_weights, run_folder
from .errors import CheckpointError
from .exit_stage import calibrate_run
from .model import CodedResNeXt
from .parameters import EvaluationParameters, unknown
from .prediction import predict
from .records import read_record, record_path, sha256, write_atomically
from .stages import Run

LICENCE = "MIT"
UNCHANGED = 0.05  # points of accuracy: five of ten thousand images, fewer than another batch size moves


class ShippedCheckpoint(Checkpoint):
    """A shipped network in a checkpoint's place: what runs on a trained run runs on it, but for more training.

    Its folder, data/weights/<preset>-<run>, holds the calibration; `weights_hash` is that of the checkpoint which the
    weights were filed from.
    """

    def weights(self) -> dict[str, Tensor]:
        """The state dict, in float32."""
        return {key: _full(value) for key, value in read_weights(_weights_path(self.folder.name)).items()}


def load_pretrained(name: str) -> CodedResNeXt:
    """A shipped network in evaluation mode, float32, on the CPU; see `CodedResNeXt.from_pretrained`."""
    return shipped_checkpoint(name).network()


def is_shipped(name: str) -> bool:
    """Whether there are weights of this full name, <preset>-<run>."""
    return _card_path(name).is_file()


def shipped_checkpoint(name: str) -> ShippedCheckpoint:
    """Shipped weights by a name that `read_card` knows.

    Raises:
        CheckpointError: a file that is not what its card says.
    """
    card = read_card(name)
    path = _weights_path(card["name"])
    if sha256(path) != card["sha256"]:
        raise CheckpointError(f"{path.name} is not the file that its card names: restore both from the repository")
    description = {"parameters": card["recipe"], **{key: card[key] for key in ("network", "schemes", "data")}}
    return ShippedCheckpoint(paths.WEIGHTS / card["name"], description, card["checkpoint"])


def calibrate_shipped(name: str) -> Calibration:
    """Early-exit thresholds of shipped weights, from the images held out of their training; kept beside the weights.

    Raises:
        ValueError: unknown weights, a plain network, or one that held no images out.
    """
    checkpoint = shipped_checkpoint(name)
    return calibrate_run(Run(checkpoint, EvaluationParameters(checkpoint.description["parameters"]["preset"])))[0]


def read_card(name: str) -> dict[str, Any]:
    """The card of shipped weights.

    Args:
        name: of the file, or less: "cifar10-small" is its coded network of seed 0, "cifar10-small-plain" the plain one.
    Raises:
        ValueError: an unknown name, with the closest known ones.
    """
    for full in (name, f"{name}-s0", f"{name}-coded-s0"):
        path = _card_path(full)
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    known = sorted(path.stem for path in paths.WEIGHTS.glob("*.json"))
    if not known:
        raise ValueError(f"no weights in {paths.WEIGHTS}: they come with the repository, not with the package alone")
    raise ValueError(unknown("weights", name, known))


def file_weights(preset: str, run: str) -> dict[str, Any]:
    """Put a finished run's weights and their card into data/weights; returns the card.

    They are stored in float16 if that leaves the test accuracy as the run's record has it, else in float32.

    Raises:
        ValueError: a run without a complete checkpoint and its record.
    """
    checkpoint = load_checkpoint(run_folder(preset, run))
    record = read_record(preset, "training", run)
    if checkpoint is None or record is None or record["checkpoint"] != checkpoint.weights_hash:
        raise ValueError(f"run {preset}/{run} has no finished checkpoint with its record: train it first")
    name, description = f"{preset}-{run}", checkpoint.description
    evaluation = EvaluationParameters(preset)
    images = Run(checkpoint, evaluation).test
    recorded = record["metrics"]["test_accuracy"]
    for dtype in (torch.float16, torch.float32):
        weights = {key: _half(value, dtype) for key, value in checkpoint.weights().items()}
        model = build_network(description["network"], description["schemes"])
        load_weights(model, {key: _full(value) for key, value in weights.items()}, name)
        stored = predict(model, images, evaluation.batch_size, torch.device("cpu")).accuracy(images.labels)
        if abs(stored - recorded) <= UNCHANGED:
            break
    path = _weights_path(name)
    write_atomically(path, safetensors.torch.save(weights))
    card = {
        "name": name,
        "licence": LICENCE,
        "sha256": sha256(path),
        "dtype": str(dtype).removeprefix("torch."),
        "accuracy": {"recorded": recorded, "stored": stored, "images": len(images)},
        "record": str(record_path(preset, "training", run).relative_to(paths.OUT)),
        "checkpoint": checkpoint.weights_hash,
        "recipe": description["parameters"],
        **{key: description[key] for key in ("network", "schemes", "data")},
    }
    write_atomically(_card_path(name), (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())
    return card


def _half(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _weights_path(name: str) -> Path:
    return paths.WEIGHTS / f"{name}.safetensors"


def _card_path(name: str) -> Path:
    return paths.WEIGHTS / f"{name}.json"
