"""An image folder of random pixels with CIFAR-10's classes and sizes: random_images.py FOLDER TRAINING-IMAGES."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

rng = np.random.default_rng(0)
for split, count in (("train", int(sys.argv[2])), ("test", 1000)):
    for k in range(10):
        folder = Path(sys.argv[1]) / split / f"class{k}"
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count // 10):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:05d}.png", compress_level=0)
