"""What a subnetwork that leaves says of itself, and the folder that it travels in.

A folder holds `model.safetensors` and `manifest.json`, which names the weights' hash and everything that is needed to
build the network, to prepare an image for it and to read its answer. An ONNX file carries the same manifest.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from ..codes.scheme import word_text
from ..data.prepare import Preparation
from ..descriptions import from_json, read_json, to_json, typed_as
from ..errors import CheckpointError, Missing, Refused, unknown
from ..files import sha256, write_atomically
from ..network.cost import count_parameters, multiply_adds
from ..network.model import CodedResNeXt, check_options
from ..network.weights import MANIFEST, WEIGHTS_FILE, load_weights, read_weights
from .extract import Subnetwork

FORMAT = 1
REMEDY = "export it again"


@dataclass(frozen=True)
class Manifest:
    """A subnetwork in words.

    Attributes:
        classes: indices of its logits in the full network.
        class_names: their names in the data set.
        threshold: of a single class: logits at or above it say yes. None for several classes, or where none is known.
        codewords: {block: the scheme's rows of these classes}.
        network: options of the full network.
        data: `name` of the data set, `mean` and `std` that images are normalised with, `image_size`, and `crop`:
            whether images are cut to that size or must have it.
        parent: sha256 of the full network's weights.
        parameters: `total` and `without_shortcuts`, and the percentage of the full network that each is.
        multiply_adds: `total` with energies and `convolutions` without, for one image, and percentages as above.
        check: how far it was from the masked full network when it was cut out, see `subnetwork.check_equal`.
    """

    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    threshold: float | None
    codewords: dict[str, list[str]]
    network: dict[str, Any]
    data: dict[str, Any]
    parent: str
    parameters: dict[str, float]
    multiply_adds: dict[str, float]
    check: dict[str, Any]

    def to_json(self, **more: str) -> str:
        """As sealed text, with `more` beside it."""
        return to_json({"format": FORMAT, **dataclasses.asdict(self), **more})

    @classmethod
    def from_json(cls, text: str, source: str) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: naming `source`, for what is no manifest, of another format, or at odds with itself.
        """
        return cls.from_content(from_json(text, source, REMEDY, CheckpointError), source)

    @classmethod
    def from_content(cls, content: Mapping[str, Any], source: str) -> Manifest:
        """The same from what JSON says."""
        if (has := content.get("format")) != FORMAT:
            raise CheckpointError(f"{source} has format {has}, this version reads {FORMAT}: {REMEDY}")
        manifest = typed_as(cls, content, source, REMEDY, CheckpointError)
        counts = {
            "classes": len(manifest.classes),
            "class_names": len(manifest.class_names),
            **{f"codewords of {name}": len(rows) for name, rows in manifest.codewords.items()},
        }
        for what, count in counts.items():
            if count != len(manifest.classes):
                raise CheckpointError(
                    f"{source} is at odds with itself: {len(manifest.classes)} classes, but {count} {what}. "
                    "Export it again"
                )
        for name, rows in manifest.codewords.items():
            if len(set(map(len, rows))) > 1 or not all(re.fullmatch("[01]*1[01]*", row) for row in rows):
                raise CheckpointError(f"{source}: {name} has no codewords but {', '.join(rows)[:80]}. Export it again")
        return manifest


def describe(
    subnetwork: Subnetwork,
    full: CodedResNeXt,
    *,
    class_names: Sequence[str],
    data: Mapping[str, Any],
    parent: str,
    threshold: float | None,
) -> Manifest:
    """The manifest of a subnetwork just cut out of `full`; see `Manifest` for the other arguments."""
    counts, full_counts = count_parameters(subnetwork), count_parameters(full)
    cost, full_cost = (multiply_adds(network, data["image_size"]) for network in (subnetwork, full))
    return Manifest(
        classes=subnetwork.classes,
        class_names=tuple(class_names),
        threshold=threshold,
        codewords={
            name: [word_text(row) for row in rows] for name, rows in subnetwork.codewords.items()
        },
        network=full.options,
        data=dict(data),
        parent=parent,
        parameters=_with_shares(counts, full_counts, "total", "without_shortcuts"),
        multiply_adds=_with_shares(cost, full_cost, "total", "convolutions"),
        check=dict(subnetwork.check),
    )


def save_subnetwork(folder: Path, subnetwork: Subnetwork, manifest: Manifest) -> None:
    """Write a subnetwork's folder; the manifest last, since it is what makes the folder one.

    Raises:
        OSError: for instance a full disk.
    """
    weights = {key: value.contiguous().cpu() for key, value in subnetwork.state_dict().items()}
    write_atomically(folder / WEIGHTS_FILE, safetensors.torch.save(weights))
    write_atomically(folder / MANIFEST, manifest.to_json(weights=sha256(folder / WEIGHTS_FILE)).encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a subnetwork's folder, whose weights are the ones it names.

    Raises:
        FileNotFoundError: a folder without a manifest or weights.
        CheckpointError: a manifest that cannot be read, or weights that it does not name.
    """
    path = folder / MANIFEST
    for file in (path, folder / WEIGHTS_FILE):
        if not file.is_file():
            raise Missing(f"{folder} is no subnetwork: there is no {file.name}. Make one with export --out")
    content = read_json(path, REMEDY, CheckpointError)
    manifest = Manifest.from_content(content, str(path))
    if content.get("weights") != sha256(folder / WEIGHTS_FILE):
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} is not the file that {MANIFEST} names: it was cut short, changed, or is another "
            "subnetwork's. Export it again"
        )
    return manifest


def load_subnetwork(path: str | Path) -> Subnetwork:
    """A subnetwork from its folder, in evaluation mode on the CPU.

    Its images are normalised as in training and its answers are read by what `read_manifest` says.

    Raises:
        FileNotFoundError: no such folder, or no subnetwork in it.
        CheckpointError: a damaged or changed file; a manifest that does not match the weights.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    options = check_options(manifest.network, str(folder / MANIFEST))
    codewords = {name: np.array([[c == "1" for c in row] for row in rows]) for name, rows in manifest.codewords.items()}
    try:
        subnetwork = Subnetwork(options, codewords, manifest.classes)
    except Refused as error:
        raise CheckpointError(f"{folder / MANIFEST} describes no subnetwork ({error}): {REMEDY}") from None
    load_weights(subnetwork, read_weights(folder / WEIGHTS_FILE), str(folder / WEIGHTS_FILE))
    subnetwork.class_names, subnetwork.preparation = manifest.class_names, Preparation.of(manifest.data, str(folder))
    return subnetwork.eval()


def class_indices(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Where class names stand among a network's classes.

    Raises:
        ValueError: no name, a repeated one, or an unknown one, with the closest.
    """
    if not names:
        raise Refused(f"name at least one class; there are {', '.join(known[:20])}{' …' if len(known) > 20 else ''}")
    for name in names:
        if name not in known:
            raise Refused(unknown("class", name, known))
        if names.count(name) > 1:
            raise Refused(f"class {name!r} is named {names.count(name)} times: name every class once")
    return [known.index(name) for name in names]


def _with_shares(part: Any, whole: Any, *keys: str) -> dict[str, float]:
    numbers = {}
    for key in keys:
        numbers[key] = getattr(part, key)
        numbers[f"{key}_percent"] = round(100 * getattr(part, key) / getattr(whole, key), 2)
    return numbers
