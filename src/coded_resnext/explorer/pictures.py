"""Images for the page: read from a folder as a network reads them, drawn at random, and made small enough to carry."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.batches import seeds
from ..data.prepare import MODES, centre_crop, read_image, to_uint8
from ..data.sets import ImageSet, check_classes, load_images, out_of_distribution
from ..errors import Missing, Refused

FOREIGN = -1  # the label of an image of no class of the network
UNKNOWN = -2  # and of one whose class nobody said
MEASURED = 2000  # images at most that are classified: half a minute on one core for a small network
STRANGERS = 200  # foreign ones among them at most
LARGEST = 96  # pixels of a picture in the page; larger ones are shrunk
LOSSLESS = 48  # pixels up to which PNG is smaller than a JPEG that looks the same


@dataclass(frozen=True)
class Pictures:
    """Images with what is known of them.

    Attributes:
        images: as the network reads them; labels are class indices, FOREIGN or UNKNOWN.
        folders: n names of the folders that they came from, "" where there is none.
        source: of them all, in words.
        found: how many there were before `MEASURED` were drawn.
    """

    images: ImageSet
    folders: tuple[str, ...]
    source: str
    found: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> Tensor:
        """Indices of the images of a class of the network."""
        return (self.images.labels >= 0).nonzero()[:, 0]


def read_folder(folder: Path, channels: int, data: Mapping[str, Any], limit: int = MEASURED) -> Pictures:
    """The images of `folder/<class>/` and those that lie in `folder` itself, of which nobody says the class.

    A folder that has no class's name holds foreign images. Of more than `limit` images that many are drawn at random,
    as many of each class as of the others: image folders are sorted by what they show.

    Args:
        channels: that the network reads; images are converted to them.
        data: `classes`, `image_size`, `mean`, `std`, and `crop`, whether larger images are cut as in evaluation.
    Raises:
        FileNotFoundError: no such folder, or no file in it.
        ValueError: files that are no images, or images of another size, all of them named.
    """
    if not folder.is_dir():
        raise Missing(f"there is no folder {folder}: expected one with <class>/<image> or images in it")
    places = {name: k for k, name in enumerate(data["classes"])}
    groups: dict[str, list[Path]] = {"": _files(folder)}
    groups |= {entry.name: _files(entry) for entry in sorted(folder.iterdir()) if _visible(entry) and entry.is_dir()}
    labels = {name: UNKNOWN if name == "" else places.get(name, FOREIGN) for name in groups}
    found = sum(map(len, groups.values()))
    if not found:
        raise Missing(f"{folder} has no image: expected {folder}/<class>/<image> or images in {folder}")
    strangers = {name: files for name, files in groups.items() if labels[name] == FOREIGN}
    others = {name: files for name, files in groups.items() if labels[name] != FOREIGN}
    if any(others.values()):
        strangers = _draw(strangers, min(STRANGERS, limit))
    chosen = _draw(others, limit) | _draw(strangers, limit)
    pairs = [(name, file) for name in groups for file in chosen[name]]
    pixels = _read(folder, [file for _, file in pairs], channels, data)
    names = tuple(name for name, _ in pairs)
    return Pictures(
        ImageSet(folder.name, torch.tensor([labels[name] for name in names]), tuple(data["classes"]),
                 tuple(data["mean"]), tuple(data["std"]), data["image_size"], pixels),
        names, f"the folder {folder.resolve().name}", found,
    )  # fmt: skip


def read_set(data: Mapping[str, Any], seed: int, limit: int = MEASURED) -> Pictures:
    """The test images of the set that a network was trained on, `limit` of them at most.

    Args:
        seed: of its run, which draws what of the digits is tested: others' test images it may have learnt from.
    """
    test = load_images(data["name"], "test", image_size=data["image_size"] if data["crop"] else 0, seed=seed)
    check_classes(test, data["classes"], "this network")
    by_class = {str(k): (test.labels == k).nonzero()[:, 0].tolist() for k in range(len(test.classes))}
    drawn = sorted(i for rows in _draw(by_class, limit).values() for i in rows)
    pixels = torch.cat([test.take(i, i + 1) for i in drawn])
    labels = test.labels[drawn]
    images = ImageSet(
        test.name, labels, tuple(data["classes"]), tuple(data["mean"]), tuple(data["std"]), data["image_size"], pixels
    )
    names = tuple(test.classes[k] for k in labels.tolist())
    return Pictures(images, names, f"the test images of {test.name}", len(test))


def with_strangers(pictures: Pictures, data: Mapping[str, Any]) -> Pictures:
    """The same and foreign images of the data set's partner, where the pictures have none and the partner is there.

    Args:
        data: as of `read_set`.
    """
    if (pictures.images.labels == FOREIGN).any():
        return pictures
    foreign = out_of_distribution(data["name"], image_size=pictures.images.image_size, crop=data["crop"])
    if foreign is None or foreign.image_size != pictures.images.image_size:
        return pictures
    drawn = np.sort(seeds("explorer's strangers").permutation(len(foreign))[:STRANGERS]).tolist()
    pixels = torch.cat([foreign.take(i, i + 1) for i in drawn])
    images = pictures.images
    both = ImageSet(
        images.name, torch.cat([images.labels, torch.full((len(drawn),), FOREIGN)]), images.classes, images.mean,
        images.std, images.image_size, torch.cat([images.pixels, pixels]),
    )  # fmt: skip
    names = tuple(foreign.classes[k] for k in foreign.labels[drawn].tolist())
    return Pictures(both, pictures.folders + names, pictures.source, pictures.found)


def picture_url(image: Image.Image) -> str:
    """An image as a data URL: PNG when it is small, else at most LARGEST pixels as JPEG."""
    if max(image.size) > LARGEST:
        image = image.copy()
        image.thumbnail((LARGEST, LARGEST))
    kind = "png" if max(image.size) <= LOSSLESS else "jpeg"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"optimize": True} if kind == "png" else {"quality": 82}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def draw_evenly(labels: Sequence[int], count: int) -> list[int]:
    """`count` indices at random, as many of each label as of the others, ascending."""
    groups: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(str(label), []).append(i)
    return sorted(i for rows in _draw(groups, count).values() for i in rows)


def _draw(groups: Mapping[str, list[Any]], count: int) -> dict[str, list[Any]]:
    """`count` members in all, one of each group in turn; those of a group in random order, then as they were."""
    orders = {name: seeds("explorer", i).permutation(len(groups[name])) for i, name in enumerate(groups)}
    turns = sorted((turn, place, name) for place, name in enumerate(groups) for turn in range(len(groups[name])))
    drawn: dict[str, list[int]] = {name: [] for name in groups}
    for turn, _, name in turns[:count]:
        drawn[name].append(int(orders[name][turn]))
    return {name: [groups[name][i] for i in sorted(rows)] for name, rows in drawn.items()}


def _visible(path: Path) -> bool:
    return path.name[0] != "."


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and _visible(file))


def _read(folder: Path, files: Sequence[Path], channels: int, data: Mapping[str, Any]) -> Tensor:
    """(n, C, H, W) uint8.

    Raises:
        ValueError: naming every file that is no image, or every one of another size.
    """
    mode = MODES[channels]
    size = data["image_size"]
    pixels, unreadable, misfits = [], [], []
    for file in files:
        try:
            image = read_image(file, mode)
        except Refused:
            unreadable.append(str(file.relative_to(folder)))
            continue
        if data["crop"]:
            image = centre_crop(image, size)
        elif image.size != (size, size):
            misfits.append(f"{file.relative_to(folder)} ({image.width}x{image.height})")
            continue
        pixels.append(to_uint8(image))
    if unreadable:
        raise Refused(f"no images that Pillow can read, in {folder}: {', '.join(unreadable)}; remove or replace them")
    if misfits:
        raise Refused(f"this network reads images of {size}x{size}, in {folder} are: {', '.join(misfits)}; resize them")
    return torch.stack(pixels)
