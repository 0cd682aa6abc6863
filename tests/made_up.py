"""Made-up records of the digits preset, for tests of what is drawn and tabulated from records."""

import dataclasses

from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.reproduction.records.records import begin, write_record
from coded_resnext.training.parameters import to_plain

IMAGES = 1000


def write(stage, name, metrics=None, changes=None, preset="digits", **more):
    listed = load_preset(preset).runs
    like = next(run for run in listed if run.startswith("plain" if name.startswith("plain") else "coded"))
    parameters = dataclasses.replace(listed[like], name=name)
    changes = changes or {}
    return write_record(
        preset, stage, name, parameters=to_plain(parameters) | changes, seed=changes.get("seed", 0), checkpoint=None,
        metrics={"images": IMAGES, **(metrics or {})}, beginning=begin("CPU"), seconds=1.0, **more,
    )  # fmt: skip


def removal(active):
    """Accuracies after removing 0, 1, … active branches, each twice; inactive ones change nothing."""
    rows = [("active", active), ("inactive", [active[0]] * len(active))]
    return [
        {"set": which, "removed": removed, "repeat": repeat, "accuracy": accuracy + repeat}
        for which, accuracies in rows
        for removed, accuracy in enumerate(accuracies)
        for repeat in range(2)
    ]


def point(name, precision=90.0, recall=80.0, precision_out=60.0):
    return {
        "name": name, "threshold": 1.0, "recall": recall, "precision": precision, "average_precision": 0.9,
        "precision_out": precision_out, "average_precision_out": None if precision_out is None else 0.5,
    }  # fmt: skip


def write_binary(name, points, changes=None, own=0.9, another=0.2, **more):
    cuts = {"own codeword": own, "another codeword": another, "whole network": 1.0}
    controls = [
        {"cut": cut, "class": row["name"], "average_precision": value + 0.001 * k}
        for cut, value in cuts.items()
        for k, row in enumerate(points)
    ]
    counts = {"edges": [-1.0, 0.0, 1.0], "positives": [1, 5], "negatives": [50, 2]}
    histograms = [{"class": row["name"], **counts} for row in points[:10]]
    return write("binary", name, changes=changes, points=points, controls=controls, histograms=histograms, **more)


def decoding(first, last, softmax):
    return [
        {"block": "layer2.0", "accuracy": first},
        {"block": "layer3.0", "accuracy": last},
        {"block": "softmax", "accuracy": softmax},
    ]


def write_everything(coded=95.0, plain=94.0, active=(95.0, 80.0), precision=90.0, first=70.0):
    write("accuracy", "coded-s0", {"accuracy": coded})
    write("accuracy", "plain-s0", {"accuracy": plain})
    write("specialisation", "coded-s0", curves=removal(list(active)), block="layer2.0")
    write_binary("coded-s0", [point(str(k), precision + k) for k in range(3)])
    write("early", "coded-s0", curves=decoding(first, 93.0, coded))
