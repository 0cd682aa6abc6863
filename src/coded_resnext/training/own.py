"""A recipe for images of one's own: how large, how many branches, which ratios, how long; all of it by stated rules.

The rules are starting points that were not tuned on anything: what they choose is written into a preset file that can
be edited.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..codes.bounds import distance_upper_bound
from ..data.folders import find_layout
from ..data.sets import other_classes, split_folder, spread_indices
from ..errors import Refused
from ..network.weights import is_shipped
from .checkpoint import named_checkpoint
from .ingredients import scheme_for

LADDER = (10, 12, 16, 20, 24, 32, 48, 64)  # branches; the first whose schemes reach LEAST_DISTANCE
LEAST_DISTANCE = 4  # one wrong bit is then nearer to its own codeword than to any other
LOOKED_AT = 20_000  # images whose size is read, at most
LARGEST = 64  # pixels: what a CPU can train on; images in files may be larger and are resized
PASSES = 200_000  # images a training sees, repeated ones counted, between FEWEST and MOST epochs
FEWEST, MOST = 20, 200
HOLDOUT = 0.1  # of the training images
SHORTER = 5  # times fewer epochs, and so much smaller steps, from a trained network
ARCHITECTURE = ("layers", "num_branches", "branch_width", "width", "stem", "active")
RATE = 0.2 / 128  # learning rate an image of the batch, as in cifar10-small


@dataclass(frozen=True)
class Survey:
    """What is in an image folder.

    Attributes:
        classes: their names.
        train, test: how many images.
        sizes: (width, height) of the images, of at most LOOKED_AT of them.
        notes: what should be said of it.
    """

    classes: tuple[str, ...]
    train: int
    test: int
    sizes: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]


def survey(folder: Path) -> Survey:
    """Look at an image folder: its classes, its images and their sizes; see data/folders.py for what it may be.

    Raises:
        FileNotFoundError, ValueError: what cannot be trained on, naming the folder or file.
    """
    notes = []
    layout = find_layout(folder)
    files, labels, classes = split_folder(folder, "train")
    tested, _, test_classes = split_folder(folder, "test")
    if differing := other_classes(classes, test_classes):
        raise Refused(f"{folder}: {differing}")
    for label, name in enumerate(classes):
        if labels.count(label) < 2:
            raise Refused(f"class {name} of {folder} has 1 training image: two at least, one to hold out")
    if layout.test is None:
        notes.append(f"no test/ in {folder}: a fifth of each class is tested")
    elif layout.test.name.lower() != "test":
        notes.append(f"{layout.test.name}/ is tested")
    notes += [f"{name}/ is not used" for name in layout.unused]
    every = [*files, *tested]
    sizes = [_size(every[i]) for i in spread_indices(len(every), LOOKED_AT)]
    return Survey(classes, len(files), len(tested), tuple(sizes), tuple(notes))


def recipe_for(seen: Survey, init: str = "") -> tuple[dict[str, object], list[str]]:
    """Training parameters for what a folder holds, and what should be said of them.

    Args:
        seen: what it holds.
        init: a trained network to start from: its sizes are taken, and fewer and smaller steps.
    """
    notes = list(seen.notes)
    n, k = seen.train, len(seen.classes)
    if init:
        size, image_size, network = _as_in(init, seen)
    else:
        size, image_size = image_sizes(seen)
        branches, active, why = branches_for(k)
        notes += why
        network = {
            "layers": [3, 3, 3],
            "num_branches": branches,
            "branch_width": max(2, round(60 / branches)),
            "width": 32,
            "stem": "3x3" if size <= 12 else "3x3/2" if size <= 48 else "7x7/2",
            "active": active,
        }
    holdout = min(max(k, round(HOLDOUT * n)), n - k)
    kept = n - holdout
    batch = 128 if kept >= 10_000 else 64 if kept >= 2_000 else 32
    while batch > max(1, kept // 4):
        batch //= 2
    shorter = SHORTER if init else 1
    epochs = max(FEWEST, min(MOST, round(PASSES / kept)) // shorter)
    return {
        "image_size": image_size,
        "holdout": holdout,
        **network,
        "epochs": epochs,
        "warmup_epochs": max(1, epochs // 10),
        "learning_rate": RATE * batch / shorter,
        "batch_size": batch,
        "norm_batch": batch,
        "pad": size // 8 if image_size == 0 else 0,
        "flip": False,
        "evaluate_every": max(1, epochs // 20),
    }, notes


def image_sizes(seen: Survey) -> tuple[int, int]:
    """What is trained on: pixels, and `image_size`: 0 where all images have that size already, and are kept in memory.

    Images of several sizes are cropped out of their files: as large as the median of their shorter sides, in steps of
    8, but at most LARGEST.
    """
    width, height = seen.sizes[0]
    if width == height <= LARGEST and set(seen.sizes) == {(width, height)}:
        return width, 0
    median = int(statistics.median(min(pair) for pair in seen.sizes))
    size = max(8, min(LARGEST, median - median % 8))
    return size, size


def plain_init(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What a plain run starts from otherwise: the plain weights of the same name, where they are shipped."""
    plain = f"{recipe.get('init', '')}-plain"
    return {"init": plain} if is_shipped(f"{plain}-s0") else {}


def _as_in(init: str, seen: Survey) -> tuple[int, int, dict[str, object]]:
    """Pixels, `image_size` and the sizes of a trained network, which goes on with images of the size it knows."""
    description = named_checkpoint(init).description
    size = description.data["image_size"]
    fits = set(seen.sizes) == {(size, size)}
    return size, 0 if fits else size, {key: description.parameters[key] for key in ARCHITECTURE}


def branches_for(num_classes: int) -> tuple[int, dict[str, int], list[str]]:
    """N, N_act by stage, and why: the first of LADDER whose schemes keep any two classes LEAST_DISTANCE apart.

    Half of the branches are active in the first coded stage, three tenths in the second, as in the paper on CIFAR-10.
    """
    notes = []
    for n in LADDER:
        active = {"layer2": n // 2, "layer3": max(2, round(0.3 * n))}
        distances = []
        for ones in active.values():
            reachable = distance_upper_bound(num_classes, n, ones)
            if reachable >= LEAST_DISTANCE:
                reachable = scheme_for(num_classes, n, ones).min_distance
            distances.append(reachable)
        if min(distances) >= LEAST_DISTANCE or n == LADDER[-1]:
            return n, active, notes
        notes = [f"{num_classes} classes in {n} branches would be {min(distances)} apart: more branches are taken"]
    raise AssertionError("the ladder has an end")


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Refused(f"{path} is no image that Pillow can read ({error}): remove it or replace it") from error
