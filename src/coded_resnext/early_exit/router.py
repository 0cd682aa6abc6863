"""Early exit: stop at the first coded block whose energies already spell a codeword (section 4.4).

The paper measures what each block would have answered. Here the network really stops: rows of a batch that are
content leave, the rest go on together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..network.block import CodedBottleneck, gram_matrices
from ..network.model import CodedResNeXt, check_normalised
from .calibration import Calibration
from .stopping import Exits, Reading, StoppingRule


class EarlyExit:
    """A trained coded network that stops computing for a sample once a policy is content.

    A sample that leaves at a block has cost its conv1, conv2 and energies, neither conv3's product nor the shortcut.

    Args:
        model: a coded network; put into evaluation mode, and taken as it is now: make a new EarlyExit after
            changing its weights or moving it.
        policy: what is compared with a block's threshold. "distance": of the nearest codeword, Euclidean, <=;
            "margin": second nearest less nearest, >=; "entropy": of the softmax over −distance/T, nats, <=; "patience":
            equal decodings in a row, >=; "posterior": probability of the likeliest class when all blocks so far
            are decoded together, >=.
        thresholds: {block: threshold}; a block without one is no exit, the softmax head always is the last.
        calibration: temperatures (1 without) and the likelihoods that "posterior" combines; of this very network.
    Raises:
        ValueError: a plain network, or one whose blocks have another sum than equation 3; an unknown policy or block; a
            threshold out of range; a calibration of another network.
    """

    def __init__(
        self,
        model: CodedResNeXt,
        policy: str = "margin",
        thresholds: Mapping[str, float] | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.rule = StoppingRule(model.schemes, policy, thresholds or {}, calibration)
        if calibration is not None:
            calibration.check(model)
        self.model = model.eval()
        check_normalised(model)
        self._blocks: list[tuple[str, CodedBottleneck]] = [
            (name, model.get_submodule(name)) for name in model.block_names
        ]
        with torch.inference_mode():
            self._gram = {  # they depend on no image
                name: gram_matrices(block.conv3.weight, block.kept)
                for name, block in self._blocks
                if block.coded
            }

    @torch.inference_mode()
    def predict(self, x: Tensor) -> Exits:
        """Labels, exits and confidence of images (B, in_channels, H, W), normalised as in training.

        Returns:
            labels (B,); exits (B,), the coded blocks counted from 0, their number is the softmax head; confidence (B,),
            probability of the label. A sample that holds a NaN never leaves early, and its confidence is NaN.
        """
        self.model.check_images(x)
        rule = self.rule
        rows = torch.arange(len(x), device=x.device)  # of the batch, that are still on their way
        labels, exits = torch.zeros_like(rows), torch.full_like(rows, len(rule.schemes))
        x = self.model.forward_stem(x)
        confidence = x.new_zeros(len(rows), dtype=torch.promote_types(x.dtype, torch.float32))
        reading: Reading | None = None
        place = -1
        for name, block in self._blocks:
            if not block.coded:
                x, _ = block(x)
                continue
            place += 1
            energies, u, scale = block.forward_energies(x, self._gram[name])
            if name in rule.reads:
                reading = rule.read(name, energies, reading)
            if name in rule.thresholds:
                content = rule.content(name, reading)
                leaving = content.nonzero()[:, 0]
                if len(leaving):
                    gone = rows[leaving]
                    labels[gone], exits[gone] = reading.labels[leaving], place
                    confidence[gone] = rule.confidence(name, reading, leaving)
                    if len(leaving) == len(rows):
                        return Exits(labels, exits, confidence)
                    staying = (~content).nonzero()[:, 0]
                    rows, reading = rows[staying], reading.of(staying)
                    x, u, scale = take_images(x, staying), take_images(u, staying), scale[staying]
            x = block.forward_output(x, u, scale)
        labels[rows], confidence[rows] = rule.head(self.model.forward_head(x).to(confidence.dtype))
        return Exits(labels, exits, confidence)


def take_images(features: Tensor, rows: Tensor) -> Tensor:
    """Some rows of (B, C, H, W), channels last: whole images are copied, several times faster than features[rows]."""
    return features.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
