"""What the processes on one card share: images that are read once, and the form of the convolutions."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from strips import in_order
from torch import Tensor

from coded_resnext.data.sets import CONSTANTS, PARTNERS, ImageSet, has_partner
from coded_resnext.network import forms
from coded_resnext.network.model import CodedResNeXt
from coded_resnext.reproduction.measure.ship import file_weights
from coded_resnext.reproduction.measure.stages import evaluate_run
from coded_resnext.reproduction.records.presets import EvaluationParameters
from coded_resnext.reproduction.records.records import read_record
from coded_resnext.training import epochs, fit
from coded_resnext.training import run as trained
from coded_resnext.training.checkpoint import load_checkpoint, run_folder, shipped_checkpoint

LIGHT = ("accuracy", "early", "binary", "specialisation")  # seconds each, "subnetworks" and "exits" a minute
STAGES_HERE = (*LIGHT, "subnetworks", "exits")


def read_images(data_sets: set[str]) -> None:
    """Read these data sets now, from their strips; all runs of this process and of those forked from it share them.

    Decoding strips takes a tenth of the time that reading their images' files does.
    """
    strips = Path(os.environ["GPU_STRIPS"])
    read = functools.lru_cache(lambda name, split: image_set(strips, name, split))
    # No seed draws the split of an image folder, and CIFAR's images have one size.
    fit.load_images = trained.load_images = lambda name, split, *, image_size=0, seed=0: read(name, split)
    trained.out_of_distribution = lambda name, *, image_size, crop: (
        read(PARTNERS[name], "test") if has_partner(name) else None
    )
    for name in sorted(data_sets):
        read(name, "train")
        read(name, "test")
        if has_partner(name):
            read(PARTNERS[name], "test")


def image_set(strips: Path, name: str, split: str) -> ImageSet:
    """What `load_images` gives for the image folder that these strips are of."""
    found = in_order(strips / name / split)
    classes = [torch.cat([pixels_of(path) for path in paths]) for paths in found.values()]
    pixels = torch.cat(classes)
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(images) for images in classes]))
    return ImageSet(name, labels, tuple(found), *CONSTANTS[name], pixels.shape[-1], pixels)


def pixels_of(path: Path) -> Tensor:
    """The images of one strip, (n, 3, H, W) uint8."""
    with Image.open(path) as strip:
        array = np.array(strip.convert("RGB"))
    side = array.shape[1]
    return torch.from_numpy(array).view(-1, side, side, 3).permute(0, 3, 1, 2).contiguous()


def same_forms() -> None:
    """Let all processes take the form that one of them measured, so that a graph is compiled once for all."""
    measured = forms.use_faster_form

    def use_same_form(
        model: CodedResNeXt, image_size: int, batch_size: int, precision: object, *, backward: bool
    ) -> str:
        key = f"{model.num_branches}x{model.layer1[0].branch_width}-{batch_size}-{precision}-{backward}"
        path = Path(os.environ.get("GPU_LOGS", ".")) / f"form-{key}"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_text(measured(model, image_size, batch_size, precision, backward=backward))
        form = path.read_text()
        forms.use_form(model, form)
        return form

    epochs.use_faster_form = trained.use_faster_form = use_same_form


def evaluate_stages(preset: str, run: str, stages: Iterable[str]) -> Iterator[tuple[str, float]]:
    """File a run's weights and make what its records of these stages lack; names each stage and its seconds."""
    checkpoint = load_checkpoint(run_folder(preset, run))
    if checkpoint is None:
        checkpoint = shipped_checkpoint(f"{preset}-{run}")
    else:
        file_weights(preset, run)
    for stage in stages:
        if stage == "exits" and not checkpoint.description.parameters["holdout"]:
            continue  # nothing to calibrate with
        begun = time.perf_counter()
        if evaluate_run(stage, run, checkpoint, EvaluationParameters(preset), read_record(preset, stage, run)):
            yield stage, time.perf_counter() - begun
