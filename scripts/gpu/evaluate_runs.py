"""Evaluate trained runs of a preset in one process, which reads the images once; their weights are filed.

    python evaluate_runs.py PRESET RUN [RUN ...]
"""

from __future__ import annotations

import functools
import sys
import time

from coded_resnext.reproduction.measure.ship import file_weights
from coded_resnext.reproduction.measure.stages import evaluate_run
from coded_resnext.reproduction.records.presets import EvaluationParameters
from coded_resnext.training import fit
from coded_resnext.training import run as trained
from coded_resnext.training.checkpoint import load_checkpoint, run_folder

STAGES_HERE = ("accuracy", "early", "specialisation", "binary")


def read_images_once() -> None:
    """All runs of this process share the images."""
    fit.load_images = trained.load_images = functools.lru_cache(fit.load_images)
    trained.out_of_distribution = functools.lru_cache(trained.out_of_distribution)


def file_and_evaluate(preset: str, run: str) -> None:
    """File a run's weights and every record that its kind has."""
    file_weights(preset, run)
    checkpoint = load_checkpoint(run_folder(preset, run))
    for stage in STAGES_HERE:
        begun = time.perf_counter()
        evaluate_run(stage, run, checkpoint, EvaluationParameters(preset))
        print(f"{preset}/{run} {stage}: {time.perf_counter() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    read_images_once()
    for name in sys.argv[2:]:
        file_and_evaluate(sys.argv[1], name)
