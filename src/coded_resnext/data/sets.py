"""Data sets by name, and the out-of-distribution partner of each (section 4).

`digits` comes with scikit-learn; `cifar10` and `cifar100` are downloaded by torchvision unless an image
folder is there; every other name is an image folder. An image folder is

    <data folder>/<name>/{train,test}/<class>/<image>

or, by its path or a name that `paths.remember` has given it, whatever folders.py can read. Small images live in memory
as uint8. Images of several sizes stay on disk and are resized when read.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from .. import paths
from ..errors import Missing, Refused
from .folders import FOREIGN, SHOWN, TEST_SHARE, Layout, class_folders, find_layout, image_files, say_strays
from .prepare import Preparation, centre_crop, read_image, to_uint8
from .prepare import normalise as normalise

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
SPLIT_SEED = 0  # of a folder without test images
LEAST = 3  # images of a class in such a folder: one trained on, one held out, one tested
HOLDOUT_SEED = 0  # the same images are held out of every run, whatever its own seed


@dataclass(frozen=True)
class Files(Sequence[Path]):
    """Many files of one folder by name, in one array: a million paths as objects are half a gigabyte in each worker.

    Attributes:
        folder: where they are.
        names: (n,) bytes, relative to the folder and encoded as the file system has it.
    """

    folder: Path
    names: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Files:
        """From paths, which share a folder."""
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        return cls(folder, np.array([os.fsencode(path.relative_to(folder)) for path in paths]))

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
        if not len(chosen):  # of which torch makes floats
            chosen = chosen.long()
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
        name: "digits", "cifar10", "cifar100", a folder under the data folder, or the path of an image folder anywhere,
            see folders.py.
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
    if folder := image_folder(name, root):
        return _folder(folder.resolve().name if _is_path(name) else name, *split_folder(folder, split), image_size)
    if name in ("cifar10", "cifar100"):
        return _torchvision_cifar(name, split, root)
    raise Missing(
        f"no data set {name!r}: there is no folder {root / name}. Known names are digits, cifar10 and cifar100; "
        f"for another, make {root}/{name}/{{train,test}}/<class>/ with images in it, or give the path of a folder"
    )


def image_folder(name: str, root: Path) -> Path | None:
    """The image folder that a data set's name stands for, in `root` or remembered, or that it is the path of; or None.

    Raises:
        ValueError: a path where no folder is.
    """
    if _is_path(name):
        if not name or not Path(name).is_dir():
            raise Refused(
                f"data set {name!r} is no folder: give the path of an image folder, or a name in {root}, which "
                f"CODED_RESNEXT_DATA moves"
            )
        return Path(name)
    folder = root / name if (root / name).is_dir() else paths.recall("data", name)
    return folder if folder is not None and folder.is_dir() else None


def _is_path(name: str) -> bool:
    return name != Path(name).name or name in ("", ".", "..")


def out_of_distribution(name: str, *, image_size: int, crop: bool, root: Path | None = None) -> ImageSet | None:
    """Test images of no class of `name`: what its folder has as foreign/, else its partner's; None without either.

    Args:
        image_size: of the network that is to see them: images in foreign/ may have any size.
        crop: how it has its own cut, see `Preparation`: foreign ones must not differ by that.
    """
    root = root or paths.RAW
    if folder := foreign_folder(name, root):
        files, strays = image_files(folder)
        if not files:
            raise Refused(f"{folder} has no image of no class: put some in it or remove it")
        say_strays(folder, strays)
        labels, constants = torch.zeros(len(files), dtype=torch.int64), CONSTANTS["on disk"]
        images = ImageSet(folder.name, labels, (folder.name,), *constants, image_size, files=Files.of(files))
        if crop:
            return images
        square = Preparation(image_size, *constants).square
        return replace(images, files=None, pixels=torch.stack([to_uint8(square(read_image(file))) for file in files]))
    partner = PARTNERS.get(name)
    if partner is None:
        return None
    if partner == "photo-patches":
        return _photo_patches()
    return load_images(partner, "test", root=root) if has_partner(name, root=root) else None  # nothing is downloaded


def has_partner(name: str, *, root: Path | None = None) -> bool:
    """Whether `out_of_distribution` has images, without reading them."""
    root = root or paths.RAW
    partner = PARTNERS.get(name)
    if foreign_folder(name, root) or partner == "photo-patches":
        return True
    if partner is None:
        return False
    archives = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}  # as torchvision unpacks them
    return (root / partner / "test").is_dir() or (root / archives[partner]).is_dir()


def foreign_folder(name: str, root: Path) -> Path | None:
    """The folder of images of no class that an image folder has beside its training and test images."""
    folder = image_folder(name, root)
    if folder is None or not any(entry.name.lower() == FOREIGN for entry in folder.iterdir()):
        return None
    return find_layout(folder).foreign


def split_holdout(images: ImageSet, count: int, seed: int) -> tuple[ImageSet, ImageSet | None]:
    """Set `count` images aside, stratified by class: (what is trained on, what choices are made on).

    Every class has an image on both sides, also one that is so rare that its share would be none.

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
    counts = images.labels.bincount(minlength=len(images.classes)).tolist()
    if (few := min(counts)) < 2:
        name = images.classes[counts.index(few)]
        raise Refused(f"class {name} of {images.name} has {few} training image: holding out needs two of each class")
    kept, held = train_test_split(
        np.arange(len(images)), test_size=count, stratify=images.labels.numpy(), random_state=seed
    )
    labels = images.labels.numpy()
    _one_of_each(labels, kept, held)
    _one_of_each(labels, held, kept)
    return images.subset(np.sort(kept)), images.subset(np.sort(held))


def _one_of_each(labels: np.ndarray, lacking: np.ndarray, other: np.ndarray) -> None:
    """Give one side an image of each class that it has none of, for one of its most frequent class; both in place."""
    for k in np.setdiff1d(labels, labels[lacking]):
        theirs = np.flatnonzero(labels[other] == k)[0]
        ours = np.flatnonzero(labels[lacking] == np.bincount(labels[lacking]).argmax())[0]
        lacking[ours], other[theirs] = other[theirs], lacking[ours]


def check_classes(images: ImageSet, trained: Sequence[str], what: str) -> None:
    """Refuse images whose labels mean other classes than a network was trained on: its folder was changed since.

    Raises:
        ValueError: naming the first class that differs; `what` is the run or the network.
    """
    now, then = list(images.classes), list(trained)
    if now != then:
        first, was = next(pair for pair in itertools.zip_longest(now, then, fillvalue="none") if pair[0] != pair[1])
        raise Refused(
            f"{images.name} has {len(now)} classes now, {what} was trained on {len(then)}; the first that differs is "
            f"{first}, and was {was}: train it again, or put the classes back"
        )


def other_classes(train: Sequence[str], test: Sequence[str]) -> str:
    """Which classes training and test images do not share, in words; empty where they are the same."""
    sides = (("train", [c for c in train if c not in test]), ("test", [c for c in test if c not in train]))
    differing = [f"{', '.join(only)} only in {side}" for side, only in sides if only]
    return f"the test images have other classes than the training images: {'; '.join(differing)}" if differing else ""


def spread(images: ImageSet, count: int) -> ImageSet:
    """At most `count` of the images, at equal distances in the set, which is sorted by class or in no order."""
    return images.subset(spread_indices(len(images), count))


def spread_indices(total: int, count: int) -> np.ndarray:
    """At most `count` of `total` indices, at equal distances."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)


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


def split_folder(folder: Path, split: str) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Files, labels and class names of one split of an image folder.

    Raises:
        ValueError: fewer than two classes, one without images, or with too few of them to be split.
    """
    layout = _layout(folder, split)
    place = layout.test if split == "test" and layout.test else layout.train
    folders = class_folders(place)
    if len(folders) < 2:
        raise Refused(f"{place} has {len(folders)} class folders, a classifier needs at least 2: <class>/<image>")
    files: list[Path] = []
    labels: list[int] = []
    strays = [entry for entry in sorted(place.iterdir()) if entry not in folders]
    for label, class_folder in enumerate(folders):
        found, no_images = image_files(class_folder)
        strays += no_images
        if not found:
            raise Refused(f"class folder {class_folder} is empty: put images in it or remove it")
        files += found
        labels += [label] * len(found)
    say_strays(place, strays)
    if layout.test is None:
        files, labels = _part_of(files, labels, split, folder)
    return files, labels, tuple(entry.name for entry in folders)


def _layout(folder: Path, split: str) -> Layout:
    """As `find_layout`; a folder of one split will do where that is the one, as of another set's test images."""
    try:
        return find_layout(folder)
    except Refused:
        alone = folder / split
        if alone.is_dir():
            return Layout(alone, alone)
        raise


def _part_of(files: list[Path], labels: list[int], split: str, folder: Path) -> tuple[list[Path], list[int]]:
    """The training or the test images of a flat folder: of every class TEST_SHARE are tested, and one at least."""
    test: set[int] = set()
    for label, rows in enumerate(np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1)):
        if len(rows) < LEAST:
            raise Refused(
                f"class {files[rows[0]].relative_to(folder).parts[0]} of {folder} has {len(rows)} images, a folder "
                f"that is to be split needs at least {LEAST} a class: to be trained on, held out and tested"
            )
        count = max(1, round(TEST_SHARE * len(rows)))
        test.update(np.random.default_rng((SPLIT_SEED, label)).choice(rows, count, replace=False).tolist())
    chosen = [i for i in range(len(files)) if (i in test) == (split == "test")]
    return [files[i] for i in chosen], [labels[i] for i in chosen]


def _folder(
    name: str, files: list[Path], labels: list[int], classes: tuple[str, ...], image_size: int
) -> ImageSet:
    targets = torch.tensor(labels)
    if image_size > 0:
        mean, std = CONSTANTS.get(name, CONSTANTS["on disk"])
        return ImageSet(name, targets, classes, mean, std, image_size, files=Files.of(files))
    pixels = _read_all(files)
    mean, std = CONSTANTS.get(name) or _measured(pixels)
    return ImageSet(name, targets, classes, mean, std, pixels.shape[2], pixels)


def _read_all(files: Sequence[Path]) -> Tensor:
    """All files, of one size; those that are no images are named together, so that one look mends the folder."""
    pixels, first, broken = torch.empty(0), files[0], list[str]()
    for i, file in enumerate(files):
        try:
            image = read_image(file)
        except Refused as error:
            broken.append(str(error))
            continue
        if len(pixels) == 0:
            first, size = file, image.size
            if image.width != image.height:
                raise Refused(f"{file} is {image.width}x{image.height}: set image_size to crop squares out of it")
            pixels = torch.empty(len(files), 3, image.height, image.width, dtype=torch.uint8)
        if image.size != size:
            raise Refused(
                f"{file} is {image.width}x{image.height}, {first.name} is {size[0]}x{size[1]}: "
                "images in memory have one size; set image_size to resize them as they are read"
            )
        pixels[i] = to_uint8(image)
    if broken:
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise Refused("; ".join(broken[:SHOWN]) + more)
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
