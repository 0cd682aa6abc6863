"""Image folders with noise in them."""

import numpy as np
from PIL import Image


def make_folder(root, name="shapes", classes=("circle", "square"), per_class=3, size=(8, 8), splits=("train", "test")):
    rng = np.random.default_rng(0)
    for split in splits:
        for class_name in classes:
            folder = root / name / split / class_name
            folder.mkdir(parents=True)
            for i in range(per_class):
                Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(folder / f"{i}.png")
    return root
