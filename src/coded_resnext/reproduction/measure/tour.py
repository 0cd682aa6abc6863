"""Where the tour (notebook 00) starts: a trained coded network, its images, and a rule for stopping early."""

from __future__ import annotations

import torch

from ...early_exit.stopping import StoppingRule
from ...early_exit.targets import calibrated_rule
from ...errors import Missing
from ...evaluation.prediction import Predictions
from ...network.decoding import decode
from ...training.checkpoint import trained_checkpoint
from ...training.run import Run
from ..records.presets import load_preset
from .ship import calibrate_checkpoint


def start(preset: str) -> tuple[Run, StoppingRule]:
    """The preset's first coded run as it was trained here, else its shipped weights; and its calibrated rule.

    Raises:
        FileNotFoundError: neither is here, saying what makes them.
        ValueError: a run that held no images out, so that no threshold can be chosen.
    """
    name = next(name for name, training in load_preset(preset).runs.items() if training.coded)
    checkpoint = trained_checkpoint(preset, name)
    if checkpoint is None:
        raise Missing(f"preset {preset} has no trained run {name}, and no weights of it are shipped: "
                      f"make reproduce PRESET={preset}")  # fmt: skip
    run = Run(checkpoint)
    rule = calibrated_rule(run.model, checkpoint.folder)
    if rule is None:
        calibrate_checkpoint(checkpoint)
        rule = calibrated_rule(run.model, checkpoint.folder)
    return run, rule


def corrected_on_the_way(run: Run, predictions: Predictions) -> int:
    """The first test image that the first coded block takes for another class and the last for its own."""
    (first, of_first), *_, (last, of_last) = run.model.schemes.items()
    wrong = decode(predictions.energies[first], of_first) != run.test.labels
    right = decode(predictions.energies[last], of_last) == run.test.labels
    return int(torch.nonzero(wrong & right)[0])
