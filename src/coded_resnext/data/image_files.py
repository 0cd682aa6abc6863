"""One image file as a network wants it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import Missing, Refused
from .sets import centre_crop, normalise, read_image, to_uint8

MODES = {1: ("L", "grey"), 3: ("RGB", "colour")}


def read_for(path: Path, channels: int, data: Mapping[str, Any]) -> Tensor:
    """An image file, normalised: (1, C, H, W) float32.

    Args:
        channels: that the network reads, 1 or 3.
        data: `image_size`, `mean`, `std`, and `crop`: whether larger images are cut, as in evaluation.
    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no image, or one of another size or mode, saying what is expected.
    """
    if not path.is_file():
        raise Missing(f"there is no image {path}")
    image = read_image(path, mode=None)
    mode, word = MODES[channels]
    if image.mode != mode:
        raise Refused(
            f"{path} has mode {image.mode}, this network reads {word} images, mode {mode}: "
            f"convert it with Pillow's image.convert({mode!r})"
        )
    size = data["image_size"]
    if data["crop"]:
        image = centre_crop(image, size)
    elif image.size != (size, size):
        raise Refused(
            f"{path} is {image.width}x{image.height}, this network was trained on {size}x{size}: resize it first"
        )
    return normalise(to_uint8(image)[None], data["mean"], data["std"])
