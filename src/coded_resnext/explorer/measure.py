"""What the page knows of a network and its images, measured here and only drawn there.

Numbers are whole thousandths or tenths of what is shown: a browser then shows the digits that Python rounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..codes.scheme import word_text
from ..data.batches import eval_batches
from ..early_exit.calibration import Calibration, load_calibration
from ..early_exit.stopping import STOPS_ABOVE, StoppingRule
from ..errors import Refused
from ..evaluation.prediction import Predictions, predict
from ..network.cost import count_parameters, images_at_once, multiply_adds
from ..network.model import CodedResNeXt
from ..reproduction.records.records import read_record
from ..training.checkpoint import Checkpoint, named_checkpoint
from .pictures import FOREIGN, Pictures, draw_evenly, picture_url, read_folder, read_set, with_strangers

Row = dict[str, Any]

BATCH = 128  # images at once at most
SHOWN = 200  # images in the page at most
CARRIED = 3_500_000  # bytes of pictures in it at most
REMOVED = 500  # images at most that branches are removed for
WORK = 2e12  # multiply-adds that all removals may take: one or two minutes on one core
CONFUSED = 12  # pairs of classes listed for a block


@dataclass(frozen=True)
class Subject:
    """The network that is looked into.

    Attributes:
        name: as it was asked for.
        checkpoint: its own or shipped.
        model: in evaluation mode, on the CPU.
        data: how its images are prepared: `name`, `classes`, `image_size`, `mean`, `std`, `crop`.
    """

    name: str
    checkpoint: Checkpoint
    model: CodedResNeXt
    data: Mapping[str, Any]


def open_subject(name: str) -> Subject:
    """A whole network by its name, see `find_model`: of shipped weights ("cifar10-small"), or a run's folder.

    Raises:
        ValueError, FileNotFoundError: no such network, with all that are known; a damaged checkpoint.
    """
    checkpoint = named_checkpoint(name)
    about = checkpoint.description
    data = about.data | {"crop": about.parameters["image_size"] > 0}
    network = checkpoint.network().to(memory_format=torch.channels_last)
    return Subject(Path(name).name, checkpoint, network, data)


def explore(model: str, images: Path | None = None) -> Row:
    """Everything that the page shows, JSON-ready.

    Args:
        model: its name, see `open_subject`.
        images: a folder `<class>/<image>`, see `read_folder`; the test images of the network's own data set without.
    """
    subject = open_subject(model)
    channels = subject.model.options["in_channels"]
    if images is None:
        pictures = read_set(subject.data, subject.checkpoint.description.parameters["seed"])
    else:
        pictures = read_folder(images, channels, subject.data)
    return describe(subject, with_strangers(pictures, subject.data))


def describe(subject: Subject, pictures: Pictures) -> Row:
    """The page's data: of the network, of a drawn part of the images one by one, and of all of them together."""
    model, size = subject.model, subject.data["image_size"]
    batch = min(BATCH, images_at_once(model, size))
    device = torch.device("cpu")
    found = predict(model, pictures.images, batch, device)
    labels = pictures.images.labels
    blocks = list(model.schemes)
    schemes = list(dict.fromkeys(model.schemes.values()))
    exits, simulated = exit_points(subject, found)
    answers = block_answers(model, found)
    picked = first_four(labels, answers, found)
    shown = sorted({*draw_evenly(labels.tolist(), SHOWN), *(i for i in picked.values() if i is not None)})
    pictured = [picture_url(pictures.images.image(i)) for i in shown]
    while sum(map(len, pictured)) > CARRIED:  # every second one goes, but for the first four
        keep = [j for j, i in enumerate(shown) if j % 2 == 0 or i in picked.values()]
        shown, pictured = [shown[j] for j in keep], [pictured[j] for j in keep]
    confidence, answer = found.logits.softmax(1).max(1)
    rows = []
    for picture, i in zip(pictured, shown, strict=True):
        row = {
            "picture": picture,
            "label": int(labels[i]),
            "folder": pictures.folders[i],
            "answer": int(answer[i]),
            "confidence": round(1000 * float(confidence[i])),
            "energies": [_thousandths(found.energies[name][i]) for name in blocks],
            "exits": {policy: [int(point[i]) for point in points] for policy, points in simulated.items()},
        }
        for key in ("nearest", "second"):
            row[key] = [int(answers[name][key][i]) for name in blocks]
        for key in ("distance", "second_distance", "margin"):
            row[key] = [round(1000 * float(answers[name][key][i])) for name in blocks]
        rows.append(row)
    cost = multiply_adds(model, size)
    return {
        "network": {
            "name": subject.name,
            "data": subject.data["name"],
            "coded": bool(blocks),
            "branches": model.num_branches,
            "parameters": count_parameters(model).total,
            "multiply_adds": cost.total,
        },
        "classes": list(subject.data["classes"]),
        "blocks": blocks,
        "all_blocks": list(model.block_names),
        "schemes": [[word_text(word) for word in scheme.words] for scheme in schemes],
        "scheme_of": [schemes.index(scheme) for scheme in model.schemes.values()],
        "spent": spent(model, size),
        "sizes": union_sizes(model, size),
        "source": pictures.source,
        "found": pictures.found,
        "measured": len(pictures),
        "images": rows,
        "first": {kind: None if i is None else shown.index(i) for kind, i in picked.items()},
        "right": _right(answers, answer, labels),
        "exits": exits,
        "confusions": confusions(model, answers, labels),
        "removal": removal(model, pictures, batch),
    }


def block_answers(model: CodedResNeXt, found: Predictions) -> dict[str, dict[str, Tensor]]:
    """What every coded block says: nearest and second codeword, their distances, and the margin between them."""
    if not model.schemes:
        return {}
    rule = StoppingRule(model.schemes, "margin", {})
    said = {}
    for name, reading in rule.read_all(found.energies).items():
        two, order = reading.closeness.topk(2)
        said[name] = {
            "nearest": order[:, 0],
            "second": order[:, 1],
            "distance": -two[:, 0],
            "second_distance": -two[:, 1],
            "margin": reading.score,
        }
    return said


def spent(model: CodedResNeXt, image_size: int) -> list[int]:
    """Multiply-adds of an answer at each coded block and at the softmax, tenths of a percent of the whole network."""
    if not model.schemes:
        return [1000]
    shares = StoppingRule(model.schemes, "margin", {}).costs(model, image_size)
    return [round(1000 * float(share)) for share in shares]


def union_sizes(model: CodedResNeXt, image_size: int) -> Row | None:
    """What the union of some classes' paths keeps: [parameters, multiply-adds], whatever the classes are.

    fixed + Σ over coded blocks of kept branches · branch + classes · class, since everything in a branch is linear in
    their number; equal to what `extract_subnetwork` leaves. None of a plain network.
    """
    if not model.schemes:
        return None
    cost, n = multiply_adds(model, image_size), model.num_branches
    branches, inside = [], [0, 0]
    for name in model.schemes:
        block, costs = model.get_submodule(name), cost.blocks[name]
        layers = [block.conv1, block.bn1, block.conv2, block.bn2, block.conv3]
        parameters = sum(tensor.numel() for layer in layers for tensor in layer.parameters())
        adds = costs.total - costs.projection
        inside = [inside[0] + parameters, inside[1] + adds]
        branches.append([parameters // n, adds // n])
    head = model.fc.weight.numel()
    return {
        "fixed": [count_parameters(model).total - inside[0] - head, cost.total - inside[1] - head],
        "branch": branches,
        "class": [model.fc.in_features] * 2,
    }


def exit_points(subject: Subject, found: Predictions) -> tuple[Row, dict[str, list[Tensor]]]:
    """Thresholds from dear to cheap for each policy, as the exits record has them, and where these images leave.

    Returns:
        The policies' points and curves, or `why` there are none; and {policy: exits (n,) of each point}, empty where
        there is no calibration of these weights.
    """
    training = subject.checkpoint.description.parameters
    if not subject.model.schemes:
        return {"why": "A plain network decodes nothing in between, so it stops nowhere."}, {}
    record = read_record(training["preset"], "exits", training["name"])
    if record is None:
        makes = f"python -m coded_resnext evaluate {training['preset']} exits"
        return {"why": f"There is no exits record of {training['preset']}, {training['name']}: {makes} makes it."}, {}
    if record["checkpoint"] != subject.checkpoint.weights_hash:
        return {"why": "The exits record is of other weights than these."}, {}
    try:
        calibration = load_calibration(subject.checkpoint.folder, subject.model)
    except Refused:
        calibration = None
    policies: dict[str, Row] = {}
    simulated: dict[str, list[Tensor]] = {}
    for policy in STOPS_ABOVE:
        rows = {round(row["multiply_adds"], 6): row for row in record["targets"] if row["policy"] == policy}
        targets = [rows[key] for key in sorted(rows, reverse=True) if key < 100]
        policies[policy] = {
            "points": [_nobody_leaves(subject.model, record), *(_point(row, calibration) for row in targets)],
            "curve": sorted([round(10 * row[key]) for key in ("multiply_adds", "accuracy")]
                            for row in record["curves"] if row["policy"] == policy),
        }  # fmt: skip
        if calibration is not None:
            stays = torch.full((len(found.logits),), len(subject.model.schemes))
            simulated[policy] = [stays, *(_simulate(subject.model, row, calibration, found) for row in targets)]
    return {"policies": policies, "images": record["metrics"]["images"], "each": calibration is not None}, simulated


def _nobody_leaves(model: CodedResNeXt, record: Mapping[str, Any]) -> Row:
    exits = [0] * len(model.schemes) + [1000]
    whole = round(100 * record["metrics"]["accuracy"])
    return {"accuracy": whole, "multiply_adds": 10_000, "exits": exits, "thresholds": {}}


def _point(row: Mapping[str, Any], calibration: Calibration | None) -> Row:
    exits = [round(10 * share) for share in row["exits"]]
    point = {key: round(100 * row[key]) for key in ("accuracy", "multiply_adds")} | {"exits": exits}
    if calibration is not None:
        thresholds = calibration.thresholds(row["policy"], row["kind"], row["value"])
        point["thresholds"] = {name: round(1000 * value) for name, value in thresholds.items()}
    return point


def _simulate(model: CodedResNeXt, row: Mapping[str, Any], calibration: Calibration, found: Predictions) -> Tensor:
    thresholds = calibration.thresholds(row["policy"], row["kind"], row["value"])
    rule = StoppingRule(model.schemes, row["policy"], thresholds, calibration)
    return rule.simulate(found.energies, found.logits).exits


def first_four(
    labels: Tensor, answers: Mapping[str, Mapping[str, Tensor]], found: Predictions
) -> dict[str, int | None]:
    """An image of each kind, None where there is none: the most telling one, not the first.

    `easy`: right at every block, with the largest margin at the first. `late`: right at the last block and wrong at
    the one before or, where there is none such, within the smallest margins. `turned`: the first block is surest of a
    wrong class, the network right. `foreign`: of no class, with the largest confidence.
    """
    confidence, answer = found.logits.softmax(1).max(1)
    picked: dict[str, int | None] = dict.fromkeys(("easy", "late", "turned", "foreign"))
    known = labels >= 0
    right = known & (answer == labels)
    if answers:
        said = list(answers.values())
        everywhere = torch.stack([one["nearest"] == labels for one in said]) & right
        first = said[0]
        streak = everywhere.flip(0).cumprod(0).sum(0)  # blocks at the end that are right
        smallest = torch.stack([one["margin"] for one in said[:-1] or said]).sum(0)
        picked["easy"] = _best(everywhere.all(0), first["margin"])
        late = right & (streak == 1)
        picked["late"] = _best(late, -smallest) if late.any() else _best(right & everywhere[-1], -smallest)
        picked["turned"] = _best(right & ~everywhere[0], first["margin"])
    else:
        picked["easy"] = _best(right, confidence)
        picked["late"] = _best(right, -confidence)
    picked["foreign"] = _best(labels == FOREIGN, confidence)
    return picked


def _best(among: Tensor, score: Tensor) -> int | None:
    return int(score.masked_fill(~among, -torch.inf).argmax()) if among.any() else None


def _right(answers: Mapping[str, Mapping[str, Tensor]], answer: Tensor, labels: Tensor) -> Row | None:
    """Tenths of a percent right at every coded block, then at the softmax; None where no class is known."""
    known = labels >= 0
    if not known.any():
        return None
    everyone = [*(one["nearest"] for one in answers.values()), answer]
    return {
        "images": int(known.sum()),
        "blocks": [round(1000 * (one == labels)[known].double().mean().item()) for one in everyone],
    }


def confusions(model: CodedResNeXt, answers: Mapping[str, Mapping[str, Tensor]], labels: Tensor) -> Row | None:
    """Which classes each coded block takes for which, beside the Hamming distance of their codewords.

    Returns:
        For each block `pairs`, the most frequent [true, answer, images, distance], and `by_distance`,
        [distance, pairs of classes at it, images confused between them]; None of a plain network or where no class is
        known.
    """
    known = labels >= 0
    if not answers or not known.any():
        return None
    blocks = []
    for name, said in answers.items():
        words = torch.tensor(model.schemes[name].words, dtype=torch.int64)
        wrong = known & (said["nearest"] != labels)
        counts = Counter(zip(labels[wrong].tolist(), said["nearest"][wrong].tolist(), strict=True))
        apart = {pair: int((words[pair[0]] != words[pair[1]]).sum()) for pair in counts}
        listed = sorted(counts, key=lambda pair: (-counts[pair], pair))[:CONFUSED]
        mixed: Counter[int] = Counter()
        for pair, count in counts.items():
            mixed[apart[pair]] += count
        blocks.append(
            {
                "wrong": int(wrong.sum()),
                "pairs": [[*pair, counts[pair], apart[pair]] for pair in listed],
                "by_distance": [
                    [distance, pairs, mixed[distance]]
                    for distance, pairs in model.schemes[name].distance_distribution().items()
                ],
            }
        )
    return {"images": int(known.sum()), "blocks": blocks}


@torch.inference_mode()
def removal(model: CodedResNeXt, pictures: Pictures, batch: int) -> Row:
    """Images of each class that are right without each single branch of the coded blocks.

    What lies before a block runs once.

    Returns:
        `images`, `each` (K,) images of the classes, `whole` (K,) right with all branches, `without`
        [block][branch] (K,); or `why` it was not computed.
    """
    labelled = pictures.labelled
    if not model.schemes:
        return {"why": "A plain network assigns no class to its branches."}
    if not len(labelled):
        return {"why": "None of these images is of a class of the network."}
    cost = multiply_adds(model, pictures.images.image_size)
    passes = sum(model.num_branches * (1 - cost.until(name, whole=False) / cost.total) + 1 for name in model.schemes)
    count = min(REMOVED, int(WORK / (passes * cost.total)))
    if count < 2 * model.num_classes and count < len(labelled):
        return {"why": f"Too much to compute for {model.num_classes} classes of a network of this size."}
    rows = labelled[draw_evenly(pictures.images.labels[labelled].tolist(), count)]
    images = pictures.images.subset(rows)
    k, n = model.num_classes, model.num_branches
    whole = torch.zeros(k, dtype=torch.int64)
    without = {name: torch.zeros(n, k, dtype=torch.int64) for name in model.schemes}
    for pixels, labels in eval_batches(images, batch, torch.device("cpu")):
        features, at = model.forward_stem(pixels), 0
        for name in model.schemes:
            start = model.block_names.index(name)
            features, _ = model.forward_blocks(features, at, start)
            at = start
            for branch in range(n):
                mask = torch.arange(n) != branch
                tail, _ = model.forward_blocks(features, start, branch_mask={name: mask})
                without[name][branch] += _hits(model.forward_head(tail), labels, k)
        features, _ = model.forward_blocks(features, at)
        whole += _hits(model.forward_head(features), labels, k)
    return {
        "images": len(images),
        "each": torch.bincount(images.labels, minlength=k).tolist(),
        "whole": whole.tolist(),
        "without": [counts.tolist() for counts in without.values()],
    }


def _hits(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    return torch.bincount(labels[logits.argmax(1) == labels], minlength=classes)


def _thousandths(values: Tensor) -> list[int]:
    return [round(1000 * value) for value in values.tolist()]


