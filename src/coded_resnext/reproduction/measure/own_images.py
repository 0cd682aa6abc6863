"""Images of one's own, looked through before anything is done with them."""

from __future__ import annotations

from ... import paths
from ...data.sets import image_folder, split_folder


def look_through(data: str) -> None:
    """Refuse an image folder that cannot be trained on, and say once what in it is left out.

    Raises:
        ValueError: see `split_folder`.
    """
    if folder := image_folder(data, paths.RAW):
        for split in ("train", "test"):
            split_folder(folder, split)
