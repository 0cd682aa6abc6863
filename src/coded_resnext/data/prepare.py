"""How an image becomes what a network reads: the same in training, evaluation, `predict`, subnetworks and ONNX files.

An image is turned upright as its camera noted, converted to grey or colour, cropped to its middle square, resized with
antialiasing where it has another size, and normalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..descriptions import typed_as
from ..errors import CheckpointError, Missing, Refused

MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels
CENTRE_CROP = 0.875  # evaluation crops this share of the shorter side, the usual 224 of 256
PAPER = "white"  # what shows through transparent pixels, as in a viewer


@dataclass(frozen=True)
class Preparation:
    """What turns images into what one network was trained on.

    Attributes:
        image_size: height and width.
        mean, std: by channel, 0 … 1.
        crop: whether CENTRE_CROP of the shorter side is taken, as of images on disk; else images of the trained size
            are taken as they are, and of others the whole middle square.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any], source: str = "data") -> Preparation:
        """From the `data` of a checkpoint, a card or a manifest.

        Raises:
            CheckpointError: naming `source`, for what images cannot be prepared by.
        """
        made = typed_as(cls, data, source, "it does not say how images are prepared", CheckpointError)
        finite = all(map(math.isfinite, (*made.mean, *made.std)))
        if made.image_size < 1 or made.channels not in MODES or len(made.std) != made.channels or not finite \
                or min(made.std) <= 0:
            raise CheckpointError(
                f"{source} does not say how images are prepared: image_size {made.image_size}, mean {made.mean}, "
                f"std {made.std}"
            )
        return made

    @property
    def channels(self) -> int:
        return len(self.mean)

    def __call__(self, images: Image.Image | Sequence[Image.Image]) -> Tensor:
        """One PIL image or several to (B, C, H, W), normalised float32.

        Raises:
            ValueError: what is no PIL image, or a mode that has no meaning as grey or colour.
        """
        several = [images] if isinstance(images, Image.Image) else list(images)
        for image in several:
            if not isinstance(image, Image.Image):
                raise Refused(f"preprocess takes a PIL image or a list of them, got {type(image).__name__}")
        if not several:
            raise Refused("preprocess takes a PIL image or a list of them, got an empty list")
        pixels = torch.stack([to_uint8(self.square(image)) for image in several])
        return normalise(pixels, self.mean, self.std)

    def square(self, image: Image.Image) -> Image.Image:
        """An image upright, in the mode and at the size that the network reads."""
        image = upright(image, MODES[self.channels])
        if self.crop:
            return centre_crop(image, self.image_size)
        if image.size == (self.image_size, self.image_size):
            return image
        return centre_crop(image, self.image_size, 1.0)

    def range(self) -> tuple[float, float]:
        """The lowest and highest value that a normalised image can have."""
        pairs = list(zip(self.mean, self.std, strict=True))
        return min(-m / s for m, s in pairs), max((1 - m) / s for m, s in pairs)

    def check(self, x: Tensor) -> str | None:
        """Refuse a tensor that is no batch of prepared images; returns a warning where it may be meant.

        Raises:
            ValueError: another shape or number of channels, more than twice or less than half the trained size, or
                values that are surely not normalised: 0 … 255, −1 … 1 or 0 … 1 in so many steps, or of full contrast.
        """
        how = "model.preprocess(PIL image) makes what it reads"
        size, channels = self.image_size, self.channels
        if x.ndim != 4 or x.shape[1] != channels:
            raise Refused(f"this network reads (B, {channels}, {size}, {size}), got {tuple(x.shape)}: {how}")
        if not x.is_floating_point():
            raise Refused(f"this network reads normalised floats, got {x.dtype}: {how}")
        height, width = x.shape[2:]
        if max(height, width) > 2 * size or 2 * min(height, width) < size:
            raise Refused(f"this network was trained on {size}x{size} images, got {height}x{width}: {how}")
        return None if (height, width) == (size, size) else f"trained on {size}x{size} images, got {height}x{width}"

    def check_values(self, x: Tensor) -> str | None:
        """The same of the values of a tensor, which a GPU has to be waited for."""
        low, high = (float(value) for value in x.detach().aminmax()) if x.numel() else (0.0, 0.0)
        if not low < high:  # one value throughout, or no numbers: nothing can be told
            return None
        needs = f"{self.range()[0]:.2f} … {self.range()[1]:.2f} after normalising"
        how = "model.preprocess(PIL image) normalises"
        if low >= 0 and (high > FAR * max(map(abs, self.range())) or (high > 1 and _whole(x))):
            raise Refused(f"the images look like 0 … 255 ({low:g} … {high:g}), the network reads {needs}: {how}")
        if low >= 0 and high <= 1:
            if high - low > CONTRAST or _whole(x * 255):
                raise Refused(f"the images look like 0 … 1, not normalised, the network reads {needs}: {how}")
            return f"all values are within 0 … 1, as of images that are not normalised; the network reads {needs}"
        beyond = min(map(abs, self.range())) > 1  # only a mean and a deviation of a half make −1 … 1 of an image
        if beyond and low >= -1 and high <= 1 and _whole(255 * (x + 1) / 2):
            raise Refused(f"the images look like -1 … 1, scaled otherwise, the network reads {needs}: {how}")
        if max(-low, high) > FAR * max(map(abs, self.range())):
            return f"values of {low:g} … {high:g} are no image's; the network reads {needs}"
        return None


CONTRAST = 0.5  # of a normalised image that lies within 0 … 1 by chance, less: it is brighter than the mean throughout
FAR = 10  # times the largest normalised value: brighter is no image, noise from a normal distribution is less


def _whole(x: Tensor) -> bool:
    """Whether all values are whole numbers, but for rounding."""
    return bool((x - x.round()).abs().max() < 1e-3)


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (B, C, H, W) to float32: 0 … 1, less the mean, by the deviation of each channel; channels last."""
    shift, scale = (_on_device(tuple(values), pixels.device) for values in (mean, std))
    return ((pixels.float() / 255 - shift) / scale).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=16)
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Constants of the channels, (1, C, 1, 1); copied once, for a GPU is waited for at every copy."""
    return torch.tensor(values, device=device).view(1, -1, 1, 1)


def upright(image: Image.Image, mode: str) -> Image.Image:
    """An image as a viewer shows it, in Pillow's mode "L" or "RGB".

    It is turned as its EXIF orientation says. Of an animation the first frame counts. 16-bit grey is scaled, not
    clipped; floats of 0 … 1 or 0 … 255 are taken as such. Transparent pixels show white.

    Raises:
        ValueError: grey values that are neither.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, PAPER), over)
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 bits, 32 bits or floats of grey to 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and high > 255):
        limit = 65535
    elif image.mode == "F" and high <= 1:
        limit = 1
    else:
        limit = 255
    if not 0 <= low <= high <= limit:
        raise Refused(f"grey values of {low:g} … {high:g} (mode {image.mode}) are no image: scale them to 0 … 65535")
    return Image.fromarray(np.rint(values * (255 / limit)).astype(np.uint8))


def read_image(path: Path, mode: str | None = "RGB") -> Image.Image:
    """An image file, upright and in a mode of Pillow's, see `upright`; or as it is stored, for None.

    Raises:
        FileNotFoundError: no such file.
        ValueError: naming the file, when it is no image.
    """
    if not path.is_file():
        raise Missing(f"there is no image {path}")
    try:
        with Image.open(path) as image:
            if mode is None:
                return image.copy()
            turned = upright(image, mode)
            return image.copy() if turned is image else turned
    except Refused as error:
        raise Refused(f"{path}: {error}") from error
    except Image.DecompressionBombError as error:
        raise Refused(f"{path} is too large an image ({error})") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise Refused(f"{path} is no image that Pillow can read ({error}): remove it or replace it") from error


def to_uint8(image: Image.Image) -> Tensor:
    """PIL to (C, H, W) uint8."""
    from torchvision.transforms.functional import pil_to_tensor

    return pil_to_tensor(image)


def centre_crop(image: Image.Image, size: int, share: float = CENTRE_CROP) -> Image.Image:
    """The middle of an image, resized (bicubic) to size × size, as evaluation sees images on disk.

    Args:
        share: of the shorter side that is taken.
    """
    side = min(image.size) * share
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
