"""Image folders drawn for tests: shapes that a small network learns in seconds."""

import colorsys
import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDES = (3, 4, 5, 6, 8, 12, 40)
ORIENTATION = 0x0112


def shape(kind, size, rng, colour="white", ground="black"):
    """A polygon of a number of sides, hollow from 100 on; turned, placed and scaled at random."""
    large = 4 * size
    image = Image.new("RGB", (large, large), ground)
    sides, hollow = kind % 100, kind >= 100
    radius = large * rng.uniform(0.25, 0.42)
    middle = large / 2 + rng.uniform(-0.08, 0.08, 2) * large
    angles = rng.uniform(0, 2 * math.pi) + np.arange(sides) * 2 * math.pi / sides
    points = [(middle[0] + radius * math.cos(a), middle[1] + radius * math.sin(a)) for a in angles]
    ImageDraw.Draw(image).polygon(points, fill=None if hollow else colour, outline=colour, width=large // 12)
    return image.resize((size, size), Image.Resampling.BOX)


def clothes(folder: Path, per_class=40, test=8):
    """Seven classes of grey images of 28 pixels, train/ and test/."""
    rng = np.random.default_rng(0)
    for split, count in (("train", per_class), ("test", test)):
        for sides in SIDES:
            place = folder / split / f"{sides} sides"
            place.mkdir(parents=True)
            for i in range(count):
                shape(sides, 28, rng).convert("L").save(place / f"{i}.png")
    return folder


def signs(folder: Path, per_class=12):
    """Forty-three classes in a flat folder: shapes in colours, of odd sizes and modes."""
    rng = np.random.default_rng(1)
    kinds = [(sides, hue) for hue in range(7) for sides in SIDES][:43]
    for k, (sides, hue) in enumerate(kinds):
        place = folder / f"{k:02d}"
        place.mkdir(parents=True)
        colour = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue / 7, 0.9, 0.9))
        for i in range(per_class):
            image = shape(sides, int(rng.integers(24, 60)), rng, colour)
            image.convert(("RGB", "RGBA", "P", "CMYK")[i % 4] if i % 4 < 3 else "RGB").save(place / f"{i}.PNG")
    return folder


def photographs(folder: Path, per_class=15):
    """Three classes of photographs: odd sizes, formats and modes, on their side by EXIF, names of all kinds; val/."""
    rng = np.random.default_rng(2)
    names = {"l'été $5": "green", "猫": "orange", 'a "quoted" name that is rather long for a figure': "blue"}
    for split, count in (("train", per_class), ("val", 4)):
        for name, colour in names.items():
            place = folder / split / name / "roll 1"
            place.mkdir(parents=True)
            for i in range(count):
                width, height = (int(side) for side in rng.integers(90, 240, 2))
                noise = Image.fromarray(rng.integers(0, 90, (height, width, 3), np.uint8))
                side = min(width, height)
                noise.paste(shape(40, side, rng, colour), ((width - side) // 2, (height - side) // 2))
                exif, file = Image.Exif(), io.BytesIO()
                if i % 3 == 0:
                    exif[ORIENTATION] = 6
                    noise = noise.rotate(90, expand=True)
                noise.save(file, ("JPEG", "PNG", "WEBP")[i % 3], exif=exif)
                (place / f"IMG {i} 'x'.{('jpg', 'PNG', 'webp')[i % 3]}").write_bytes(file.getvalue())
            (place / "Thumbs.db").write_bytes(b"no image")
    return folder
