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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..errors import CheckpointError
from ..network.model import CodedResNeXt
from ..paths import RUNS
from ..reproduction.records.records import sha256, write_atomically

WEIGHTS, OPTIMISER, DESCRIPTION = "model.safetensors", "optimiser.pt", "checkpoint.json"
NEW = ".new"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified.

    Attributes:
        folder: where it is.
        description: checkpoint.json.
        weights_hash: sha256 of model.safetensors.
    """

    folder: Path
    description: dict[str, Any]
    weights_hash: str

    def weights(self) -> dict[str, Tensor]:
        """The state dict."""
        return read_weights(self.folder / WEIGHTS)

    def optimiser(self) -> dict[str, Any]:
        """The optimiser's state dict; no code in the file is run."""
        path = self.folder / OPTIMISER
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise CheckpointError(f"{path.name} cannot be read safely ({error}): train again with --force") from None

    def network(self) -> CodedResNeXt:
        """The trained network, in evaluation mode on the CPU."""
        model = build_network(self.description["network"], self.description["schemes"])
        load_weights(model, self.weights(), str(self.folder / WEIGHTS))
        return model.eval()


def run_folder(preset: str, name: str) -> Path:
    """Where a run keeps its checkpoint."""
    return RUNS / preset / name


def save_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], optimiser: Mapping[str, Any], description: Mapping[str, Any]
) -> str:
    """Replace a run's checkpoint, all or nothing; returns the weights' sha256.

    Raises:
        OSError: for instance a full disk; the previous checkpoint is kept.
    """
    buffer = io.BytesIO()
    torch.save(optimiser, buffer)
    contents = {
        WEIGHTS: safetensors.torch.save({key: value.contiguous() for key, value in weights.items()}),
        OPTIMISER: buffer.getvalue(),
    }
    try:
        for name, content in contents.items():
            write_atomically(folder / (name + NEW), content)
        hashes = {name: sha256(folder / (name + NEW)) for name in contents}
        text = json.dumps({**description, "files": hashes}, indent=1, sort_keys=True) + "\n"
        write_atomically(folder / (DESCRIPTION + NEW), text.encode())  # from here on the new one counts
    except OSError:
        for name in (*contents, DESCRIPTION):
            (folder / (name + NEW)).unlink(missing_ok=True)
        raise
    _settle(folder)
    return hashes[WEIGHTS]


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """A run's checkpoint, or None when there is none.

    Raises:
        CheckpointError: files that are damaged, cut short or of another checkpoint.
    """
    _settle(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    try:
        description = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is damaged ({error}): train again with --force") from None
    for name, expected in description["files"].items():
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
    return Checkpoint(folder, description, description["files"][WEIGHTS])


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file.

    Raises:
        CheckpointError: a pickle, which is never opened because it may run code, or a damaged file.
    """
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        with open(path, "rb") as file:
            start = file.read(2)
        if start[:1] == b"\x80" or start == b"PK":  # pickle's protocol mark; torch.save's zip
            raise CheckpointError(f"{path} is a pickle, which can run code when opened: use safetensors") from None
        raise CheckpointError(f"{path} is no whole safetensors file ({error})") from None


def load_weights(model: CodedResNeXt, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict into a network.

    Raises:
        CheckpointError: naming the first tensor that is missing, superfluous or of another shape.
    """
    own = model.state_dict()
    for key in [*own, *weights]:
        has = tuple(weights[key].shape) if key in weights else "nothing"
        needs = tuple(own[key].shape) if key in own else "nothing"
        if has != needs:
            raise CheckpointError(f"{source} is from another network: {key} is {has} there and {needs} here")
    model.load_state_dict(dict(weights))


def build_network(network: Mapping[str, Any], schemes: Mapping[str, list[str]]) -> CodedResNeXt:
    """The network that a checkpoint describes, with fresh weights."""
    coded = {place: CodingScheme.from_text("\n".join(words), source=place) for place, words in schemes.items()}
    return CodedResNeXt(**network, schemes=coded)


def describe_schemes(model: CodedResNeXt) -> dict[str, list[str]]:
    """The codewords of every coded block as strings, for checkpoint.json."""
    return {name: scheme.to_text().split() for name, scheme in model.schemes.items()}


def _settle(folder: Path) -> None:
    """Finish an update that was committed; one that was not is overwritten by the next."""
    if not (folder / (DESCRIPTION + NEW)).is_file():
        return
    for name in (WEIGHTS, OPTIMISER, DESCRIPTION):  # the description last: until it moves, this can be repeated
        with contextlib.suppress(FileNotFoundError):  # moved before, or by another process just now
            os.replace(folder / (name + NEW), folder / name)
