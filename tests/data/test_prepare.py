"""From a PIL image to what a network reads: modes, EXIF, sizes; and tensors that were prepared otherwise."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, features

from coded_resnext.data.prepare import Preparation, read_image, upright

COLOUR = Preparation(32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.25))
GREY = Preparation(8, (0.3,), (0.4,))
ORIENTATION = 0x0112


@pytest.fixture
def picture():
    """Smooth, so that lossy files and palettes keep it."""
    y, x = np.mgrid[0:32, 0:32]
    return Image.fromarray(np.stack([8 * x, 8 * y, 4 * (x + y)], 2).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "YCbCr"])
def test_every_mode_is_the_same_picture(mode, picture):
    converted = picture.quantize(256) if mode == "P" else picture.convert(mode)
    found, expected = COLOUR(converted), COLOUR(picture)
    assert found.shape == (1, 3, 32, 32)
    assert (found - expected).abs().mean() < 0.15  # of some 5: a palette of 256 colours


@pytest.mark.parametrize("format", ["GIF", "WEBP", "AVIF", "TIFF", "BMP", "JPEG"])
def test_every_format_is_the_same_picture(format, picture, tmp_path):
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / "picture"
    picture.save(path, format)
    assert (COLOUR(read_image(path)) - COLOUR(picture)).abs().mean() < 0.3  # lossy


def test_sixteen_bits_are_scaled_and_not_clipped(picture):
    grey = np.asarray(picture.convert("L"))
    for values in (grey.astype(np.uint16) * 257, grey.astype(np.int32) * 257, grey.astype(np.float32) / 255):
        assert np.array_equal(np.asarray(upright(Image.fromarray(values), "L")), grey)
    with pytest.raises(ValueError, match="grey values of"):
        upright(Image.fromarray(grey.astype(np.float32) - 300), "L")


def test_photographs_are_upright(picture):
    turned = picture.rotate(90, expand=True)  # what a camera stores that was held on its side
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    assert np.array_equal(np.asarray(upright(Image.open(file), "RGB")), np.asarray(picture))


def test_transparent_pixels_are_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert np.asarray(upright(image, "L")).min() == 255
    palette = Image.new("P", (4, 4))
    palette.info["transparency"] = 0
    assert np.asarray(upright(palette, "RGB")).min() == 255


def test_another_size_is_the_middle_square():
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = 200
    square = np.asarray(COLOUR.square(Image.fromarray(wide)))
    assert np.unique(square[:, 2:-2]).tolist() == [200]  # the outermost have a little of their neighbours
    assert COLOUR([Image.new("L", (3, 500)), Image.new("RGB", (32, 32))]).shape == (2, 3, 32, 32)
    for wrong in ([], [np.zeros((32, 32, 3))]):
        with pytest.raises(ValueError, match="takes a PIL image or a list"):
            COLOUR(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], r"reads \(B, 3, 32, 32\), got \(3, 32, 32\)"),
        (lambda x: x[:, :1], r"got \(2, 1, 32, 32\)"),
        (lambda x: x.repeat(1, 1, 7, 7), "trained on 32x32 images, got 224x224"),
        (lambda x: x.byte(), "reads normalised floats, got torch.uint8"),
        (lambda x: (x - x.min()) / (x.max() - x.min()), "look like 0 … 1, not normalised"),
        (lambda x: (255 * (x - x.min()) / (x.max() - x.min())), "look like 0 … 255"),
        (lambda x: (x.clamp(0, 0.3) * 255).round() / 255, "look like 0 … 1, not normalised"),
        (lambda x: (x.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1, "look like -1 … 1, scaled otherwise"),
    ],
)
def test_tensors_that_were_not_prepared_are_refused(change, message, picture):
    x = COLOUR([picture, picture])
    assert COLOUR.check(x) is COLOUR.check_values(x) is None
    with pytest.raises(ValueError, match=message):
        COLOUR.check_values(changed) if COLOUR.check(changed := change(x)) is None else None


def test_what_may_be_meant_is_doubted(picture):
    x = COLOUR(picture)
    assert "got 40x40" in COLOUR.check(torch.nn.functional.interpolate(x, 40))
    assert "within 0 … 1" in COLOUR.check_values(x.clamp(0.1, 0.4))
    assert "are no image's" in COLOUR.check_values(255 * x)
    for fine in (torch.zeros(1, 1, 8, 8), torch.randn(64, 1, 8, 8), torch.full((1, 1, 8, 8), torch.nan)):
        assert GREY.check(fine) is GREY.check_values(fine) is None
