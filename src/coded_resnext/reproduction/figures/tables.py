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
from scipy.special import stdtrit

from ...training.parameters import HOW, load_preset, to_plain, with_defaults
from ..records.records import metric

Record = Mapping[str, Any]

Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
NO_KIND = ("name", "seed", "preset", "coded", *HOW)  # what makes no other kind of run; "coded" is its first word
CODED_ONLY = ("mu", "drop_branch", "exponent", "branch_sum", "active")  # a plain network has no use for them
RATE_COLUMNS = ("accuracy", "std", "low", "high", "images")
POINT_COLUMNS = ("threshold", "recall", "precision", "average_precision", "precision_out", "average_precision_out")


def run_kinds(records: Iterable[Record]) -> list[str]:
    """What each record's run is: "coded" or "plain", and what it has that the preset's first coded run has not.

    For example "coded", "plain", "coded, mu=0.0". Runs of one kind differ in their seed only.

    Raises:
        ValueError: a record of a preset that is not there, or that has no coded run.
    """
    return [_kind_name(parameters, changes) for parameters, changes in _changes(records)]


def accuracy_table(records: Sequence[Record], vary: str | None = None) -> pd.DataFrame:
    """Table 2 and the exponent's ablation: top-1 accuracy of every kind of run, from records of stage "accuracy".

    Args:
        vary: a training parameter. Then only coded runs count that differ from the preset's first in nothing else,
            and its value is a column more.
    Returns:
        A row a kind: data_set, kind, (vary), runs, accuracy (mean, percent), std (over runs, NaN for one), low and
        high (95 % Wilson interval), images.
    """
    rows = [
        {**head, **_rate([metric(record, "accuracy") for record in group], group)}
        for head, group in _grouped(records, vary)
    ]
    return _frame(rows, vary, [], RATE_COLUMNS)


def early_table(records: Sequence[Record], vary: str | None = None) -> pd.DataFrame:
    """Figures 4 and 5: accuracy of every early decoder, then of the softmax, from records of stage "early".

    Args:
        vary: as in `accuracy_table`.
    Returns:
        A row a kind and decoder: data_set, kind, (vary), runs, decoder (block name or "softmax"), from_end (1 is the
        last coded block, 0 the softmax), accuracy (mean, percent), std, low, high, images.
    """
    rows = []
    for head, group in _grouped(records, vary):
        curves = [piece(record, "curves") for record in group]
        for position, decoder in enumerate(row["block"] for row in curves[0]):
            values = [curve[position]["accuracy"] for curve in curves]
            from_end = len(curves[0]) - 1 - position
            rows.append({**head, "decoder": decoder, "from_end": from_end, **_rate(values, group)})
    return _frame(rows, vary, ["decoder", "from_end"], RATE_COLUMNS)


def removal_table(records: Sequence[Record], vary: str | None = None) -> pd.DataFrame:
    """Figure 2a: accuracy without some branches of one block, from records of stage "specialisation".

    Args:
        vary: as in `accuracy_table`.
    Returns:
        A row a kind, set and number: data_set, kind, (vary), runs, block, set ("active" or "inactive" branches of the
        true class), removed, accuracy (percent, over runs and random removals), std (over both), low, high, images.
    """
    rows = []
    for head, group in _grouped(records, vary):
        values: dict[tuple[str, int], list[float]] = {}
        for row in (row for record in group for row in piece(record, "curves")):
            values.setdefault((row["set"], row["removed"]), []).append(row["accuracy"])
        block = piece(group[0], "block")
        for (which, removed), accuracies in sorted(values.items()):
            rows.append({**head, "block": block, "set": which, "removed": removed, **_rate(accuracies, group)})
    return _frame(rows, vary, ["block", "set", "removed"], RATE_COLUMNS)


def binary_table(records: Sequence[Record], vary: str | None = None) -> pd.DataFrame:
    """Figures 2b, 2c, 6 and 8: every class's binary classifier, averaged over runs, from records of stage "binary".

    Args:
        vary: as in `accuracy_table`.
    Returns:
        A row a kind and class: data_set, kind, (vary), runs, class, threshold, recall, precision (percent),
        average_precision (0 … 1), precision_out and average_precision_out (against foreign images, NaN without),
        images.
    """
    rows = []
    for head, group in _grouped(records, vary):
        points = pd.DataFrame([point for record in group for point in piece(record, "points")])
        numbers = points.astype(dict.fromkeys(POINT_COLUMNS, float))  # no foreign images: None becomes NaN
        means = numbers.groupby("name", sort=False)[list(POINT_COLUMNS)].mean()
        images = int(metric(group[0], "images"))
        rows += [{**head, "class": name, **row, "images": images} for name, row in means.iterrows()]
    return _frame(rows, vary, ["class"], [*POINT_COLUMNS, "images"])


def controls_table(records: Sequence[Record]) -> pd.DataFrame:
    """Binary classifiers beside their controls, averaged over runs, from records of stage "binary".

    Returns:
        A row a kind, way of cutting and class: data_set, kind, runs, cut ("own codeword", "another codeword", "whole
        network"), class, average_precision (0 … 1), images.
    """
    rows = []
    for head, group in _grouped(records, None):
        every = pd.DataFrame([row for record in group for row in piece(record, "controls")])
        means = every.groupby(["cut", "class"], sort=False)["average_precision"].mean()
        images = int(metric(group[0], "images"))
        rows += [
            {**head, "cut": cut, "class": name, "average_precision": value, "images": images}
            for (cut, name), value in means.items()
        ]
    return _frame(rows, None, ["cut", "class"], ["average_precision", "images"])


def ablation_table(accuracy: Sequence[Record], early: Sequence[Record], binary: Sequence[Record]) -> pd.DataFrame:
    """One line a kind of run: what each ablation does to accuracy, to decoding and to binary classifiers.

    Args:
        accuracy, early, binary: records of these stages; of what is missing, cells are empty.
    Returns:
        data_set, kind, runs, accuracy, std, first_block and last_block (accuracy as early decoders), recall, precision,
        average_precision (means over classes).
    """
    table = accuracy_table(accuracy)[["data_set", "kind", "runs", "accuracy", "std"]]
    decoders = early_table(early)
    first = decoders["from_end"] == decoders.groupby(["data_set", "kind"])["from_end"].transform("max")
    for name, rows in (("first_block", decoders[first]), ("last_block", decoders[decoders["from_end"] == 1])):
        column = rows[["data_set", "kind", "accuracy"]].rename(columns={"accuracy": name})
        table = table.merge(column, on=["data_set", "kind"], how="left")
    means = binary_table(binary).groupby(["data_set", "kind"])[["recall", "precision", "average_precision"]].mean()
    return table.merge(means.reset_index(), on=["data_set", "kind"], how="left")


def wilson(percent: float, images: int) -> tuple[float, float]:
    """95 % interval (Wilson's) of a share that was measured on so many images, in percent.

    Unlike the plain normal interval it stays within 0 … 100, and is not empty when every image is right.
    """
    share, shrink = percent / 100, 1 + Z95**2 / images
    centre = (share + Z95**2 / (2 * images)) / shrink
    half = Z95 * math.sqrt(share * (1 - share) / images + Z95**2 / (4 * images**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def error95(*rows: pd.Series) -> float:
    """Half the 95 % interval of a mean accuracy, or of the difference of two, in percent.

    The draw of the test images counts by Wilson's interval, since the plain one is empty when all are right; the same
    images measure both sides of a difference, so it is known better than this says. The draw of the seeds counts by
    Student's t, with a spread that is pooled over the rows: what was run once is taken to vary as what stands beside it
    does. Where all were run once, only the images count.
    """
    images = sum(((row["high"] - row["low"]) / 2) ** 2 for row in rows)
    repeated = [row for row in rows if row["runs"] > 1]
    freedom = sum(row["runs"] - 1 for row in repeated)
    if not freedom:
        return math.sqrt(images)
    pooled = sum(row["std"] ** 2 * (row["runs"] - 1) for row in repeated) / freedom
    seeds = stdtrit(freedom, 0.975) ** 2 * pooled * sum(1 / row["runs"] for row in rows)
    return math.sqrt(images + seeds)


def error95_of_mean(values: pd.Series) -> float:
    """Half the 95 % interval of a mean over classes, by Student's t."""
    return stdtrit(len(values) - 1, 0.975) * values.std() / math.sqrt(len(values))


def _rate(values: Sequence[float], group: Sequence[Record]) -> dict[str, float]:
    """Mean, spread and interval of an accuracy. All runs see the same test images, so these count once."""
    images = int(metric(group[0], "images"))
    mean = float(np.mean(values))
    low, high = wilson(mean, images)
    std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return dict(zip(RATE_COLUMNS, (mean, std, low, high, images), strict=True))


def _grouped(records: Sequence[Record], vary: str | None) -> list[tuple[dict[str, Any], list[Record]]]:
    """Records by data set and kind, in the order in which these first come, each group with the start of its rows."""
    groups: dict[tuple[str, str], tuple[dict[str, Any], list[Record]]] = {}
    for record, (parameters, changes) in zip(records, _changes(records), strict=True):
        if vary is not None and not (parameters["coded"] and changes.keys() <= {vary}):
            continue
        head = {"data_set": parameters["data"], "kind": _kind_name(parameters, changes)}
        if vary is not None:
            head[vary] = parameters[vary]
        groups.setdefault((head["data_set"], head["kind"]), (head, []))[1].append(record)
    return [({**head, "runs": len(group)}, group) for head, group in groups.values()]


def _changes(records: Iterable[Record]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The training parameters of each record, and those that its preset's first coded run has otherwise."""
    references: dict[str, dict[str, Any]] = {}
    pairs = []
    for record in records:
        parameters = with_defaults(record["parameters"])
        preset = parameters["preset"]
        if preset not in references:
            references[preset] = _first_coded_run(preset)
        ignored = NO_KIND if parameters["coded"] else NO_KIND + CODED_ONLY
        changes = {
            key: parameters[key]
            for key, value in references[preset].items()
            if key not in ignored and parameters[key] != value
        }
        pairs.append((parameters, changes))
    return pairs


def _kind_name(parameters: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    words = [f"{key}={value}" for key, value in changes.items()]
    return ", ".join(["coded" if parameters["coded"] else "plain", *words])


def _frame(rows: list[dict[str, Any]], vary: str | None, keys: list[str], values: Sequence[str]) -> pd.DataFrame:
    varied = [] if vary is None else [vary]
    return pd.DataFrame(rows, columns=["data_set", "kind", *varied, "runs", *keys, *values])


def _first_coded_run(preset: str) -> dict[str, Any]:
    runs = load_preset(preset).runs
    coded = [to_plain(parameters) for parameters in runs.values() if parameters.coded]
    if not coded:
        raise ValueError(f"preset {preset} lists no coded run to compare its other runs with, but {', '.join(runs)}")
    return coded[0]


def piece(record: Record, key: str) -> Any:
    """What a record has beyond scalars: curves, points, histograms.

    Raises:
        ValueError: naming the record that lacks it.
    """
    if key not in record:
        raise ValueError(f"record {record['stage']}-{record['name']} has no {key!r}: repeat its stage")
    return record[key]
