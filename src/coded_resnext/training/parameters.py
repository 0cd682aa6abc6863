"""Parameters of the notebooks as frozen dataclasses, and the presets that fill them.

An unknown key is an error that names the closest known one, and a value must have the type of its default:
papermill checks neither.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .. import paths
from ..errors import Refused, WrongType, unknown

T = TypeVar("T")
STEMS = ("3x3", "3x3/2", "7x7/2")  # those of CodedResNeXt, which imports torch
BRANCH_SUMS = ("normalised", "raw", "concatenated")
STORED = "bfloat16-stored"
PRECISIONS = ("auto", "bfloat16", "float32", STORED)
LARGEST_SEED = 2**32 - 1  # that scikit-learn takes
HOW = ("workers", "compile", "evaluate_every")  # suit a machine or a reader, and are no part of a run's recipe


@dataclass(frozen=True)
class TrainingParameters:
    """Everything that decides what a training run computes; the parameters of 03_train.

    Attributes:
        preset: whose folder of records the run belongs to.
        name: of the run, unique in the preset.
        data: data set, see data/sets.py.
        image_size: 0 for images of one size, kept in memory; else the crop that images on disk are resized to.
        holdout: training images set aside, never trained on or tested, for choices and calibration.
        images_per_class: how many of the others are trained on, drawn by the seed; 0 for all.
        layers, num_branches, branch_width, width, stem: the network, see CodedResNeXt.
        active: N_act by stage or block, e.g. {"layer2": 5}; what is not named is conventional.
        scheme: whose codewords: "" for the built-in ones, "permuted" or "random" (see `choose_schemes`), or the file of
            one's own scheme, which goes where its N_act does; other places keep the built-in ones.
        init: weights to start from, but for the classifier: a shipped name or a run's folder; "" for random ones.
        coded: False trains the plain network of the same size.
        drop_branch: p_drop of dropSubNNs.
        drop_ramp: share of the epochs over which it rises from 0 to that; 0 drops from the beginning.
        mu: weight of the coding loss, equation 6.
        exponent: of the coding loss, equation 5.
        branch_sum: "normalised", or what the ablations put in its place, see CodedResNeXt.
        epochs, warmup_epochs: the rate rises linearly during warm-up, then falls as a cosine.
        learning_rate, final_learning_rate: at the peak and at the end.
        batch_size: images in one optimiser step, over all processes.
        norm_batch: images that share batch statistics; batch_size is a multiple of it.
        momentum, weight_decay: of SGD with Nesterov's momentum.
        decay_norms: the decay reaches every parameter; False spares gains and biases, timm's filter.
        randaugment, pad, flip: see Augmentation.
        precision: "bfloat16" or "float32" of convolutions, or "auto": bfloat16 where the device computes in it; or
            "bfloat16-stored", which keeps weights, statistics and momentum in it too, as XLA_USE_BF16 does on a TPU.
        evaluate_every: epochs between evaluations on the images held out (or of the test); the last is always one.
        compile: torch.compile the network.
        workers: processes that augment with PIL.
        seed: of initialisation, order, augmentation and dropping; of the digits also of the split, see `load_images`.
    """

    preset: str = "digits"
    name: str = "coded-s0"
    data: str = "digits"
    image_size: int = 0
    holdout: int = 200
    images_per_class: int = 0
    layers: tuple[int, ...] = (2, 2, 2)
    num_branches: int = 10
    branch_width: int = 4
    width: int = 16
    stem: str = "3x3"
    active: dict[str, int] = field(default_factory=lambda: {"layer2": 5, "layer3": 3})
    scheme: str = ""
    init: str = ""
    coded: bool = True
    drop_branch: float = 0.1
    drop_ramp: float = 0.0
    mu: float = 6.0
    exponent: float = 4.0
    branch_sum: str = "normalised"
    epochs: int = 40
    warmup_epochs: int = 5
    learning_rate: float = 0.1
    final_learning_rate: float = 1e-4
    batch_size: int = 64
    norm_batch: int = 64
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_norms: bool = True
    randaugment: str = ""
    pad: int = 1
    flip: bool = False
    precision: str = "auto"
    evaluate_every: int = 1
    compile: bool = False
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            _require(not isinstance(value, float) or math.isfinite(value), key, "a finite number", value)
        positive = (
            "num_branches", "branch_width", "width", "epochs", "learning_rate", "batch_size", "norm_batch",
            "evaluate_every",
        )  # fmt: skip
        for key in positive:
            _require(getattr(self, key) > 0, key, "above 0", getattr(self, key))
        not_negative = (
            "image_size", "holdout", "images_per_class", "mu", "warmup_epochs", "final_learning_rate", "momentum",
            "weight_decay", "pad", "workers", "seed",
        )  # fmt: skip
        for key in not_negative:
            _require(getattr(self, key) >= 0, key, "at least 0", getattr(self, key))
        _require(all(count > 0 for count in self.layers) and self.layers, "layers", "block counts", self.layers)
        _require(0 <= self.drop_branch < 1, "drop_branch", "a probability below 1", self.drop_branch)
        _require(0 <= self.drop_ramp <= 1, "drop_ramp", "a share from 0 to 1", self.drop_ramp)
        _require(self.exponent >= 1, "exponent", "at least 1", self.exponent)
        _require(self.warmup_epochs < self.epochs, "warmup_epochs", f"below epochs {self.epochs}", self.warmup_epochs)
        _require(self.precision in PRECISIONS, "precision", " or ".join(PRECISIONS), self.precision)
        _require(
            self.batch_size % self.norm_batch == 0, "batch_size", f"a multiple of norm_batch {self.norm_batch}",
            self.batch_size,
        )  # fmt: skip
        _require(self.seed <= LARGEST_SEED, "seed", f"at most {LARGEST_SEED}", self.seed)
        _require(self.stem in STEMS, "stem", " or ".join(STEMS), self.stem)
        _require(self.branch_sum in BRANCH_SUMS, "branch_sum", " or ".join(BRANCH_SUMS), self.branch_sum)
        blocks = {f"layer{s}": count for s, count in enumerate(self.layers, start=1)}
        for place, ones in self.active.items():
            stage, dot, block = place.partition(".")
            there = stage in blocks and (not dot or (block.isdecimal() and int(block) < blocks[stage]))
            _require(there or not self.coded, "active", f"by stage or block, of {', '.join(blocks)}", place)
            _require(0 < ones <= self.num_branches, f"active[{place!r}]", f"1 … {self.num_branches}", ones)
        for key in ("preset", "name"):
            value = getattr(self, key)
            _require(paths.is_plain(value), key, "a plain file name", value)


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """A parameter dataclass from plain values.

    Raises:
        ValueError: a name that the dataclass does not have, with the closest; a value out of range.
        TypeError: a value of another type than the default's.
    """
    defaults = to_plain(kind())
    for key in values:
        if key not in defaults:
            raise Refused(unknown("parameter", str(key), defaults, where))
    checked = {key: typed(key, value, defaults[key], where) for key, value in values.items()}
    try:
        return kind(**checked)
    except ValueError as error:
        raise Refused(f"{where}: {error}") from None


def to_plain(parameters: Any) -> dict[str, Any]:
    """A parameter dataclass as JSON-ready values."""
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(parameters).items()
    }


def with_defaults(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Training parameters of a record or checkpoint; what is newer than it has its default."""
    return {**to_plain(TrainingParameters()), **stored}


def recipe(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What of training parameters decides the outcome, with defaults: not how a machine is made to work at it."""
    return {key: value for key, value in with_defaults(stored).items() if key not in HOW}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """What two parameter dictionaries disagree about, in words."""
    keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    return ", ".join(f"{key} {first.get(key)!r} against {second.get(key)!r}" for key in keys)


def typed(key: str, value: Any, default: Any, where: str) -> Any:
    """The value, if it has the type of the default.

    Whole numbers pass for floats, and so do "1e-2" and the like, which are text to YAML; lists become tuples.

    Raises:
        TypeError: naming the parameter, what its default is like and what came.
    """
    if isinstance(default, float) and type(value) in (int, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, tuple):
        value = list(value)
    fits = type(value) is type(default)
    if fits and isinstance(default, list):
        fits = all(type(item) is type(default[0]) for item in value)
        value = tuple(value)
    if fits and isinstance(default, dict):
        fits = all(type(k) is str and type(v) is int for k, v in value.items())
    if not fits:
        got = reprlib.repr(value)  # what a file says may be large
        raise WrongType(f"{where}: parameter {key!r} must be like {default!r}, got {got} ({type(value).__name__})")
    return value


def _require(holds: object, key: str, expected: str, value: object) -> None:
    if not holds:
        raise Refused(f"{key} must be {expected}, got {reprlib.repr(value)}")
