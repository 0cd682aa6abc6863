"""Image files classified by what is at hand: a run's checkpoint, a subnetwork's folder, or an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.sets import read_for
from ..errors import Missing
from ..network.model import CodedResNeXt
from ..training.checkpoint import DESCRIPTION, load_checkpoint
from .manifest import MANIFEST, Manifest, load_subnetwork, read_manifest

SHOWN = 5  # classes in an answer


@dataclass(frozen=True)
class Classifier:
    """A network that says something about an image.

    Attributes:
        class_names: of its logits.
        threshold: of a single class, where one is known.
        channels: of the images, 1 or 3.
        data: how images are prepared, see `data.sets.read_for`.
        logits: normalised images (B, C, H, W) to logits (B, number of classes).
    """

    class_names: tuple[str, ...]
    threshold: float | None
    channels: int
    data: Mapping[str, Any]
    logits: Callable[[Tensor], Tensor]

    def describe(self, path: Path) -> str:
        """What an image file shows: yes or no of a single class, or the likeliest of several.

        Raises:
            FileNotFoundError, ValueError: see `data.sets.read_for`.
        """
        logits = self.logits(read_for(path, self.channels, self.data))[0]
        if len(self.class_names) == 1:
            (name,), logit = self.class_names, float(logits[0])
            if self.threshold is None:
                return f"{name} with logit {logit:.3f}; no threshold is known"
            return (
                f"{'' if logit >= self.threshold else 'not '}{name} (logit {logit:.3f}, threshold {self.threshold:.3f})"
            )
        best = logits.softmax(0).topk(min(SHOWN, len(self.class_names)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return ", ".join(f"{self.class_names[k]} {100 * share:.1f} %" for k, share in pairs)


def load_classifier(path: Path) -> Classifier:
    """A classifier from a run's folder, a subnetwork's folder or an ONNX file of ours.

    Raises:
        FileNotFoundError: there is none of the three.
        CheckpointError: damaged or foreign files.
    """
    if path.suffix == ".onnx":
        from .onnx_file import OnnxNetwork  # onnxruntime, which the others do without

        network = OnnxNetwork(path)
        return _of_manifest(network.manifest, lambda images: torch.from_numpy(network(images.numpy())[0]))
    if (path / MANIFEST).is_file():
        return _of_manifest(read_manifest(path), _answers(load_subnetwork(path)))
    if (path / DESCRIPTION).is_file():
        checkpoint = load_checkpoint(path)
        model, about = checkpoint.network(), checkpoint.description
        data = about.data | {"crop": about.parameters["image_size"] > 0}
        return Classifier(tuple(data["classes"]), None, model.options["in_channels"], data, _answers(model))
    raise Missing(
        f"{path} is no model: expected a folder with {DESCRIPTION} (a run) or {MANIFEST} (a subnetwork), "
        "or a file named .onnx"
    )


def _of_manifest(manifest: Manifest, logits: Callable[[Tensor], Tensor]) -> Classifier:
    channels = manifest.network["in_channels"]
    return Classifier(manifest.class_names, manifest.threshold, channels, manifest.data, logits)


def _answers(model: CodedResNeXt) -> Callable[[Tensor], Tensor]:
    return torch.inference_mode()(model)
