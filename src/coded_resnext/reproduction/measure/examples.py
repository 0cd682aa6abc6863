"""Example images of the stage "early": energies of every coded block, and where they would leave."""

from __future__ import annotations

import base64
import io
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ...data.sets import ImageSet
from ...early_exit.stopping import StoppingRule
from ...early_exit.targets import to_thresholds, what_it_says
from ...early_exit.thresholds import for_accuracy, operating_points
from ...evaluation.examples import FOREIGN, choose_examples, choose_foreign
from ...evaluation.prediction import Predictions, predict
from ...training.run import Run
from ..records.records import SHOWN_DROP

PICTURED = 3  # images of a group whose pixels are kept
PEOPLE = ("baby", "boy", "girl", "man", "woman")  # classes of CIFAR-100
LARGEST = 64  # pixels of a kept picture's sides


def examples(run: Run, predictions: Predictions) -> dict[str, Any]:
    """Some test images of each group of `choose_examples`, and foreign ones where they are there.

    Args:
        predictions: of the test images.
    Returns:
        classes, names; thresholds, {block: margin} from which on an image may leave and `SHOWN_DROP` points are lost on
        the images held out, empty where none were; examples, a row an image: group, image (its index), label (missing
        of a foreign one), softmax (its answer), energies, {block: r·E(t̄) of N branches}, and of some picture, a PNG in
        base64.
    """
    seed = run.training["seed"]
    rows = []
    for group, indices in choose_examples(predictions, run.model.schemes, run.test.labels, seed).items():
        some = run.test.subset(indices)
        energies = {name: value[indices] for name, value in predictions.energies.items()}
        rows += _rows(group, some, indices, Predictions(predictions.logits[indices], energies))
    if run.foreign is not None:
        shown = _without_people(run.foreign)
        indices = shown[choose_foreign(len(shown), seed)]
        some = run.foreign.subset(indices)
        rows += _rows(FOREIGN, some, indices, predict(run.model, some, run.batch_size, run.device))
    return {"classes": list(run.test.classes), "thresholds": _thresholds(run), "examples": rows}


def _rows(group: str, images: ImageSet, indices: Tensor, predictions: Predictions) -> list[dict[str, Any]]:
    rows = []
    for place, image in enumerate(indices.tolist()):
        spent = {name: value[place].double() for name, value in predictions.energies.items()}
        row = {
            "group": group,
            "image": image,
            "softmax": int(predictions.logits[place].argmax()),
            "energies": {name: value.numpy().round(3).tolist() for name, value in spent.items()},
        }
        if group != FOREIGN:
            row["label"] = int(images.labels[place])
        if place < PICTURED:
            row["picture"] = _png(images.image(place))
        rows.append(row)
    return rows


def _without_people(images: ImageSet) -> Tensor:
    """Indices of the images of which no picture shows a person: nobody was asked whether theirs may be kept."""
    allowed = torch.tensor([name not in PEOPLE for name in images.classes])
    return allowed[images.labels].nonzero()[:, 0]


def _thresholds(run: Run) -> dict[str, float]:
    if not run.training["holdout"]:
        return {}
    held = predict(run.model, run.held, run.batch_size, run.device)
    rule = StoppingRule(run.model.schemes, "margin", {}).everywhere()
    costs = rule.costs(run.model, run.test.image_size)
    points = operating_points(what_it_says(rule, held, run.held.labels, costs))
    chosen = for_accuracy(points, (held.accuracy(run.held.labels) - SHOWN_DROP) / 100)
    return {name: round(threshold, 4) for name, threshold in to_thresholds(rule, chosen.cuts).items()}


def _png(image: Image.Image) -> str:
    image.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
