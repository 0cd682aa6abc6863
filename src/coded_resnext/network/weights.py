"""Weights that ship with the repository: data/weights/<preset>-<run>.safetensors, each with a card beside it.

A card (.json) says which network the file is, how it was trained, which record measured it, and what storing it in
half precision did to its accuracy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import paths
from ..errors import CheckpointError
from ..reproduction.records.records import sha256
from ..training.checkpoint import Checkpoint, read_weights
from ..training.parameters import unknown
from .model import CodedResNeXt


class ShippedCheckpoint(Checkpoint):
    """A shipped network in a checkpoint's place: what runs on a trained run runs on it, but for more training.

    Its folder, data/weights/<preset>-<run>, holds the calibration; `weights_hash` is that of the checkpoint which the
    weights were filed from.
    """

    def weights(self) -> dict[str, Tensor]:
        """The state dict, in float32."""
        return {key: full_precision(value) for key, value in read_weights(weights_path(self.folder.name)).items()}


def load_pretrained(name: str) -> CodedResNeXt:
    """A shipped network in evaluation mode, float32, on the CPU; see `CodedResNeXt.from_pretrained`."""
    return shipped_checkpoint(name).network()


def is_shipped(name: str) -> bool:
    """Whether there are weights of this full name, <preset>-<run>."""
    return card_path(name).is_file()


def shipped_checkpoint(name: str) -> ShippedCheckpoint:
    """Shipped weights by a name that `read_card` knows.

    Raises:
        CheckpointError: a file that is not what its card says.
    """
    card = read_card(name)
    path = weights_path(card["name"])
    if sha256(path) != card["sha256"]:
        raise CheckpointError(f"{path.name} is not the file that its card names: restore both from the repository")
    description = {"parameters": card["recipe"], **{key: card[key] for key in ("network", "schemes", "data")}}
    return ShippedCheckpoint(paths.WEIGHTS / card["name"], description, card["checkpoint"])


def read_card(name: str) -> dict[str, Any]:
    """The card of shipped weights.

    Args:
        name: of the file, or less: "cifar10-small" is its coded network of seed 0, "cifar10-small-plain" the plain one.
    Raises:
        ValueError: an unknown name, with the closest known ones.
    """
    for full in (name, f"{name}-s0", f"{name}-coded-s0"):
        path = card_path(full)
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    known = sorted(path.stem for path in paths.WEIGHTS.glob("*.json"))
    if not known:
        raise ValueError(f"no weights in {paths.WEIGHTS}: they come with the repository, not with the package alone")
    raise ValueError(unknown("weights", name, known))


def full_precision(tensor: Tensor) -> Tensor:
    """A stored tensor as networks compute with it: what is no number of any precision stays as it is."""
    return tensor.float() if tensor.is_floating_point() else tensor


def weights_path(name: str) -> Path:
    """Where weights of this full name are."""
    return paths.WEIGHTS / f"{name}.safetensors"


def card_path(name: str) -> Path:
    """Where their card is."""
    return paths.WEIGHTS / f"{name}.json"
