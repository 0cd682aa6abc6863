"""From a checkpoint to a subnetwork in files: what `python -m coded_resnext export` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import Refused
from ..evaluation.binary import training_threshold
from ..evaluation.prediction import predict
from ..training.checkpoint import Checkpoint, named_checkpoint
from ..training.run import Run
from .extract import Subnetwork, extract_subnetwork
from .manifest import Manifest, class_indices, describe, save_subnetwork


def export(
    name: str | Path,
    names: Sequence[str],
    *,
    out: Path | None = None,
    onnx: Path | None = None,
    batch: int | None = None,
    energies: bool = False,
    threshold: float | None = None,
) -> str:
    """Cut the paths of some classes out of a run's network and write them.

    Args:
        name: of the network: a run's folder or shipped weights, see `find_model`.
        names: of the classes, in the order of the logits.
        out: a folder for the subnetwork, see manifest.py.
        onnx: an ONNX file.
        batch, energies: of the ONNX file, see onnx_file.py.
        threshold: of a single class, where it is known; else it is found on the training images.
    Returns:
        What was written, in words.
    Raises:
        ValueError: nowhere to write to; an unknown class; a plain network; a missing extra.
        FileNotFoundError, ValueError: no such network, with all that are known.
    """
    if out is None and onnx is None:
        raise Refused("where to? --out FOLDER writes a subnetwork, --onnx FILE an ONNX file, both may be given")
    if onnx is None and (batch is not None or energies):
        raise Refused("--batch and --energies are about an ONNX file: name it with --onnx FILE")
    checkpoint = named_checkpoint(name)
    subnetwork, manifest = cut_out(checkpoint, names, threshold)
    written = []
    if out is not None:
        save_subnetwork(out, subnetwork, manifest)
        written.append(str(out))
    if onnx is not None:
        from .onnx_file import export_onnx  # and not without need: it takes seconds to load

        export_onnx(subnetwork, onnx, manifest, manifest.data["image_size"], batch=batch, energies=energies)
        written.append(str(onnx))
    parameters, cost = manifest.parameters, manifest.multiply_adds
    lines = [
        f"{', '.join(names)}: {parameters['total']:,} parameters, {parameters['total_percent']:.1f} % of the full "
        f"network ({parameters['without_shortcuts_percent']:.1f} % shortcuts aside)",
        f"{cost['total']:,} multiply-adds an image, {cost['total_percent']:.1f} %",
    ]
    if len(names) == 1:
        if manifest.threshold is None:
            lines.append("no threshold: the training images are gone, or others")
        else:
            lines.append(f"threshold {manifest.threshold:.3f}")
    return "\n".join([*lines, f"written: {', '.join(written)}"])


def cut_out(
    checkpoint: Checkpoint, names: Sequence[str], threshold: float | None = None
) -> tuple[Subnetwork, Manifest]:
    """The subnetwork of some classes, by name, and its manifest; the threshold as in `export`."""
    data = checkpoint.description.data
    classes = class_indices(names, data["classes"])
    full = checkpoint.network()
    subnetwork = extract_subnetwork(full, classes)
    about = {key: data[key] for key in ("name", "mean", "std", "image_size")}
    about["crop"] = full.preparation.crop
    manifest = describe(
        subnetwork, full, class_names=names, data=about, parent=checkpoint.weights_hash,
        threshold=find_threshold(checkpoint, subnetwork) if threshold is None else threshold,
    )  # fmt: skip
    return subnetwork, manifest


def find_threshold(checkpoint: Checkpoint, subnetwork: Subnetwork) -> float | None:
    """The threshold of a single class, from the training images; None for several classes, and where there are none.

    A folder that was moved since the training, or has other classes now, is none.
    """
    if len(subnetwork.classes) > 1:
        return None
    (k,) = subnetwork.classes
    training = checkpoint.description.parameters
    run = Run(checkpoint)
    try:
        images = run.train
    except (FileNotFoundError, Refused):
        return None

    def logits_of(rows: np.ndarray) -> Tensor:
        return predict(subnetwork, images.subset(rows), run.batch_size, torch.device("cpu")).logits[:, 0]

    return training_threshold(logits_of, images, k, seed=training["seed"])
