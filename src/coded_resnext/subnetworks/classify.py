"""Image files classified by what is at hand: shipped weights, a run, a subnetwork, or an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.folders import image_files
from ..data.prepare import MODES, Preparation, read_image
from ..errors import CodedResNeXtError, Missing, on_one_line
from ..network.decoding import codeword_distances
from ..network.model import CodedResNeXt
from ..network.weights import ONNX, RUN, SHIPPED, SUBNETWORK, find_model
from ..training.checkpoint import Checkpoint, named_checkpoint
from .manifest import load_subnetwork, read_manifest

SHOWN = 5  # classes in an answer in words
Answers = Callable[[Tensor], tuple[Tensor, Mapping[str, Tensor]]]  # images to logits (B, m) and energies by block
Stops = Callable[[Mapping[str, Tensor], Tensor], str]  # energies and logits of one image to where it would have left


@dataclass(frozen=True)
class Answer:
    """What a network says of one image.

    Attributes:
        probabilities: by class name, the likeliest first; of a single class empty.
        logit, threshold: of a single class, which says yes at or above the threshold; None of several.
        exit: where early exit would have stopped, "softmax" for the end; None without a calibration.
        distance: to the nearest codeword in the last coded block, Euclidean; None where no energies are known.
        size: of the file's image, (width, height), before it was resized or cropped.
    """

    probabilities: dict[str, float]
    logit: float | None
    threshold: float | None
    exit: str | None
    distance: float | None
    size: tuple[int, int]
    name: str = ""

    def in_words(self) -> str:
        """One line."""
        return on_one_line(self._in_words())

    def _in_words(self) -> str:
        if self.logit is not None:
            if self.threshold is None:
                return f"{self.name} with logit {self.logit:.3f}; no threshold is known"
            no = "" if self.logit >= self.threshold else "not "
            return f"{no}{self.name} (logit {self.logit:.3f}, threshold {self.threshold:.3f})"
        best = list(self.probabilities.items())[:SHOWN]
        words = ", ".join(f"{name} {100 * share:.1f} %" for name, share in best)
        more = []
        if self.distance is not None:
            more.append(f"codeword {self.distance:.2f} away")
        if self.exit is not None:
            more.append(f"early exit at {self.exit}" if self.exit != "softmax" else "no early exit")
        return f"{words} ({', '.join(more)})" if more else words

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        content: dict[str, Any] = {"size": list(self.size)}
        if self.logit is not None:
            answer = None if self.threshold is None else self.logit >= self.threshold
            content |= {"class": self.name, "logit": self.logit, "threshold": self.threshold, "answer": answer}
        else:
            classes = [{"name": name, "probability": share} for name, share in self.probabilities.items()]
            content |= {"classes": classes, "answer": classes[0]["name"]}
        return content | {"exit": self.exit, "distance": self.distance}


@dataclass(frozen=True)
class Classifier:
    """A network that says something about an image.

    Attributes:
        class_names: of its logits.
        threshold: of a single class, where one is known.
        preparation: of images.
        answers: what it says of prepared images.
        codewords: {last coded block: (m, N')} of its classes, where its energies are known; else empty.
        model: in PyTorch; None for an ONNX file.
        checkpoint: where it was loaded from, of a whole network.
    """

    class_names: tuple[str, ...]
    threshold: float | None
    preparation: Preparation
    answers: Answers
    codewords: Mapping[str, np.ndarray]
    model: CodedResNeXt | None = None
    checkpoint: Checkpoint | None = None

    def classify(self, image: Image.Image, stops: Stops | None = None) -> Answer:
        """What an image shows; `stops` says where early exit would have left."""
        logits, energies = self.answers(self.preparation(image))
        distance = None
        for name, words in self.codewords.items():
            spent = energies[name].double()
            distance = float(codeword_distances(spent, torch.tensor(words, dtype=spent.dtype)).min())
        where = stops(energies, logits) if stops else None
        if len(self.class_names) == 1:
            logit = float(logits[0, 0])
            return Answer({}, logit, self.threshold, where, distance, image.size, self.class_names[0])
        shares = logits[0].softmax(0)
        order = shares.argsort(descending=True).tolist()
        named = {self.class_names[k]: float(shares[k]) for k in order}
        return Answer(named, None, None, where, distance, image.size)

    def describe(self, path: Path) -> str:
        """What an image file shows, in words.

        Raises:
            FileNotFoundError, ValueError: no such file, or no image.
        """
        return self.classify(read_image(path, MODES[self.preparation.channels])).in_words()

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether an image of this size is taken as it is."""
        return not self.preparation.crop and size == (self.preparation.image_size,) * 2


def classify_files(
    classifier: Classifier, given: Sequence[Path], stops: Stops | None = None
) -> Iterator[tuple[Path, Answer | CodedResNeXtError]]:
    """Answers file by file, or the error that a file met; folders are walked, see `image_files`."""
    for path in given:
        if path.is_dir():
            files = image_files(path)[0]
            if not files:
                yield path, Missing(f"{path} has no images in it")
        else:
            files = [path]
        for file in files:
            try:
                image = read_image(file, MODES[classifier.preparation.channels])
                yield file, classifier.classify(image, stops)
            except CodedResNeXtError as error:
                yield file, error


def load_classifier(name: str | Path) -> Classifier:
    """A classifier of any name that `find_model` knows.

    Raises:
        FileNotFoundError, ValueError: no such network, with all that are known.
        CheckpointError: damaged or foreign files.
    """
    kind, path = find_model(name)
    if kind == ONNX:
        from .onnx_file import OnnxNetwork  # onnxruntime, which the others do without

        network = OnnxNetwork(path)

        def by_runtime(images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            logits, energies = network(images.contiguous().numpy())
            return torch.from_numpy(logits), {key: torch.from_numpy(value) for key, value in energies.items()}

        manifest = network.manifest
        rows = _rows(manifest.codewords) if len(manifest.classes) > 1 else {}
        known = {name: rows[name] for name in network.energies if name in rows}
        return Classifier(network.class_names, manifest.threshold, network.preparation, by_runtime, _last(known))
    if kind == SUBNETWORK:
        model, threshold, checkpoint = load_subnetwork(path), read_manifest(path).threshold, None
    else:
        assert kind in (RUN, SHIPPED)
        checkpoint = named_checkpoint(name)
        model, threshold = checkpoint.network(), None
    words = {block: scheme.words for block, scheme in model.schemes.items()}

    @torch.inference_mode()
    def by_torch(images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return model(images.to(model.fc.weight.dtype), return_energies=True)

    return Classifier(
        model.class_names, threshold, model.preparation, by_torch, _last(words), model=model, checkpoint=checkpoint
    )


def _last(words: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(list(words.items())[-1:])


def _rows(codewords: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Codewords of a manifest less the columns that no class uses, as energies of the cut network have them."""
    arrays = {name: np.array([[c == "1" for c in row] for row in rows]) for name, rows in codewords.items()}
    return {name: rows[:, rows.any(axis=0)] for name, rows in arrays.items()}
