"""Image folders as people have them: where their training and test images are, and what in them is no image.

    <folder>/train/<class>/… beside <folder>/test/<class>/…, which may be called val or validation
    <folder>/foreign/…, beside those two: images of no class, which a network should reject
    <folder>/<class>/…, one flat folder, of which a fifth of each class is drawn for the test

All folders below a class belong to it. Files are images by their suffix, whatever its case, or else by what is in them;
others are named and left out, and so is what is hidden.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..errors import Refused

SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".jp2", ".tga", ".mpo",
}  # fmt: skip
TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
FOREIGN = "foreign"
SHOWN = 5  # strays that are named
TEST_SHARE = 0.2  # of a flat folder
SAID = "CODED_RESNEXT_STRAYS_SAID"  # folders, a line each, for the notebooks that this process runs: they read them too


class Layout(NamedTuple):
    """Where a folder's images are: `test` is None for a flat folder, which is split; `unused` was left for `test`.

    `foreign` has images of no class, or is None; in a flat folder the name is a class's like any other.
    """

    train: Path
    test: Path | None
    unused: tuple[str, ...] = ()
    foreign: Path | None = None


def find_layout(folder: Path) -> Layout:
    """How an image folder is laid out, by the names of the folders in it, in any case.

    Raises:
        ValueError: training images without test images, or the other way round.
    """
    there = {entry.name.lower(): entry for entry in folder.iterdir() if entry.is_dir()}
    train = [there[name] for name in TRAIN if name in there]
    test = [there[name] for name in TEST if name in there]
    if train and test:
        return Layout(train[0], test[0], tuple(path.name for path in test[1:]), there.get(FOREIGN))
    if train:
        raise Refused(
            f"{folder} has {train[0].name}/ but no test/, val/ or validation/: add one, or give {train[0]} itself, "
            f"which is then split"
        )
    if test and len(there) <= len(test) + 1:
        raise Refused(f"{folder} has {test[0].name}/ but no train/: name the folder of the training images train")
    return Layout(folder, None)


def class_folders(folder: Path) -> list[Path]:
    """The folders of the classes, by name; hidden ones are none."""
    found = (entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    return sorted(found, key=lambda path: path.name)


def image_files(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """All images in a folder and those below it, in order, and the files that are none; links are followed."""
    images: list[Path] = []
    strays: list[Path] = []
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        strays += [Path(root, name) for name in folders if name[0] == "."]
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            path = Path(root, name)
            (images if name[0] != "." and _is_image(path) else strays).append(path)
    return tuple(images), tuple(strays)


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with Image.open(path):  # the header alone is read
            return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def say_strays(folder: Path, strays: Sequence[Path]) -> None:
    """Name on stderr what in a folder is left out: once, by this process or by one that started it."""
    place = str(folder.resolve())
    said = os.environ.get(SAID, "").split("\n")
    if strays and place not in said:
        os.environ[SAID] = "\n".join([*said, place])
        names = ", ".join(str(path.relative_to(folder)) for path in strays[:SHOWN])
        more = f" and {len(strays) - SHOWN} more" if len(strays) > SHOWN else ""
        print(f"note: no images, left out of {folder}: {names}{more}", file=sys.stderr, flush=True)
