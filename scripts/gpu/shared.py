"""What the processes on one card share: images that are read once, and the form of the convolutions."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from coded_resnext.data.sets import has_partner, load_images, out_of_distribution
from coded_resnext.network import forms
from coded_resnext.network.model import CodedResNeXt
from coded_resnext.reproduction.measure.ship import file_weights
from coded_resnext.reproduction.measure.stages import evaluate_run
from coded_resnext.reproduction.records.presets import EvaluationParameters
from coded_resnext.training import epochs, fit
from coded_resnext.training import run as trained
from coded_resnext.training.checkpoint import load_checkpoint, run_folder, shipped_checkpoint

STAGES_HERE = ("accuracy", "early", "binary", "specialisation", "subnetworks", "exits")


def read_images(data_sets: set[str]) -> None:
    """Read these data sets now; all runs of this process and of those forked from it share the images."""
    read = functools.lru_cache(lambda name, split, size: load_images(name, split, image_size=size))
    read_foreign = functools.lru_cache(lambda name, size: out_of_distribution(name, image_size=size))
    # No seed draws the split of an image folder, and CIFAR's images have one size.
    fit.load_images = trained.load_images = lambda name, split, *, image_size=0, seed=0: read(name, split, image_size)
    trained.out_of_distribution = lambda name, *, image_size: read_foreign(name, image_size)
    for name in sorted(data_sets):
        size = read(name, "train", 0).image_size
        read(name, "test", 0)
        if has_partner(name):
            read_foreign(name, size)


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
        for name in model.block_names:
            model.get_submodule(name).dense = form == "dense"
        return form

    epochs.use_faster_form = trained.use_faster_form = use_same_form


def evaluate_everything(preset: str, run: str) -> Iterator[tuple[str, float]]:
    """Make every record that a run's kind has, and file its weights; names what was done and its seconds."""
    checkpoint = load_checkpoint(run_folder(preset, run))
    if checkpoint is None:
        checkpoint = shipped_checkpoint(f"{preset}-{run}")
    else:
        begun = time.perf_counter()
        file_weights(preset, run)
        yield "weights", time.perf_counter() - begun
    for stage in STAGES_HERE:
        if stage == "exits" and not checkpoint.description.parameters["holdout"]:
            continue  # nothing to calibrate with
        begun = time.perf_counter()
        evaluate_run(stage, run, checkpoint, EvaluationParameters(preset))
        yield stage, time.perf_counter() - begun
