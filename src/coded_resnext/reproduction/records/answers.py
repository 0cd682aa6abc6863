"""Which test images a run answers right, as bits in its record: 1.7 kB for 10,000 images. No torch.

Two conditions that are both there can be compared image by image, from records alone. A record has them under `right`,
by condition, and under `tested` which images of the data set they are of, where seeds draw their own test images.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .records import Record, metric

SOFTMAX, TESTED = "softmax", "tested"


class Answers(NamedTuple):
    """What one run answers under one condition.

    Attributes:
        seed: of the run.
        accuracy: percent.
        count: of the test images.
        right: (n,) bool, or None where the record has no bits.
        images: (n,) which of the data set's images these are; without `right` None.
    """

    seed: int
    accuracy: float
    count: int
    right: np.ndarray | None = None
    images: np.ndarray | None = None


def pack(right: ArrayLike) -> str:
    """Bits as text: base64 of eight in a byte, the first one highest."""
    return base64.b64encode(np.packbits(np.asarray(right, dtype=bool))).decode("ascii")


def unpack(text: str, count: int | None = None) -> np.ndarray:
    """The first `count` bits, (count,) bool; by default all, with up to seven of padding."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)


def removal_condition(which: str, removed: int) -> str:
    """The name of a removal of figure 2a among the bits, which are of its first random order."""
    return f"{which} {removed}"


def answers(record: Record, condition: str, accuracy: float) -> Answers:
    """One condition of a record; its accuracy in percent stands elsewhere in it, and in older ones alone."""
    count = int(metric(record, "images"))
    bits: dict[str, Any] = record.get("right") or {}
    if condition not in bits:
        return Answers(record["seed"], accuracy, count)
    images = np.flatnonzero(unpack(record[TESTED])) if TESTED in record else np.arange(count)
    return Answers(record["seed"], accuracy, count, unpack(bits[condition], count), images)
