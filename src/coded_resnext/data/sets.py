"""Data sets by name, and the out-of-distribution partner of each (section 4).

`digits` comes with scikit-learn; `cifar10` and `cifar100` are downloaded by torchvision unless an image
folder is there; every other name is an image folder. An image folder is

    <data folder>/<name>/{train,test}/<class>/<image>

Small images live in memory as uint8. Images of several sizes stay on disk and are resized when read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .. import paths
from ..errors import Missing, Refused

# Channel means and deviations of the training images, 0 … 1, as the paper's code has them; ImageNet's are
# torchvision's. Sets that are not here, and live in memory, are measured.
CONSTANTS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2673, 0.2564, 0.2762)),
    "on disk": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
PARTNERS = {"digits": "photo-patches", "cifar10": "cifar100", "cifar100": "cifar10"}
DIGITS_TRAIN = 500  # of 1,797, stratified: few, so that the rest can tell networks apart
PATCHES = 500  # images of nothing, beside some 130 test digits of a class
HOLDOUT_SEED = 0  # the same images are held out of every run, whatever its own seed
CENTRE_CROP = 0.875  # evaluation crops this share of the shorter side, the usual 224 of 256

MODES = {1: ("L", "grey"), 3: ("RGB", "colour")}


@dataclass(frozen=True)
class Files(Sequence[Path]):
    """Many files of one folder by name, in one array: a million paths as objects are half a gigabyte in each worker.

    Attributes:
        folder: where they are.
        names: (n,) bytes, relative to the folder and encoded as the file system has it.
    """

    folder: Path
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        """One path by its number, or the files of a slice or an array of numbers."""
        found = self.names[index]
        return Files(self.folder, found) if isinstance(found, np.ndarray) else self.folder / os.fsdecode(found)


@dataclass(frozen=True)
class ImageSet:
    """Images with labels, in memory or on disk.

    Attributes:
        name: of the data set.
        labels: (n,) int64.
        classes: a name for each label.
        mean, std: by channel, 0 … 1, what the images are normalised with; see `normalised_as`.
        pixels: (n, C, H, W) uint8, or None when the images are on disk.
        files: n paths, when they are; None in memory.
        image_size: height and width; of the crop, when they are on disk.
    """

    name: str
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    pixels: Tensor | None = None
    files: Files | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        return len(self.mean)

    def subset(self, indices: Tensor | Sequence[int]) -> ImageSet:
        """The images of the given indices, in that order."""
        chosen = torch.as_tensor(indices)
        return replace(
            self,
            labels=self.labels[chosen],
            pixels=None if self.pixels is None else self.pixels[chosen],
            files=None if self.files is None else self.files[chosen.numpy()],
        )

    def normalised_as(self, mean: Sequence[float], std: Sequence[float]) -> ImageSet:
        """The same images under the constants of a network's training set, which a deployed network must use for all.

        It cannot know that an image is foreign; and a folder's test images, measured, have other constants.
        """
        return replace(self, mean=tuple(mean), std=tuple(std))

    def image(self, index: int) -> Image.Image:
        """One image as PIL, as it is stored."""
        if self.pixels is None:
            return read_image(self.files[index])
        array = self.pixels[index].permute(1, 2, 0).numpy()
        return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)

    def take(self, start: int, stop: int) -> Tensor:
        """(stop − start, C, H, W) uint8, as evaluation sees them: whole, or the centre crop of files."""
        if self.pixels is not None:
            return self.pixels[start:stop]
        return torch.stack([to_uint8(centre_crop(read_image(f), self.image_size)) for f in self.files[start:stop]])


def load_images(name: str, split: str, *, image_size: int = 0, root: Path | None = None, seed: int = 0) -> ImageSet:
    """One split of a data set.

    Args:
        name: "digits", "cifar10", "cifar100", or a folder under the data folder.
        split: "train" or "test".
        image_size: 0 keeps images of one size in memory as they are; otherwise they stay on disk, and
            training and evaluation crop them to this size.
        root: the data folder; by default data/raw, or CODED_RESNEXT_DATA.
        seed: of the digits' split, for they come without one: 500 training images, and the 1,297 others to test on.
            A run is trained and tested on the split of its own seed. Other sets have one split.
    Raises:
        ValueError: an image folder that is empty, has one class, or holds a file that is no image.
        FileNotFoundError: no such data set, saying where it is looked for.
    """
    if split not in ("train", "test"):
        raise Refused(f"split is 'train' or 'test', got {split!r}")
    root = root or paths.RAW
    if name == "digits":
        return _digits(split, seed)
    if name != Path(name).name or name in ("", ".", ".."):
        raise Refused(f"data set {name!r} must name a folder in {root}; set CODED_RESNEXT_DATA to its parent")
    folder = root / name / split
    if folder.is_dir():
        return _folder(name, folder, image_size)
    if name in ("cifar10", "cifar100"):
        return _torchvision_cifar(name, split, root)
    raise Missing(
        f"no data set {name!r}: there is no folder {folder}. Known names are digits, cifar10 and cifar100; "
        f"for another, make {root}/{name}/{{train,test}}/<class>/ with images in it"
    )


def out_of_distribution(name: str, *, root: Path | None = None) -> ImageSet | None:
    """Test images of no class of `name`, or None when it has no partner or the partner is not there."""
    partner = PARTNERS.get(name)
    if partner is None:
        return None
    if partner == "photo-patches":
        return _photo_patches()
    return load_images(partner, "test", root=root) if has_partner(name, root=root) else None  # nothing is downloaded


def has_partner(name: str, *, root: Path | None = None) -> bool:
    """Whether `out_of_distribution` has images, without reading them."""
    partner = PARTNERS.get(name)
    if partner in (None, "photo-patches"):
        return partner is not None
    root = root or paths.RAW
    archives = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}  # as torchvision unpacks them
    return (root / partner / "test").is_dir() or (root / archives[partner]).is_dir()


def split_holdout(images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet | None]:
    """Set `count` images aside, stratified by class: (what is trained on, what choices are made on).

    Raises:
        ValueError: fewer images than that, or not one for each class on both sides.
    """
    if count == 0:
        return images, None
    from sklearn.model_selection import train_test_split

    if not len(images.classes) <= count <= len(images) - len(images.classes):
        raise Refused(
            f"holdout must be 0 or leave each of {len(images.classes)} classes an image on both sides "
            f"of {len(images)}, got {count}"
        )
    kept, held = train_test_split(
        np.arange(len(images)), test_size=count, stratify=images.labels.numpy(), random_state=seed
    )
    return images.subset(np.sort(kept)), images.subset(np.sort(held))


def spread(images: ImageSet, count: int) -> ImageSet:
    """At most `count` of the images, at equal distances in the set, which is sorted by class or in no order."""
    return images.subset(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64))


def draw_per_class(images: ImageSet, count: int, rng: np.random.Generator) -> ImageSet:
    """`count` images of every class, drawn at random, in the order of the set.

    Never its first ones: image folders are sorted by what they show, and such a subset does not stand for its class.

    Raises:
        ValueError: a class with fewer images.
    """
    labels = images.labels.numpy()
    drawn = []
    for k, name in enumerate(images.classes):
        there = np.flatnonzero(labels == k)
        if len(there) < count:
            raise Refused(
                f"images_per_class is {count}, but class {name} of {images.name} has {len(there)} to train on"
            )
        drawn.append(rng.choice(there, count, replace=False))
    return images.subset(np.sort(np.concatenate(drawn)))


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (B, C, H, W) to float32: 0 … 1, less the mean, by the deviation of each channel; channels last."""
    shift, scale = (_on_device(tuple(values), pixels.device) for values in (mean, std))
    return ((pixels.float() / 255 - shift) / scale).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=16)
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants of the channels, (1, C, 1, 1); copied once, for a GPU is waited for at every copy."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)


def read_image(path: Path, mode: str | None = "RGB") -> Image.Image:
    """An image file, converted to a mode of Pillow's, or as it is.

    Raises:
        ValueError: naming the file, when it is no image.
    """
    try:
        with Image.open(path) as image:
            return image.convert(mode) if mode else image.copy()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise Refused(f"{path} is no image that Pillow can read ({error}): remove it or replace it") from error


def to_uint8(image: Image.Image) -> Tensor:
    """PIL to (C, H, W) uint8."""
    from torchvision.transforms.functional import pil_to_tensor

    return pil_to_tensor(image)


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """The middle of an image, resized (bicubic) to size × size, as evaluation sees images on disk."""
    side = min(image.size) * CENTRE_CROP
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def _measured(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of uint8 images, 0 … 1; four decimals, as published constants have."""
    values = pixels.transpose(0, 1).flatten(1).double() / 255
    return (
        tuple(round(v, 4) for v in values.mean(1).tolist()),
        tuple(max(round(v, 4), 1e-4) for v in values.std(1).tolist()),
    )


def images_drawn_to_test(name: str, seed: int) -> np.ndarray | None:
    """Which images of a whole data set a seed puts to the test, (n,) bool; None where all seeds share one test set."""
    return ~_digits_trained_on(seed) if name == "digits" else None


def _digits_trained_on(seed: int) -> np.ndarray:
    """Which of scikit-learn's digits are training images under a seed, held out or not, (1797,) bool."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    labels = load_digits().target
    train, _ = train_test_split(np.arange(len(labels)), train_size=DIGITS_TRAIN, stratify=labels, random_state=seed)
    return np.isin(np.arange(len(labels)), train)


def _digits(split: str, seed: int) -> ImageSet:
    from sklearn.datasets import load_digits

    bunch, train = load_digits(), _digits_trained_on(seed)
    pixels = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)  # stored as 0 … 16
    mean, std = _measured(pixels[train])
    chosen = train if split == "train" else ~train
    labels = torch.from_numpy(bunch.target[chosen].astype(np.int64))
    return ImageSet("digits", labels, tuple("0123456789"), mean, std, 8, pixels[chosen])


def _photo_patches() -> ImageSet:
    """Grey 8×8 tiles of scikit-learn's two sample photographs."""
    from sklearn.datasets import load_sample_images

    tiles = []
    for photo in load_sample_images().images:
        grey = np.array(Image.fromarray(photo).convert("L"))
        rows, columns = grey.shape[0] // 8, grey.shape[1] // 8
        tiles.append(grey[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8))
    every = np.concatenate(tiles)
    chosen = np.sort(np.random.default_rng(0).choice(len(every), PATCHES, replace=False))
    pixels = torch.from_numpy(every[chosen]).unsqueeze(1)
    mean, std = _measured(pixels)
    return ImageSet("photo-patches", torch.zeros(PATCHES, dtype=torch.int64), ("patch",), mean, std, 8, pixels)


def _folder(name: str, folder: Path, image_size: int) -> ImageSet:
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if len(classes) < 2:
        raise Refused(f"{folder} has {len(classes)} class folders, a classifier needs at least 2: <class>/<image>")
    names: list[bytes] = []
    counts: list[int] = []
    for class_name in classes:
        with os.scandir(folder / class_name) as entries:
            found = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
        if not found:
            raise Refused(f"class folder {folder / class_name} is empty: put images in it or remove it")
        names += [os.fsencode(f"{class_name}/{file}") for file in found]
        counts.append(len(found))
    files = Files(folder, np.array(names))
    targets = torch.arange(len(classes)).repeat_interleave(torch.tensor(counts))
    if image_size > 0:
        mean, std = CONSTANTS.get(name, CONSTANTS["on disk"])
        return ImageSet(name, targets, classes, mean, std, image_size, files=files)
    pixels = _read_all(files)
    mean, std = CONSTANTS.get(name) or _measured(pixels)
    return ImageSet(name, targets, classes, mean, std, pixels.shape[2], pixels)


def _read_all(files: Sequence[Path]) -> Tensor:
    first = read_image(files[0])
    if first.width != first.height:
        raise Refused(f"{files[0]} is {first.width}x{first.height}: set image_size to crop squares out of it")
    pixels = torch.empty(len(files), 3, first.height, first.width, dtype=torch.uint8)
    for i, file in enumerate(files):
        image = read_image(file)
        if image.size != first.size:
            raise Refused(
                f"{file} is {image.width}x{image.height}, {files[0].name} is {first.width}x{first.height}: "
                "images in memory have one size; set image_size to resize them as they are read"
            )
        pixels[i] = to_uint8(image)
    return pixels


def _torchvision_cifar(name: str, split: str, root: Path) -> ImageSet:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    try:
        raw = _read_or_download(kind, name, split == "train", root)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a damaged archive is a RuntimeError
        raise Missing(
            f"{name} is not there and could not be downloaded ({error}). Put its archive's folder into {root}, "
            f"or images into {root / name / split}/<class>/"
        ) from error
    pixels = torch.from_numpy(raw.data).permute(0, 3, 1, 2).contiguous()
    mean, std = CONSTANTS[name]
    return ImageSet(name, torch.tensor(raw.targets), tuple(raw.classes), mean, std, 32, pixels)


def _read_or_download(kind: Callable[..., Any], name: str, train: bool, root: Path) -> Any:
    """One process downloads while others that were started beside it wait, instead of writing the same files."""
    try:
        return kind(str(root), train=train, download=False)
    except RuntimeError:  # not there, or not whole
        print(f"{name}: not in {root}, so torchvision downloads it", file=sys.stderr, flush=True)
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            return kind(str(root), train=train, download=True)


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
