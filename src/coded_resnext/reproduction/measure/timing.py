"""Early exit by the clock: milliseconds an image on this machine, of the whole network and of every calibrated target.

Rounds alternate between the contestants in one process, since machines are shared and drift; what counts are ratios of
medians. All see the same test images, one by one, as a single request comes, and in batches of 64.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import paths
from ...data.batches import eval_batches
from ...early_exit.calibration import load_calibration
from ...early_exit.measure import exit_costs, shares
from ...early_exit.router import EarlyExit
from ...early_exit.stopping import Exits
from ...network.cost import multiply_adds
from ...network.model import CodedResNeXt
from ...network.weights import ShippedCheckpoint, is_shipped, shipped_checkpoint
from ...training.checkpoint import Checkpoint, load_checkpoint, run_folder
from ...training.fit import describe_device
from ...training.parameters import EvaluationParameters
from ...training.run import Run
from ..figures.exit_tables import timing_table
from ..figures.tables import run_kinds
from ..records.paper import as_text
from ..records.records import begin, write_record
from .stages import run_names

BATCHES = (1, 64)
WHOLE = "whole network"


def time_exits(preset: str, name: str, rounds: int, images: int) -> str:
    """Measure, write data/results/<preset>/timing-<name>.json, and return a table as text.

    Args:
        preset, name: of a coded run with a checkpoint, or else shipped weights, and a calibration.
        rounds: alternations that are timed.
        images: of the test set, the first ones.
    Raises:
        FileNotFoundError: no checkpoint or no calibration, saying what makes them.
    """
    run = _run(preset, name)
    folder = run.checkpoint.folder
    own = paths.OWN_WEIGHTS / folder.name  # of shipped weights that were calibrated here
    calibration = load_calibration(own, run.model) or load_calibration(folder, run.model)
    if calibration is None:
        how = "run 10_early_exit first"
        if isinstance(run.checkpoint, ShippedCheckpoint):
            how = f"python -m coded_resnext calibrate {preset}-{name}"
        raise FileNotFoundError(f"run {name} of preset {preset} is not calibrated: {how}")
    beginning = begin(describe_device(run.device, torch.float32))
    subset = run.test.subset(range(min(images, len(run.test))))
    whole_cost = multiply_adds(run.model, run.test.image_size).total

    contestants: dict[str, Callable[[Tensor], object]] = {WHOLE: run.model}
    contestants["routed, no exit"] = EarlyExit(run.model).predict
    about: dict[str, dict[str, Any]] = {key: {"multiply_adds": 100.0} for key in contestants}
    plain = _plain_network(preset)
    if plain is not None:
        contestants["plain network"] = plain
        about["plain network"] = {"multiply_adds": 100 * multiply_adds(plain, run.test.image_size).total / whole_cost}
    for target in calibration.targets:
        if target.kind == "drop":
            router = EarlyExit(run.model, target.policy, target.thresholds, calibration)
            key = f"{target.policy}, {target.value:g} points"
            contestants[key] = router.predict
            parts = [router.predict(pixels) for pixels, _ in eval_batches(subset, BATCHES[-1], run.device)]
            exits = Exits(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))
            cost = exit_costs(run.model, router.rule, run.test.image_size)
            about[key] = {
                "policy": target.policy,
                "drop": target.value,
                "multiply_adds": float(np.array(shares(exits, len(run.model.schemes))) @ cost),
            }
    curves = []
    for batch in BATCHES:
        batches = [pixels for pixels, _ in eval_batches(subset, batch, run.device)]
        for key, seconds in alternate(contestants, batches, rounds).items():
            each = [1e3 * value / len(subset) for value in seconds]
            curves.append({"network": key, "batch": batch, "milliseconds": each, **about[key]})
    record = write_record(
        preset, "timing", name,
        parameters=run.training | {"rounds": rounds, "images": len(subset), "threads": torch.get_num_threads()}
        | {"shipped_weights": isinstance(run.checkpoint, ShippedCheckpoint)},
        seed=run.training["seed"],
        checkpoint=run.checkpoint.weights_hash,
        metrics={"images": len(subset)},
        beginning=beginning,
        curves=curves,
    )  # fmt: skip
    return as_text(timing_table([record]))


@torch.inference_mode()
def alternate(
    contestants: Mapping[str, Callable[[Tensor], object]], batches: Sequence[Tensor], rounds: int
) -> dict[str, list[float]]:
    """Seconds that each contestant takes for all batches, in rounds that alternate between them."""
    seconds: dict[str, list[float]] = {key: [] for key in contestants}
    for i in range(rounds + 1):
        for key, answer in contestants.items():
            begun = time.perf_counter()
            for pixels in batches:
                answer(pixels)
            if batches[0].is_cuda:
                torch.cuda.synchronize()
            if i > 0:  # the first round also chooses kernels and allocates
                seconds[key].append(time.perf_counter() - begun)
    return seconds


def _run(preset: str, name: str) -> Run:
    checkpoint = _checkpoint(preset, name)
    if checkpoint is None:
        raise FileNotFoundError(f"preset {preset} has no checkpoint of a run {name!r}: run 03_train first")
    return Run(checkpoint, EvaluationParameters(preset))


def _checkpoint(preset: str, name: str) -> Checkpoint | None:
    """A run's own, or its shipped weights."""
    checkpoint = load_checkpoint(run_folder(preset, name))
    if checkpoint is None and is_shipped(f"{preset}-{name}"):
        return shipped_checkpoint(f"{preset}-{name}")
    return checkpoint


def _plain_network(preset: str) -> CodedResNeXt | None:
    """The preset's first plain run of the same size as its coded ones, if it has been trained here or ships."""
    for name in run_names(preset):
        checkpoint = _checkpoint(preset, name)
        if checkpoint is not None and run_kinds([{"parameters": checkpoint.description["parameters"]}]) == ["plain"]:
            return Run(checkpoint, EvaluationParameters(preset)).model
    return None
