"""Weights in files: read, put into a network, and those that ship with the repository, two of them with the package.

Shipped weights are data/weights/<preset>-<run>.safetensors, each with a card beside it (.json) that says which network
the file is, how it was trained, which record measured it, and what storing it in half precision did to its accuracy.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .. import paths
from ..descriptions import read_json, typed_as
from ..errors import CheckpointError, Missing, Refused, not_here, unknown

WEIGHTS_FILE = "model.safetensors"  # of a run's folder, and of a subnetwork's
DESCRIPTION, MANIFEST = "checkpoint.json", "manifest.json"  # what makes a folder a run's, and what a subnetwork's
SHIPPED, RUN, SUBNETWORK, ONNX = "shipped weights", "run", "subnetwork", "ONNX file"  # what a name may be of


class Data(TypedDict):
    """What a network was trained on: `mean` and `std` by channel, 0 … 1."""

    name: str
    classes: list[str]
    mean: list[float]
    std: list[float]
    image_size: int


class Recipe(TypedDict):
    """What is needed here of training parameters."""

    epochs: int
    image_size: NotRequired[int]


class Card(TypedDict):
    """What is needed of a card; `checkpoint` is the hash of what the weights were filed from."""

    name: str
    sha256: str
    checkpoint: str
    recipe: Recipe
    network: dict[str, Any]
    schemes: dict[str, list[str]]
    data: Data


class Named(NamedTuple):
    """What a name is of: `kind` is SHIPPED, RUN, SUBNETWORK or ONNX, `path` its folder or file.

    Of shipped weights the folder is data/weights/<full name>, where a calibration may be.
    """

    kind: str
    path: Path


def find_model(name: str | Path) -> Named:
    """The one kind of name that everything takes which wants a network.

    Args:
        name: of shipped weights, see `read_card`; a run's folder, or <preset>/<run> in data/runs; a subnetwork's
            folder; an .onnx file. A folder that is named like shipped weights is written ./name.
    Raises:
        FileNotFoundError: a path where none of these is, with all that is known.
        ValueError: a name that is none, with all that are known.
    """
    if isinstance(name, str) and (full := _full_name(name)):
        return Named(SHIPPED, paths.WEIGHTS / full)
    path = Path(name)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise Missing(f"there is no file {path}")
        return Named(ONNX, path)
    for folder in (path, paths.RUNS / path):
        if (folder / MANIFEST).is_file():
            return Named(SUBNETWORK, folder)
        if (folder / DESCRIPTION).is_file() or (folder / (DESCRIPTION + ".new")).is_file():
            return Named(RUN, folder)
    if path.is_dir() or len(path.parts) > 1:
        raise Missing(
            f"{path} is no model: expected a folder with {DESCRIPTION} (a run) or {MANIFEST} (a subnetwork), a file "
            f"named .onnx, or the name of shipped weights. {known_models()}"
        )
    names = [path.stem for path in paths.WEIGHTS.glob("*.json")]
    names += [full.removesuffix("-s0").removesuffix("-coded") for full in names if full.endswith("-s0")]  # in short
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.8)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise Refused(f"unknown model {str(name)!r}{hint} {known_models()}")


def known_models() -> str:
    """All names of networks, in words: shipped weights, and runs that were trained here."""
    shipped = sorted(path.stem for path in paths.WEIGHTS.glob("*.json"))
    runs = sorted(str(path.parent.relative_to(paths.RUNS)) for path in paths.RUNS.glob(f"*/*/{DESCRIPTION}"))
    parts = [f"Shipped: {', '.join(shipped)}" if shipped else "No weights are shipped here"]
    if shipped and not paths.IS_CHECKOUT:
        parts[0] += " (the repository has more)"
    if runs:
        parts.append(f"runs in {paths.RUNS}: {', '.join(runs)}")
    return "; ".join(parts)


def is_shipped(name: str) -> bool:
    """Whether there are weights of this full name, <preset>-<run>."""
    return card_path(name).is_file()


def read_card(name: str) -> Card:
    """The card of shipped weights.

    Args:
        name: of the file, or less: "cifar10-small" is its coded network of seed 0, "cifar10-small-plain" the plain one.
    Raises:
        ValueError: an unknown name, with the closest known ones.
        CheckpointError: a damaged card, or one of other weights.
    """
    if full := _full_name(name):
        path, remedy = card_path(full), "restore it from the repository"
        card = typed_as(Card, read_json(path, remedy, CheckpointError), str(path), remedy, CheckpointError)
        if card["name"] != full:
            raise CheckpointError(f"{path} is the card of {card['name']!r}: {remedy}")
        return card
    known = sorted(path.stem for path in paths.WEIGHTS.glob("*.json"))
    if not known:
        raise Refused(not_here("weights", paths.WEIGHTS))
    more = "" if paths.IS_CHECKOUT else f" (the package has {', '.join(known)}; its repository has more)"
    raise Refused(unknown("weights", name, known) + more)


def _full_name(name: str) -> str | None:
    if Path(name).name != name:
        return None
    return next((full for full in (name, f"{name}-s0", f"{name}-coded-s0") if is_shipped(full)), None)


def full_precision(tensor: Tensor) -> Tensor:
    """A stored tensor as networks compute with it: what is no number of any precision stays as it is."""
    return tensor.float() if tensor.is_floating_point() else tensor


def read_shipped(card: Card) -> dict[str, Tensor]:
    """The state dict that a card names, in float32.

    Raises:
        CheckpointError: a file that is not what the card says.
    """
    path = weights_path(card["name"])
    if not path.is_file():
        raise Missing(f"{path} is missing, its card is there: restore both from the repository")
    otherwise = "is not the file that its card names: restore both from the repository"
    weights = read_weights(path, card["sha256"], otherwise)
    return {key: full_precision(value) for key, value in weights.items()}


def weights_path(name: str) -> Path:
    """Where weights of this full name are."""
    return paths.WEIGHTS / f"{name}.safetensors"


def card_path(name: str) -> Path:
    """Where their card is."""
    return paths.WEIGHTS / f"{name}.json"


def read_weights(path: Path, expected: str | None = None, otherwise: str = "") -> dict[str, Tensor]:
    """A state dict from a safetensors file.

    Args:
        expected: sha256 of the very bytes that are read: a file may be replaced after it was looked at.
        otherwise: what is said of a file with another.
    Raises:
        CheckpointError: a pickle, which is never opened because it may run code, a damaged file, or another than
            `expected`.
    """
    content = path.read_bytes()
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise CheckpointError(f"{path} {otherwise}")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        if content[:1] == b"\x80" or content[:2] == b"PK":  # pickle's protocol mark; torch.save's zip
            raise CheckpointError(f"{path} is a pickle, which can run code when opened: use safetensors") from None
        raise CheckpointError(f"{path} is no whole safetensors file ({error})") from None


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict into a network, which takes the type of the weights: none of them is rounded.

    Raises:
        CheckpointError: naming the first tensor that is missing, superfluous or of another shape.
    """
    own = model.state_dict()
    for key in dict.fromkeys((*own, *weights)):
        has = tuple(weights[key].shape) if key in weights else "nothing"
        needs = tuple(own[key].shape) if key in own else "nothing"
        if has != needs:
            raise CheckpointError(f"{source} is from another network: {key} is {has} there and {needs} here")
        if weights[key].is_floating_point() != own[key].is_floating_point():
            raise CheckpointError(f"{source} has {key} as {weights[key].dtype}, the network has {own[key].dtype}")
    model.to(next(tensor.dtype for tensor in weights.values() if tensor.is_floating_point()))
    model.load_state_dict(dict(weights))
