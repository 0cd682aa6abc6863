"""A small image folder to learn from: 60 training images of each of ten CIFAR-100 classes, and all their test images.

    python scripts/sixty_images.py data/raw/cifar100 data/raw/cifar100-sixty

What presets from-shipped and from-nothing train on. None of the classes is one of CIFAR-10. The first argument is an
image folder, {train,test}/<class>/<image>; which images are drawn depends on the names of its files.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

CLASSES, IMAGES = 10, 60


def draw(source: Path, target: Path) -> None:
    """Copy the images; the same ones every time."""
    rng = random.Random(0)
    names = sorted(path.name for path in (source / "train").iterdir())
    for name in sorted(rng.sample(names, CLASSES)):
        train = sorted(path.name for path in (source / "train" / name).iterdir())
        test = sorted(path.name for path in (source / "test" / name).iterdir())
        for split, files in (("train", rng.sample(train, IMAGES)), ("test", test)):
            folder = target / split / name
            folder.mkdir(parents=True)
            for file in files:
                shutil.copy(source / split / name / file, folder)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
