"""The data of pages that nobody has to train for: shipped weights, drawn images, and any number of classes."""

import copy
import itertools

import numpy as np
import torch

from coded_resnext import CodedResNeXt, CodingScheme
from coded_resnext.data.sets import ImageSet
from coded_resnext.explorer.measure import Subject, describe, open_subject
from coded_resnext.explorer.pictures import FOREIGN, Pictures
from coded_resnext.training.checkpoint import Checkpoint, Description

HOSTILE = (
    "</script><script>document.title='taken'</script>", "<img src=x onerror=document.title='taken'>", "&amp;", '"\'`',
    "a\u2028b\u2029c", "__proto__", "$data", "-->", "a very long name " * 8, "猫",
)  # fmt: skip


def drawn(subject: Subject, labels) -> Pictures:
    """Stripes and blobs, the same every time."""
    side = subject.data["image_size"]
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / side
    waves = [np.sin(6.3 * (a * rows + b * columns + c)) for a, b, c in rng.uniform(-3, 3, (3 * len(labels), 3))]
    pixels = torch.from_numpy((127 + 120 * np.stack(waves)).astype(np.uint8)).view(len(labels), 3, side, side)
    images = ImageSet(
        "drawn", torch.tensor(labels), tuple(subject.data["classes"]), tuple(subject.data["mean"]),
        tuple(subject.data["std"]), side, pixels,
    )  # fmt: skip
    folders = tuple("elsewhere" if label == FOREIGN else subject.data["classes"][label] for label in labels)
    return Pictures(images, folders, "drawn images", len(labels))


def shipped_data() -> dict:
    """Of cifar10-small: its record and calibration give the page its thresholds."""
    subject = open_subject("cifar10-small")
    return describe(subject, drawn(subject, [k for k in range(10) for _ in range(4)] + [FOREIGN, FOREIGN]))


def hostile_data(data: dict) -> dict:
    """The same with class names that would be markup."""
    hostile = copy.deepcopy(data)
    hostile["classes"] = list(HOSTILE)
    hostile["network"]["name"] = HOSTILE[0]
    for image in hostile["images"]:
        image["folder"] = HOSTILE[1]
    return hostile


def untrained_data(num_classes: int, num_branches: int, num_active: int, per_class: int) -> dict:
    """Of a network for so many classes that has learned nothing."""
    torch.manual_seed(0)
    every = np.array(list(itertools.islice(itertools.combinations(range(num_branches), num_active), 20 * num_classes)))
    words = np.zeros((num_classes, num_branches), dtype=int)
    np.put_along_axis(words, np.random.default_rng(0).choice(every, num_classes, replace=False), 1, axis=1)
    scheme = CodingScheme(words)  # any distinct words: a designed scheme takes seconds and shows nothing more
    model = CodedResNeXt([1, 1, 1], num_classes, num_branches, 2, width=4, schemes={"layer2": scheme, "layer3": scheme})
    names = [f"class {k:03d}" for k in range(num_classes)]
    about = {"name": "drawn", "classes": names, "image_size": 16, "mean": [0.5] * 3, "std": [0.25] * 3, "crop": False}
    parameters = {"preset": "drawn", "name": "coded-s0", "image_size": 0}
    checkpoint = Checkpoint(None, Description(parameters, model.options, {}, about), "")
    subject = Subject("drawn", checkpoint, model.eval(), about)
    labels = [k for k in range(num_classes) for _ in range(per_class)]
    return describe(subject, drawn(subject, labels))
