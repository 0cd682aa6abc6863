"""Checkpoints: weights that are interchangeable, and a file that says which network they are.

A checkpoint is three files in a run's folder: `model.safetensors`, `optimiser.pt` and `checkpoint.json`, which
holds the parameters, the codewords and the hashes of the other two. An update writes all three beside the old
ones and commits by one rename; a process killed at any moment leaves the old checkpoint or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import safetensors.torch
import torch
from torch import Tensor

from .. import locks, paths
from ..descriptions import from_json, to_json, typed_as
from ..errors import CheckpointError, InUse, Refused
from ..files import sha256, write_atomically
from ..network.model import CodedResNeXt, build_network
from ..network.weights import (
    DESCRIPTION,
    RUN,
    SHIPPED,
    WEIGHTS_FILE,
    Data,
    Recipe,
    find_model,
    is_shipped,
    load_weights,
    read_card,
    read_shipped,
    read_weights,
)

OPTIMISER = "optimiser.pt"
NEW = ".new"
REMEDY = "train again with --force"


class _Files(TypedDict):
    files: dict[str, str]


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

    parameters: Recipe
    network: dict[str, Any]
    schemes: dict[str, list[str]]
    data: Data
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
        """The state dict.

        Raises:
            CheckpointError: other weights than the checkpoint was read with, since training went on.
        """
        otherwise = f"is no longer what {DESCRIPTION} named: it was trained on or changed meanwhile. Load it again"
        return read_weights(self.folder / WEIGHTS_FILE, self.weights_hash, otherwise)

    def optimiser(self) -> dict[str, Any]:
        """The optimiser's state dict; no code in the file is run."""
        path = self.folder / OPTIMISER
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # what torch, zipfile and its own unpickler raise for bad bytes has no other base
            raise CheckpointError(f"{path} cannot be read safely ({error}): {REMEDY}") from None

    def network(self) -> CodedResNeXt:
        """The trained network, in evaluation mode on the CPU."""
        model = build_network(self.description.network, self.description.schemes, str(self.folder))
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

    The caller holds the folder's lock where another process may write it too.

    Raises:
        OSError: for instance a full disk; the previous checkpoint is kept.
    """
    buffer = io.BytesIO()
    torch.save(optimiser, buffer)
    contents = {
        WEIGHTS_FILE: safetensors.torch.save({key: value.contiguous() for key, value in weights.items()}),
        OPTIMISER: buffer.getvalue(),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    try:
        for name, content in contents.items():
            write_atomically(folder / (name + NEW), content)
        text = to_json({**asdict(description), "files": hashes})
        write_atomically(folder / (DESCRIPTION + NEW), text.encode())  # from here on the new one counts
    except OSError:
        for name in (*contents, DESCRIPTION):
            (folder / (name + NEW)).unlink(missing_ok=True)
        raise
    settle(folder)
    return hashes[WEIGHTS_FILE]


def load_checkpoint(folder: str | Path) -> Checkpoint | None:
    """A run's checkpoint, or None when there is none.

    Raises:
        CheckpointError: files that are damaged, cut short or of another checkpoint.
    """
    folder = Path(folder)
    _see_settled(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    text = path.read_bytes()
    content = from_json(text, str(path), REMEDY, CheckpointError)
    files = typed_as(_Files, content, str(path), REMEDY, CheckpointError)["files"]
    if set(files) != {WEIGHTS_FILE, OPTIMISER}:
        raise CheckpointError(f"{path} is damaged (it names {', '.join(files) or 'no file'}): {REMEDY}")
    description = typed_as(Description, content, str(path), REMEDY, CheckpointError)
    for name, expected in files.items():
        file = folder / name
        if file.is_file() and sha256(file) == expected:
            continue
        if (folder / (DESCRIPTION + NEW)).is_file() or path.read_bytes() != text:
            return load_checkpoint(folder)  # training goes on, and is just replacing all three
        if not file.is_file():
            raise CheckpointError(f"{file} is missing, {DESCRIPTION} names it: {REMEDY}")
        raise CheckpointError(
            f"{file} is not the file that {DESCRIPTION} names: it was cut short, changed, or comes from another "
            f"checkpoint. Restore it, or {REMEDY}"
        )
    return Checkpoint(folder, description, files[WEIGHTS_FILE])


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


def settle(folder: Path) -> None:
    """Finish an update that was committed; one that was not is overwritten by the next.

    The caller holds the folder's lock where another process may write it too.
    """
    if not (folder / (DESCRIPTION + NEW)).is_file():
        return
    for name in (WEIGHTS_FILE, OPTIMISER, DESCRIPTION):  # the description last: until it moves, this can be repeated
        with contextlib.suppress(FileNotFoundError):  # moved before
            os.replace(folder / (name + NEW), folder / name)


def _see_settled(folder: Path) -> None:
    """Settle what a killed process has left; what belongs to a living one is its own to settle, and is waited for.

    A reader that moved a living process's files could move those of the next update, which was not committed yet.

    Raises:
        InUse: a process that lives and does not finish.
    """
    end = time.monotonic() + locks.PATIENCE
    while (folder / (DESCRIPTION + NEW)).is_file():
        try:
            with locks.held(folder, patience=0):
                settle(folder)
        except InUse:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


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
