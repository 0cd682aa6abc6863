"""Batches of an epoch: augmentation, order and seeds (section 4.1).

Everything random here is a function of (seed, epoch, position), not of a generator's history: an epoch
that is started again after an interruption is the same epoch, with any number of workers.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import Refused
from .sets import ImageSet, normalise, to_uint8


@dataclass(frozen=True)
class Augmentation:
    """What training does to an image before normalising it.

    Images in memory: RandAugment on the PIL image, then pad and crop, then flip, the paper's order for CIFAR.
    Images on disk: random resized crop, flip, RandAugment, its order for ImageNet.

    Attributes:
        randaugment: timm's configuration string, e.g. "rand-m4-n3", or "" for none.
        pad: pixels of black on every side before cropping back to the size.
        flip: mirror half of the images left to right.
    """

    randaugment: str = ""
    pad: int = 0
    flip: bool = False


def seeds(purpose: str, *key: int) -> np.random.Generator:
    """A generator that depends on what it is for and on a key, and on nothing else.

    The purpose and the key's length are part of what is hashed: numpy pads short keys with zeros, so that
    (7, 3) and (7, 3, 0) alone would draw the same numbers.
    """
    return np.random.default_rng(np.random.SeedSequence([zlib.crc32(purpose.encode()), len(key), *key]))


def train_batches(
    images: ImageSet,
    augmentation: Augmentation,
    batch_size: int,
    *,
    portions: int = 1,
    seed: int,
    epochs: range,
    device: torch.device,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one process, epoch after epoch: normalised images (B, C, H, W) and labels (B,), on the device.

    The shuffled set is cut into batches of `batch_size`, dealt to the processes in turn; an incomplete last
    round is left out, so that every process has the same number, see `batches_an_epoch`. One loader serves all epochs:
    while one is evaluated its workers are at the next.

    Args:
        portions: batches that each process has in one step; a round is a step of all.
    """
    count = portions * batches_an_epoch(images, portions * batch_size, world)
    loader = DataLoader(
        _HostBatches(images, augmentation, seed),
        batch_size=None,
        sampler=_Rows(len(images), batch_size, count, seed, epochs, rank, world),
        num_workers=workers if augmentation.randaugment or images.pixels is None else 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # or it would take a number from the one that dropping draws from
    )
    for i, (pixels, labels) in enumerate(loader):
        if i % count == 0:
            rng = seeds("crop and flip", seed, epochs[i // count], 0)  # as one process draws
        pixels = pixels.to(device, non_blocking=True)
        if images.pixels is not None and (augmentation.pad or augmentation.flip):
            pixels = crop_and_flip(pixels, augmentation.pad, augmentation.flip, rng, rank=rank, world=world)
        yield normalise(pixels, images.mean, images.std), labels.to(device, non_blocking=True)


def batches_an_epoch(images: ImageSet, batch_size: int, world: int = 1) -> int:
    """How many batches of `batch_size` each of `world` processes has in an epoch."""
    return len(images) // (batch_size * world)


def eval_batches(
    images: ImageSet, batch_size: int, device: torch.device, *, workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, unchanged: normalised images and labels, on the device.

    Args:
        workers: processes that read images on disk; those in memory need none.
    """
    starts = range(0, len(images), batch_size)
    loader = DataLoader(
        _InOrder(images, batch_size),
        batch_size=None,
        sampler=range(len(starts)),
        num_workers=min(workers, len(starts)) if images.pixels is None else 0,
        generator=torch.Generator(),  # or it would take a number from the one that dropping draws from
    )
    for start, pixels in zip(starts, loader, strict=True):
        labels = images.labels[start : start + batch_size]
        pixels = pixels.to(device, non_blocking=True)
        yield normalise(pixels, images.mean, images.std), labels.to(device, non_blocking=True)


def crop_and_flip(
    pixels: Tensor, pad: int, flip: bool, rng: np.random.Generator, *, rank: int = 0, world: int = 1
) -> Tensor:
    """Pad with black, crop back at a random place, mirror half of the images; uint8 (B, C, H, W) at once.

    Numbers are drawn for the batches of all `world` processes and those of one used, so that every batch is what it
    would be in one process.
    """
    batch, _, height, width = pixels.shape
    device = pixels.device
    drawn = [_draw_shifts(batch, pad, flip, rng) for _ in range(world)]
    top, left, mirrored = (_to_device(values, device) for values in drawn[rank])
    rows = top[:, None] + torch.arange(height, device=device)
    columns = left[:, None] + torch.arange(width, device=device)
    if flip:
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(pixels, (pad,) * 4)
    image = torch.arange(batch, device=device)[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)  # indexing gave (B, H, W, C)


def _draw_shifts(batch: int, pad: int, flip: bool, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Where each crop begins, from the top and the left, and whether it is mirrored."""
    top, left = (rng.integers(0, 2 * pad + 1, batch) for _ in range(2))
    return top, left, rng.random(batch) < 0.5 if flip else np.zeros(batch, dtype=bool)


def _to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """A copy that a GPU need not be waited for: from pinned memory."""
    host = torch.from_numpy(values)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)


def rand_augment(configuration: str, mean: tuple[float, ...], size: int) -> object:
    """timm's RandAugment as its training script sets it up: fill with the mean, translate by up to 45 %.

    At low magnitudes timm's Posterize may ask for 0 bits, which Pillow refuses; 0 bits are a black image.
    """
    from timm.data.auto_augment import rand_augment_transform

    transform = rand_augment_transform(
        configuration, {"translate_const": int(size * 0.45), "img_mean": tuple(round(255 * m) for m in mean)}
    )
    for op in transform.ops:
        if op.name.startswith("Posterize"):
            op.aug_fn = _PosterizeFromZero(op.aug_fn)
    return transform


@dataclass(frozen=True)
class _PosterizeFromZero:
    """A class and no closure, since workers that are spawned get it pickled."""

    posterize: Callable[..., Image.Image]

    def __call__(self, image: Image.Image, bits: int, **kwargs: object) -> Image.Image:
        return Image.new(image.mode, image.size) if bits == 0 else self.posterize(image, bits, **kwargs)


@dataclass(frozen=True)
class _Rows:
    """What `_HostBatches` is asked for: (epoch, rows of a batch), in the order of training."""

    images: int
    batch_size: int
    count: int
    seed: int
    epochs: range
    rank: int
    world: int

    def __len__(self) -> int:
        return self.count * len(self.epochs)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        for epoch in self.epochs:
            order = torch.from_numpy(seeds("order", self.seed, epoch).permutation(self.images))
            for i in range(self.count):
                yield epoch, order[(i * self.world + self.rank) * self.batch_size :][: self.batch_size]


class _HostBatches(Dataset):
    """uint8 batches by (epoch, rows), with what PIL does to single images done."""

    def __init__(self, images: ImageSet, augmentation: Augmentation, seed: int) -> None:
        if augmentation.randaugment and images.channels != 3:
            raise Refused(
                f"RandAugment works on RGB, {images.name} has {images.channels} channel: set randaugment to ''"
            )
        self.images = images
        self.augmentation = augmentation
        self.seed = seed
        if images.pixels is None:
            from timm.data.transforms import RandomResizedCropAndInterpolation

            self.crop = RandomResizedCropAndInterpolation(images.image_size, interpolation="bicubic")
        self.transform = (
            rand_augment(augmentation.randaugment, images.mean, images.image_size) if augmentation.randaugment else None
        )

    def __getitem__(self, asked: tuple[int, Tensor]) -> tuple[Tensor, Tensor]:
        epoch, rows = asked
        labels = self.images.labels[rows]
        if self.images.pixels is not None and self.transform is None:
            return self.images.pixels[rows], labels
        with _own_random_state():
            return torch.stack([to_uint8(self._augmented(epoch, i)) for i in rows.tolist()]), labels

    def _augmented(self, epoch: int, index: int) -> Image.Image:
        rng = seeds("augment one image", self.seed, epoch, index)
        random.seed(int(rng.integers(2**63)))  # timm draws from both global generators
        np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
        image = self.images.image(index)
        if self.images.pixels is None:
            image = self.crop(image)
            if self.augmentation.flip and rng.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image if self.transform is None else self.transform(image)


@dataclass(frozen=True)
class _InOrder(Dataset):
    """The batches of an evaluation by their number, uint8."""

    images: ImageSet
    batch_size: int

    def __getitem__(self, i: int) -> Tensor:
        return self.images.take(i * self.batch_size, min((i + 1) * self.batch_size, len(self.images)))


@contextmanager
def _own_random_state() -> Iterator[None]:
    """Give the caller's global generators back as they were."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
