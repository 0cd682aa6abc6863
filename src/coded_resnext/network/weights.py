"""Weights in files: read, put into a network, and those that ship with the repository, two of them with the package.

Shipped weights are data/weights/<preset>-<run>.safetensors, each with a card beside it (.json) that says which network
the file is, how it was trained, which record measured it, and what storing it in half precision did to its accuracy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .. import paths
from ..errors import CheckpointError, Refused, not_here, unknown
from ..files import sha256

WEIGHTS_FILE = "model.safetensors"  # of a run's folder, and of a subnetwork's


def is_shipped(name: str) -> bool:
    """Whether there are weights of this full name, <preset>-<run>."""
    return card_path(name).is_file()


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
        raise Refused(not_here("weights", paths.WEIGHTS))
    more = "" if paths.IS_CHECKOUT else f" (the package has {', '.join(known)}; its repository has more)"
    raise Refused(unknown("weights", name, known) + more)


def full_precision(tensor: Tensor) -> Tensor:
    """A stored tensor as networks compute with it: what is no number of any precision stays as it is."""
    return tensor.float() if tensor.is_floating_point() else tensor


def read_shipped(card: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict that a card names, in float32.

    Raises:
        CheckpointError: a file that is not what the card says.
    """
    path = weights_path(card["name"])
    if sha256(path) != card["sha256"]:
        raise CheckpointError(f"{path.name} is not the file that its card names: restore both from the repository")
    return {key: full_precision(value) for key, value in read_weights(path).items()}


def weights_path(name: str) -> Path:
    """Where weights of this full name are."""
    return paths.WEIGHTS / f"{name}.safetensors"


def card_path(name: str) -> Path:
    """Where their card is."""
    return paths.WEIGHTS / f"{name}.json"


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


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict into a network, which takes the type of the weights: none of them is rounded.

    Raises:
        CheckpointError: naming the first tensor that is missing, superfluous or of another shape.
    """
    own = model.state_dict()
    for key in [*own, *weights]:
        has = tuple(weights[key].shape) if key in weights else "nothing"
        needs = tuple(own[key].shape) if key in own else "nothing"
        if has != needs:
            raise CheckpointError(f"{source} is from another network: {key} is {has} there and {needs} here")
    model.to(next(tensor.dtype for tensor in weights.values() if tensor.is_floating_point()))
    model.load_state_dict(dict(weights))
