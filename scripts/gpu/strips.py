"""Small images of one size as a few large lossless files that travel well, and back.

    python strips.py pack FOLDER TARGET      FOLDER/{train,test}/<class>/<image> to TARGET/{train,test}/<class>-<n>.webp
    python strips.py unpack STRIPS TARGET    and back to TARGET/{train,test}/<class>/<number>.png

A strip is up to 500 images below one another. The images of a class keep their order.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

IN_A_STRIP = 500


def pack(folder: Path, target: Path) -> int:
    """Returns how many images were packed."""
    count = 0
    for class_folder in sorted(folder.glob("*/*/")):
        files = sorted(class_folder.iterdir())
        for start in range(0, len(files), IN_A_STRIP):
            images = [Image.open(file).convert("RGB") for file in files[start : start + IN_A_STRIP]]
            side = images[0].width
            strip = Image.new("RGB", (side, side * len(images)))
            for i, image in enumerate(images):
                strip.paste(image, (0, side * i))
            to = target / class_folder.parent.name
            to.mkdir(parents=True, exist_ok=True)
            strip.save(to / f"{class_folder.name}-{start // IN_A_STRIP}.webp", lossless=True)
            count += len(images)
    return count


def in_order(strips: Path) -> dict[str, list[Path]]:
    """The strips of one split by class, sorted as an image folder's are."""
    found: dict[str, list[Path]] = {}
    for path in sorted(strips.glob("*.webp"), key=lambda path: int(path.stem.rsplit("-", 1)[1])):
        found.setdefault(path.stem.rsplit("-", 1)[0], []).append(path)
    return dict(sorted(found.items()))


def unpack_strip(path: Path, target: Path) -> int:
    """One strip to its image files; returns how many."""
    label, number = path.stem.rsplit("-", 1)
    folder = target / path.parent.name / label
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as strip:
        side, count = strip.width, strip.height // strip.width
        for i in range(count):
            tile = strip.crop((0, side * i, side, side * (i + 1)))
            tile.save(folder / f"{int(number) * IN_A_STRIP + i:05d}.png", compress_level=1)
    return count


def unpack(strips: Path, target: Path) -> int:
    """Returns how many images were unpacked."""
    with ProcessPoolExecutor() as pool:
        return sum(pool.map(partial(unpack_strip, target=target), sorted(strips.glob("*/*.webp"))))


if __name__ == "__main__":
    done = {"pack": pack, "unpack": unpack}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    print(f"{done} images")
    sys.exit(done == 0)
