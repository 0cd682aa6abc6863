"""What held-out images teach a trained network about its own answers, in one file beside its checkpoint.

Temperatures make confidences honest, channels combine blocks (decoding.py), and thresholds keep a target
(thresholds.py). Never the test set, and never an image that was trained on: there every answer looks too good.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import paths
from ..descriptions import read_json, to_json, typed_as
from ..errors import CheckpointError, Missing, Refused, unknown
from ..evaluation.prediction import Predictions
from ..files import write_atomically
from ..network.decoding import codeword_distances
from ..network.weights import find_model
from .channel import BitChannel, evidence, fit_channel

FILE = "calibration.json"
SCHEMA = 1
REMEDY = "remove it and calibrate again"
SOFTMAX = "softmax"  # the name of the network's own head among the blocks
TEMPERATURES = (1e-3, 1e3)  # searched between these; distances are of the order 1


@dataclass(frozen=True)
class Target:
    """Thresholds that keep a target on the held-out images.

    Attributes:
        policy: one of stopping.POLICIES.
        kind, value: "drop", percentage points of accuracy lost; "budget", share of the multiply-adds, percent.
        thresholds: {block: threshold}.
        accuracy, multiply_adds: estimated by cross-validation on the held-out images; percent, and percent of the whole
            network's.
    """

    policy: str
    kind: str
    value: float
    thresholds: dict[str, float]
    accuracy: float
    multiply_adds: float


@dataclass(frozen=True)
class Calibration:
    """Of one network, which the hash of its weights names.

    Attributes:
        weights: `weights_hash` of the network.
        images: how many held-out images it is from.
        temperatures: {block: T} of the softmax over −distance/T, and of the logits' under "softmax".
        channels: {block: how its energies read bits}.
        posterior_temperatures: {block: T} of the evidence of all blocks up to it.
        targets: thresholds.
    """

    weights: str
    images: int
    temperatures: dict[str, float]
    channels: dict[str, BitChannel]
    posterior_temperatures: dict[str, float]
    targets: tuple[Target, ...] = field(default=())

    def thresholds(self, policy: str, kind: str, value: float) -> dict[str, float]:
        """The thresholds of a target, e.g. ("margin", "drop", 0.5).

        Raises:
            ValueError: a target that was not calibrated, with those that were.
        """
        there = {f"{t.policy} {t.kind} {t.value:g}": t.thresholds for t in self.targets}
        wanted = f"{policy} {kind} {value:g}"
        if wanted not in there:
            raise Refused(unknown("target", wanted, there, "this calibration"))
        return there[wanted]

    def check(self, model: nn.Module) -> None:
        """Refuse a network that it is not of.

        Raises:
            ValueError: other blocks or other weights.
        """
        blocks = ", ".join(model.schemes)
        if list(self.channels) != list(model.schemes):
            raise Refused(f"the calibration is of blocks {', '.join(self.channels)}, the network has {blocks}")
        has = weights_hash(model)
        if has != self.weights:
            raise Refused(
                f"the calibration is of weights {self.weights[:12]}…, the network's are {has[:12]}…: "
                f"calibrate it again on its held-out images"
            )


def calibrate(model: nn.Module, predictions: Predictions, labels: Tensor) -> Calibration:
    """Temperatures and channels from what a network said of held-out images, (n,) labels; without thresholds."""
    temperatures, channels, posterior = {}, {}, {}
    combined: Tensor | float = 0.0
    for name, scheme in model.schemes.items():
        energies = predictions.energies[name].double()
        words = torch.tensor(scheme.words, dtype=torch.float64)
        temperatures[name] = fit_temperature(-codeword_distances(energies, words), labels)
        channels[name] = fit_channel(energies, words[labels] > 0)
        combined = combined + evidence(energies, words, channels[name])
        posterior[name] = fit_temperature(combined, labels)
    temperatures[SOFTMAX] = fit_temperature(predictions.logits.double(), labels)
    return Calibration(weights_hash(model), len(labels), temperatures, channels, posterior)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T for which softmax(logits / T) is most likely: the labels' mean cross entropy is lowest."""
    from scipy.optimize import minimize_scalar

    bounds = [math.log(limit) for limit in TEMPERATURES]
    found = minimize_scalar(
        lambda log_t: F.cross_entropy(logits / math.exp(log_t), labels).item(), bounds=bounds, method="bounded"
    )
    return math.exp(found.x)


def weights_hash(model: nn.Module) -> str:
    """sha256 of a network's weights as its checkpoint would hold them."""
    weights = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


def save_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write a run's calibration.json, whole or not at all."""
    text = to_json({"schema": SCHEMA, **asdict(calibration)}, sort_keys=False)  # blocks stay in the network's order
    path = folder / FILE
    write_atomically(path, text.encode())
    return path


def load_calibration(name: str | Path, model: nn.Module) -> Calibration:
    """The calibration of a network.

    Args:
        name: as for `CodedResNeXt.from_pretrained`, or the folder where calibration.json is.
        model: the network itself, whose weights are compared.
    Raises:
        FileNotFoundError: there is none, saying what makes it.
        CheckpointError: a damaged file.
        ValueError: one of another network, see `Calibration.check`.
    """
    try:
        folder = find_model(name).path
    except Missing:
        if not Path(name).is_dir():
            raise
        folder = Path(name)
    calibration = calibration_in(folder, model)
    if calibration is None:
        raise Missing(f"{folder} has no {FILE}: python -m coded_resnext calibrate {name} makes it")
    return calibration


def calibration_in(folder: Path, model: nn.Module) -> Calibration | None:
    """The calibration in a run's or shipped weights' folder, or None where there is none.

    What was made here for shipped weights, see `paths.OWN_WEIGHTS`, comes first.
    """
    own = paths.OWN_WEIGHTS / folder.name if folder.is_relative_to(paths.WEIGHTS) else folder
    path = next((path for path in (own / FILE, folder / FILE) if path.is_file()), None)
    if path is None:
        return None
    content = read_json(path, REMEDY, CheckpointError)
    if content.get("schema") != SCHEMA:
        raise CheckpointError(f"{path} has schema {content.get('schema')}, this version reads {SCHEMA}: {REMEDY}")
    calibration = typed_as(Calibration, content, str(path), REMEDY, CheckpointError)
    calibration.check(model)
    return calibration
