"""Checkpoints: weights that are interchangeable, and a file that says which network they are.

A checkpoint is three files in a run's folder: `model.safetensors`, `optimiser.pt` and `checkpoint.json`, which
holds the parameters, the codewords and the hashes of the other two. An update writes all three beside the old
ones and commits by one rename; a process killed at any moment leaves the old checkpoint or the new one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from .. import paths
from ..errors import CheckpointError, Refused
from ..files import sha256, write_atomically
from ..network.model import CodedResNeXt, build_network
from ..network.weights import (
    DESCRIPTION,
    RUN,
    SHIPPED,
    WEIGHTS_FILE,
    find_model,
    is_shipped,
    load_weights,
    read_card,
    read_shipped,
    read_weights,
)

OPTIMISER = "optimiser.pt"
NEW = ".new"


@dataclass(frozen=True)
class Description:
    """What checkpoint.json says of a run besides the files' hashes.

    Attributes:
        parameters: of the training, plain values.
        network: options of CodedResNeXt, but for the schemes.
        schemes: the codewords of every coded block, as text.
        data: what the network was trained on: name, classes, mean, std, image_size.
        epoch: how many are done.
        history: a row for each of them.
        seconds: that they took.
        metrics: of the finished network, see `fit`; empty before.
        device: what it was trained on, in words.
        processes: that trained it last.
    """

    parameters: dict[str, Any]
    network: dict[str, Any]
    schemes: dict[str, list[str]]
    data: dict[str, Any]
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    device: str = ""
    processes: int = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified.

    Attributes:
        folder: where it is.
        description: of the network and of how far it is trained.
        weights_hash: sha256 of model.safetensors.
    """

    folder: Path
    description: Description
    weights_hash: str

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.description.epoch == self.description.parameters["epochs"]

    def weights(self) -> dict[str, Tensor]:
        """The state dict."""
        return read_weights(self.folder / WEIGHTS_FILE)

    def optimiser(self) -> dict[str, Any]:
        """The optimiser's state dict; no code in the file is run."""
        path = self.folder / OPTIMISER
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise CheckpointError(f"{path.name} cannot be read safely ({error}): train again with --force") from None

    def network(self) -> CodedResNeXt:
        """The trained network, in evaluation mode on the CPU."""
        model = build_network(self.description.network, self.description.schemes)
        load_weights(model, self.weights(), str(self.folder / WEIGHTS_FILE))
        model.knows(self.description.data, crop=self.description.parameters.get("image_size", 0) > 0)
        return model.eval()


def run_folder(preset: str, name: str) -> Path:
    """Where a run keeps its checkpoint."""
    return paths.RUNS / preset / name


def save_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], optimiser: Mapping[str, Any], description: Description
) -> str:
    """Replace a run's checkpoint, all or nothing; returns the weights' sha256.

    Raises:
        OSError: for instance a full disk; the previous checkpoint is kept.
    """
    buffer = io.BytesIO()
    torch.save(optimiser, buffer)
    contents = {
        WEIGHTS_FILE: safetensors.torch.save({key: value.contiguous() for key, value in weights.items()}),
        OPTIMISER: buffer.getvalue(),
    }
    try:
        for name, content in contents.items():
            write_atomically(folder / (name + NEW), content)
        hashes = {name: sha256(folder / (name + NEW)) for name in contents}
        text = json.dumps({**asdict(description), "files": hashes}, indent=1, sort_keys=True) + "\n"
        write_atomically(folder / (DESCRIPTION + NEW), text.encode())  # from here on the new one counts
    except OSError:
        for name in (*contents, DESCRIPTION):
            (folder / (name + NEW)).unlink(missing_ok=True)
        raise
    _settle(folder)
    return hashes[WEIGHTS_FILE]


def load_checkpoint(folder: str | Path) -> Checkpoint | None:
    """A run's checkpoint, or None when there is none.

    Raises:
        CheckpointError: files that are damaged, cut short or of another checkpoint.
    """
    folder = Path(folder)
    _settle(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        files = content.pop("files")
        known = {field.name for field in fields(Description)}
        description = Description(**{key: value for key, value in content.items() if key in known})
        weights_hash = files[WEIGHTS_FILE]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): train again with --force") from None
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"{file} is missing, {DESCRIPTION} names it: train again with --force")
        if sha256(file) != expected:
            if path.read_text(encoding="utf-8") != text:  # training goes on, and has just replaced all three
                return load_checkpoint(folder)
            raise CheckpointError(
                f"{file} is not the file that {DESCRIPTION} names: it was cut short, changed, or comes from another "
                f"checkpoint. Restore it, or train again with --force"
            )
    return Checkpoint(folder, description, weights_hash)


def named_checkpoint(name: str | Path) -> Checkpoint:
    """The whole network of a name, see `find_model`, with what it was trained by.

    Raises:
        ValueError, FileNotFoundError: no such network, with all that are known; a subnetwork or an ONNX file.
    """
    kind, path = find_model(name)
    if kind == SHIPPED:
        return shipped_checkpoint(path.name)
    if kind != RUN:
        raise Refused(f"{path} is {'a subnetwork' if path.is_dir() else 'an ONNX file'}: this needs a whole network, "
                      "a run's folder or shipped weights")
    return load_checkpoint(path)


def trained_checkpoint(preset: str, name: str) -> Checkpoint | None:
    """A run's own finished checkpoint, else its shipped weights, else None."""
    checkpoint = load_checkpoint(run_folder(preset, name))
    if checkpoint is not None and checkpoint.finished:
        return checkpoint
    return shipped_checkpoint(f"{preset}-{name}") if is_shipped(f"{preset}-{name}") else None


def _settle(folder: Path) -> None:
    """Finish an update that was committed; one that was not is overwritten by the next."""
    if not (folder / (DESCRIPTION + NEW)).is_file():
        return
    for name in (WEIGHTS_FILE, OPTIMISER, DESCRIPTION):  # the description last: until it moves, this can be repeated
        with contextlib.suppress(FileNotFoundError):  # moved before, or by another process just now
            os.replace(folder / (name + NEW), folder / name)


class ShippedCheckpoint(Checkpoint):
    """A shipped network in a checkpoint's place: what runs on a trained run runs on it, but for more training.

    Its folder, data/weights/<preset>-<run>, holds the calibration; `weights_hash` is that of the checkpoint which the
    weights were filed from.
    """

    def weights(self) -> dict[str, Tensor]:
        """The state dict, in float32."""
        return read_shipped(read_card(self.folder.name))


def shipped_checkpoint(name: str) -> ShippedCheckpoint:
    """Shipped weights by a name that `read_card` knows."""
    card = read_card(name)
    description = Description(
        card["recipe"], card["network"], card["schemes"], card["data"], epoch=card["recipe"]["epochs"]
    )
    return ShippedCheckpoint(paths.WEIGHTS / card["name"], description, card["checkpoint"])
