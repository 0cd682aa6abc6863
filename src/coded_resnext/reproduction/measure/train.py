"""The stage "training": one run of a preset trained, and its record (section 4.1)."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import PartialState

from ...training.checkpoint import load_checkpoint, run_folder
from ...training.fit import fit
from ...training.parameters import TrainingParameters, recipe, to_plain
from ..records.presets import check_against_preset
from ..records.records import begin, read_record, record_path, write_record
from .codewords import not_built_in


def train(parameters: TrainingParameters, *, force: bool = False) -> dict[str, Any]:
    """Train one run to its end and file it; returns the training record.

    Nothing is done when the run's checkpoint is complete and its record has the same parameters.

    Args:
        parameters: what to train; the run is `parameters.preset`/`parameters.name`.
        force: train from the beginning whatever is there.
    Raises:
        ValueError: an unknown preset, or other parameters than the preset lists for this name.
        CheckpointError, TrainingDiverged: see `fit`.
    """
    check_against_preset(parameters)
    if force or not is_trained(parameters):
        beginning = begin()
        checkpoint = fit(parameters, force=force)
        processes = PartialState(cpu=not torch.cuda.is_available())
        if processes.is_main_process:
            description = checkpoint.description
            write_record(
                parameters.preset, "training", parameters.name,
                parameters=to_plain(parameters),
                seed=parameters.seed,
                checkpoint=checkpoint.weights_hash,
                metrics=description.metrics,
                history=description.history,
                beginning=beginning.on(description.device),
                seconds=description.seconds,
                classes=list(description.data["classes"]),
                **not_built_in(description.schemes),
            )  # fmt: skip
        processes.wait_for_everyone()
    return read_record(parameters.preset, "training", parameters.name)


def is_trained(parameters: TrainingParameters) -> bool:
    """Whether the run's checkpoint is complete and its record, of the same parameters, is of that checkpoint."""
    if not record_path(parameters.preset, "training", parameters.name).is_file():
        return False
    checkpoint = load_checkpoint(run_folder(parameters.preset, parameters.name))
    record = read_record(parameters.preset, "training", parameters.name)
    return (
        checkpoint is not None
        and checkpoint.description.epoch == parameters.epochs
        and record["checkpoint"] == checkpoint.weights_hash
        and recipe(record["parameters"]) == recipe(to_plain(parameters))
    )
