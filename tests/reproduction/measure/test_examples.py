"""Example images of early records."""

import base64
import io

import torch
from PIL import Image

from coded_resnext.data.sets import ImageSet
from coded_resnext.reproduction.measure.examples import LARGEST, _png, _without_people


def test_nobody_is_shown():
    labels = torch.tensor([0, 1, 2, 1, 0])
    pixels = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)
    images = ImageSet("cifar100", labels, ("apple", "woman", "wolf"), (0.5,), (0.5,), 2, pixels)
    assert _without_people(images).tolist() == [0, 2, 4]


def test_pictures_are_small_and_whole():
    with Image.open(io.BytesIO(base64.b64decode(_png(Image.new("RGB", (640, 320), "red"))))) as picture:
        assert picture.size == (LARGEST, LARGEST // 2)
        assert picture.getpixel((0, 0)) == (255, 0, 0)
    with Image.open(io.BytesIO(base64.b64decode(_png(Image.new("L", (8, 8), 7))))) as picture:
        assert (picture.size, picture.getpixel((3, 3))) == ((8, 8), 7)
