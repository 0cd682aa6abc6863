"""Records as DataFrames: one function a stage, from the records of a preset to the rows of a table or figure.

Runs that differ in nothing but their seed are one kind and are averaged; an ablation is a kind of its own and
never mixes with the run that it varies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .parameters import TrainingParameters, load_preset, to_plain
from .records import metric

Record = Mapping[str, Any]

Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
NO_KIND = ("name", "seed", "preset", "coded")  # what does not make a run another kind; "coded" is the kind's first word
CODED_ONLY = ("mu", "drop_branch", "exponent", "active")  # a plain network has no use for them
RATE_COLUMNS = ("accuracy", "std", "low", "high", "images")
POINT_COLUMNS = ("threshold", "recall", "precision", "average_precision", "precision_out", "average_precision_out")


def run_kinds(records: Iterable[Record]) -> list[str]:
    """What each record's run is: "coded" or "plain", and what it has that the preset's first coded run has not.

    For example "coded", "plain", "coded, mu=0.0". Runs of one kind differ in their seed only.

    Raises:
        ValueError: a record of a preset that is not there.
    """
    references: dict[str, dict[str, Any]] = {}
    kinds = []
    for record in records:
        preset = record["parameters"]["preset"]
        if preset not in references:
            references[preset] = _first_coded_run(preset)
        kinds.append(_kind(record["parameters"], references[preset]))
    return kinds


def accuracy_table(records: Sequence[Record]) -> pd.DataFrame:
    """Table 2: top-1 accuracy of every kind of run, from records of stage "accuracy".

    Returns:
        A row a kind: data_set, kind, runs, accuracy (mean, percent), std (over runs, NaN for one), low and high
        (95 % Wilson interval), images.
    """
    rows = [
        {"data_set": data, "kind": kind, "runs": len(group), **_rate([metric(r, "accuracy") for r in group], group)}
        for (data, kind), group in _grouped(records)
    ]
    return pd.DataFrame(rows, columns=["data_set", "kind", "runs", "accuracy", "std", "low", "high", "images"])


def early_table(records: Sequence[Record]) -> pd.DataFrame:
    """Figures 4 and 5: accuracy of every early decoder, then of the softmax, from records of stage "early".

    Returns:
        A row a kind and decoder: data_set, kind, mu, decoder (block name or "softmax"), from_end (1 is the last
        coded block, 0 the softmax), runs, accuracy (mean, percent), std, low, high, images.
    """
    rows = []
    for (data, kind), group in _grouped(records):
        curves = [_piece(record, "curves") for record in group]
        for position, decoder in enumerate(row["block"] for row in curves[0]):
            values = [curve[position]["accuracy"] for curve in curves]
            rows.append({
                "data_set": data, "kind": kind, "mu": group[0]["parameters"]["mu"], "decoder": decoder,
                "from_end": len(curves[0]) - 1 - position, "runs": len(group), **_rate(values, group),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["data_set", "kind", "mu", "decoder", "from_end", "runs", *RATE_COLUMNS])


def removal_table(records: Sequence[Record]) -> pd.DataFrame:
    """Figure 2a: accuracy without some branches of one block, from records of stage "specialisation".

    Returns:
        A row a kind, set and number: data_set, kind, block, set ("active" or "inactive" branches of the true class),
        removed, runs, accuracy (mean over runs and random removals, percent), std (over both), low, high, images.
    """
    rows = []
    for (data, kind), group in _grouped(records):
        values: dict[tuple[str, int], list[float]] = {}
        for row in (row for record in group for row in _piece(record, "curves")):
            values.setdefault((row["set"], row["removed"]), []).append(row["accuracy"])
        for (which, removed), accuracies in sorted(values.items()):
            rows.append({
                "data_set": data, "kind": kind, "block": _piece(group[0], "block"), "set": which, "removed": removed,
                "runs": len(group), **_rate(accuracies, group),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["data_set", "kind", "block", "set", "removed", "runs", *RATE_COLUMNS])


def binary_table(records: Sequence[Record]) -> pd.DataFrame:
    """Figures 2b, 2c, 6 and 8: every class's binary classifier, averaged over runs, from records of stage "binary".

    Returns:
        A row a kind and class: data_set, kind, drop_branch, class, runs, threshold, recall, precision (percent),
        average_precision (0 … 1), precision_out and average_precision_out (against foreign images, NaN without),
        images.
    """
    rows = []
    for (data, kind), group in _grouped(records):
        points = pd.DataFrame([point for record in group for point in _piece(record, "points")])
        means = (
            points.astype(dict.fromkeys(POINT_COLUMNS, float)).groupby("name", sort=False)[list(POINT_COLUMNS)].mean()
        )
        means = means.reset_index(names="class").assign(
            data_set=data, kind=kind, drop_branch=group[0]["parameters"]["drop_branch"], runs=len(group),
            images=int(metric(group[0], "images")),
        )  # fmt: skip
        rows.append(means)
    columns = ["data_set", "kind", "drop_branch", "class", "runs", *POINT_COLUMNS, "images"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def wilson(percent: float, images: int) -> tuple[float, float]:
    """95 % interval (Wilson's) of a share that was measured on so many images, in percent.

    Unlike the plain normal interval it stays within 0 … 100, and is not empty when every image is right.
    """
    share, shrink = percent / 100, 1 + Z95**2 / images
    centre = (share + Z95**2 / (2 * images)) / shrink
    half = Z95 * math.sqrt(share * (1 - share) / images + Z95**2 / (4 * images**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def _rate(values: Sequence[float], group: Sequence[Record]) -> dict[str, float]:
    """Mean, spread and interval of an accuracy. All runs see the same test images, so these count once."""
    images = int(metric(group[0], "images"))
    mean = float(np.mean(values))
    low, high = wilson(mean, images)
    std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return dict(zip(RATE_COLUMNS, (mean, std, low, high, images), strict=True))


def _grouped(records: Sequence[Record]) -> list[tuple[tuple[str, str], list[Record]]]:
    """Records by data set and kind, in the order in which these first come."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record, kind in zip(records, run_kinds(records), strict=True):
        groups.setdefault((record["parameters"]["data"], kind), []).append(record)
    return list(groups.items())


def _first_coded_run(preset: str) -> dict[str, Any]:
    runs = load_preset(preset).runs
    coded = [to_plain(parameters) for parameters in runs.values() if parameters.coded]
    if not coded:
        raise ValueError(f"preset {preset} lists no coded run to compare its other runs with, but {', '.join(runs)}")
    return coded[0]


def _kind(parameters: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    complete = {**to_plain(TrainingParameters()), **parameters}  # an older record may lack a newer parameter
    ignored = NO_KIND if complete["coded"] else NO_KIND + CODED_ONLY
    changes = [f"{key}={complete[key]}" for key in reference if key not in ignored and complete[key] != reference[key]]
    return ", ".join(["coded" if complete["coded"] else "plain", *changes])


def _piece(record: Record, key: str) -> Any:
    if key not in record:
        raise ValueError(f"record {record['stage']}-{record['name']} has no {key!r}: repeat its stage")
    return record[key]
