"""When a coded block's answer is good enough to stop at it: scores of energies against codewords, and thresholds.

No head is trained. Every policy scores the distances of the energies to the codewords (equation 7), but for
"posterior", which combines all blocks so far (decoding.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..codes.scheme import CodingScheme
from ..errors import Refused, unknown
from ..network.cost import multiply_adds
from ..network.decoding import codeword_distances
from ..network.model import CodedResNeXt
from .calibration import SOFTMAX, Calibration
from .channel import evidence

# Whether a score at or above the threshold stops, or one at or below it.
STOPS_ABOVE = {"distance": False, "margin": True, "entropy": False, "patience": True, "posterior": True}
ROUNDING = 1e-6  # of the largest score: several times the step of float32
LOOK_BACK = ("patience", "posterior")  # policies whose score depends on the blocks before


class Reading(NamedTuple):
    """What the coded blocks so far say of B samples.

    Attributes:
        labels: (B,) class indices.
        score: (B,) of the policy; NaN where the energies are.
        closeness: (B, K), −distance or, of policy "posterior", the log likelihoods over the blocks so far; divided by
            a temperature, their softmax says how probable the classes are.
        streak: (B,) equal decodings in a row, this one counted.
    """

    labels: Tensor
    score: Tensor
    closeness: Tensor
    streak: Tensor | None = None

    def of(self, rows: Tensor) -> Reading:
        """The same of some of the samples."""
        return Reading(*(None if part is None else part[rows] for part in self))


class Exits(NamedTuple):
    """Where samples were answered.

    Attributes:
        labels: (B,) class indices.
        exits: (B,) coded blocks counted from 0; their number is the softmax head.
        confidence: (B,) probability of the label, 0 … 1; NaN flags a sample that is no numbers.
    """

    labels: Tensor
    exits: Tensor
    confidence: Tensor


class StoppingRule:
    """A policy with its thresholds, for one network's coded blocks.

    Args:
        schemes: {block: scheme} of the network, in its order.
        policy: one of STOPS_ABOVE.
        thresholds: {block: threshold}; a block without one is no exit.
        calibration: temperatures, 1 without it, and the channels that "posterior" needs.
    Raises:
        ValueError: a network without coded blocks; an unknown policy or block; a threshold out of range; "posterior"
            without a calibration.
    """

    def __init__(
        self,
        schemes: Mapping[str, CodingScheme],
        policy: str,
        thresholds: Mapping[str, float],
        calibration: Calibration | None = None,
    ) -> None:
        if not schemes:
            raise Refused("a plain network has no coded block to stop at: early exit needs one with coding schemes")
        if policy not in STOPS_ABOVE:
            raise Refused(unknown("policy", policy, STOPS_ABOVE))
        if policy == "posterior" and calibration is None:
            raise Refused("policy 'posterior' combines likelihoods: give it the calibration that holds them")
        self.schemes = dict(schemes)
        self.policy = policy
        self.calibration = calibration
        for name, threshold in thresholds.items():
            if name not in schemes:
                raise Refused(unknown("block", name, schemes, "an exit"))
            low, high = self.range(name)
            if policy in ("distance", "margin"):  # one number for blocks of several schemes may exceed some's range
                expected, fits = "a finite number of at least 0", 0 <= threshold < math.inf
            else:
                kind = "a whole number" if policy == "patience" else "a number"
                rounding = ROUNDING * high  # scores are float32, and thresholds are scores that were seen
                expected, fits = f"{kind} in {low:g} … {high:.4g}", low - rounding <= threshold <= high + rounding
            if not fits or (policy == "patience" and not float(threshold).is_integer()):
                raise Refused(
                    f"threshold of {name} for policy {policy!r} must be {expected}, got {threshold!r}; "
                    f"a block that is no exit is left out"
                )
        self.thresholds = {name: float(thresholds[name]) for name in schemes if name in thresholds}
        names = list(schemes)
        last = max((names.index(name) for name in self.thresholds), default=-1)
        # Where energies are decoded: at the exits, and before the last one where the past counts.
        self.reads = frozenset(names[: last + 1] if policy in LOOK_BACK else self.thresholds)
        self._words: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def everywhere(self) -> StoppingRule:
        """The same policy with every coded block an exit that lets everybody go."""
        end = 0 if STOPS_ABOVE[self.policy] else 1
        always = {name: self.range(name)[end] for name in self.schemes}
        return StoppingRule(self.schemes, self.policy, always, self.calibration)

    def range(self, name: str) -> tuple[float, float]:
        """The lowest and highest score that the policy can give in a block."""
        scheme = self.schemes[name]
        if self.policy == "distance":  # all energy, which sums to N_act, in one branch whose bit is 0
            return 0.0, math.sqrt(scheme.num_active**2 + scheme.num_active)
        if self.policy == "margin":  # triangle inequality; distances of bits are the roots of Hamming's
            return 0.0, math.sqrt(2 * min(scheme.num_active, scheme.num_branches - scheme.num_active))
        if self.policy == "entropy":
            return 0.0, math.log(scheme.num_classes)
        if self.policy == "patience":
            return 1.0, float(len(self.schemes))
        return 0.0, 1.0

    def read(self, name: str, energies: Tensor, before: Reading | None) -> Reading:
        """Decode the energies (B, N) of a block, given what the coded block read before it said."""
        words = self._codewords(name, energies)
        if self.policy == "posterior":
            closeness = evidence(energies, words, self.calibration.channels[name])
            if before is not None:
                closeness = closeness + before.closeness
            score, labels = (closeness / self.temperature(name)).softmax(1).max(1)
            return Reading(labels, score, closeness)
        closeness = -codeword_distances(energies, words)
        if self.policy == "margin":
            two, order = closeness.topk(2)
            return Reading(order[:, 0], two[:, 0] - two[:, 1], closeness)
        nearest, labels = closeness.max(1)
        if self.policy == "distance":
            return Reading(labels, -nearest, closeness)
        if self.policy == "entropy":
            probable = (closeness / self.temperature(name)).softmax(1)
            return Reading(labels, torch.special.entr(probable).sum(1), closeness)
        streak = torch.ones_like(labels)
        if before is not None:
            streak = torch.where(labels == before.labels, before.streak + 1, streak)
        # a sample that is no numbers decodes to the same class again and again
        return Reading(labels, torch.where(nearest.isnan(), nearest, streak.to(nearest.dtype)), closeness, streak)

    def read_all(self, energies: Mapping[str, Tensor]) -> dict[str, Reading]:
        """What every coded block says, from the energies {block: (n, N)} of whole passes."""
        readings: dict[str, Reading] = {}
        before = None
        for name in self.schemes:
            readings[name] = before = self.read(name, energies[name], before)
        return readings

    def content(self, name: str, reading: Reading) -> Tensor:
        """(B,) boolean: which samples a block answers. A score that is no number is never content."""
        threshold = self.thresholds[name]
        return reading.score >= threshold if STOPS_ABOVE[self.policy] else reading.score <= threshold

    def confidence(self, name: str, reading: Reading, rows: Tensor) -> Tensor:
        """Probability of the labels of some of the samples."""
        return (reading.closeness[rows] / self.temperature(name)).softmax(1).amax(1)

    def temperature(self, name: str) -> float:
        """T of what a block reads, or of the softmax head."""
        if self.calibration is None:
            return 1.0
        if self.policy == "posterior" and name != SOFTMAX:
            return self.calibration.posterior_temperatures[name]
        return self.calibration.temperatures[name]

    def head(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and confidence (B,) of the softmax, from its logits (B, K)."""
        confidence, labels = (logits / self.temperature(SOFTMAX)).softmax(1).max(1)
        return labels, confidence

    def simulate(self, energies: Mapping[str, Tensor], logits: Tensor) -> Exits:
        """What early exit would have answered, from the energies {block: (n, N)} and logits (n, K) of whole passes."""
        labels, confidence = self.head(logits)
        exits = torch.full_like(labels, len(self.schemes))
        for i, (name, reading) in enumerate(self.read_all(energies).items()):
            if name in self.thresholds:
                leaving = self.content(name, reading) & (exits == len(self.schemes))
                exits[leaving] = i
                labels[leaving] = reading.labels[leaving]
                confidence[leaving] = self.confidence(name, reading, leaving)
        return Exits(labels, exits, confidence)

    def decision_cost(self, name: str) -> int:
        """Multiply-adds of one `read`, for one sample: the decoding and the score.

        ‖v − w_k‖ costs N for ‖v‖², N·K inner products and 1 a class more; the entropy 2 a class more (temperature,
        p log p). The posterior reads N bits at 4 each (two squares, two scalings), has the same products, and 1 a
        class for the temperature. Comparing and moving rows are no multiply-adds: they show in the time.
        """
        scheme = self.schemes[name]
        n, k = scheme.num_branches, scheme.num_classes
        if self.policy == "posterior":
            return 4 * n + n * k + k
        return n + n * k + k + (2 * k if self.policy == "entropy" else 0)

    def costs(self, model: CodedResNeXt, image_size: int) -> np.ndarray:
        """(B + 1,) multiply-adds of an answer at each coded block and at the softmax, by share of the whole network's.

        Energies, decoding and scoring are counted, wherever the rule decodes.
        """
        cost = multiply_adds(model, image_size)
        deciding = np.cumsum([self.decision_cost(name) if name in self.reads else 0 for name in model.schemes])
        spent = [cost.until(name, whole=False) for name in model.schemes] + [cost.total]
        return (np.array(spent) + np.append(deciding, deciding[-1])) / cost.total

    def _codewords(self, name: str, energies: Tensor) -> Tensor:
        """(K, N), of the type and on the device of the energies."""
        key = (name, energies.dtype, energies.device)
        if key not in self._words:
            self._words[key] = torch.tensor(self.schemes[name].words, dtype=energies.dtype, device=energies.device)
        return self._words[key]
