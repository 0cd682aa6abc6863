"""Records as DataFrames: one function a stage, from the records of a preset to the rows of a table or figure.

Runs that differ in nothing but their seed are one kind and are averaged; an ablation is a kind of its own and
never mixes with the run that it varies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..records.intervals import wilson
from ..records.kinds import _changes, _kind_name
from ..records.presets import load_preset
from ..records.records import Record, metric, piece

RATE_COLUMNS = ("accuracy", "std", "low", "high", "images")
DROPPING = {"drop_branch", "drop_ramp"}
LEAST_PRECISION = 0.9  # average precision from which a path counts as a binary classifier of its own
POINT_COLUMNS = ("threshold", "recall", "precision", "average_precision", "precision_out", "average_precision_out")


def accuracy_table(records: Sequence[Record], vary: str | None = None) -> pd.DataFrame:
    """Table 2 and the exponent's ablation: top-1 accuracy of every kind of run, from records of stage "accuracy".

    Args:
        vary: a training parameter. Then only coded runs count that differ from the preset's first in nothing else,
            and its value is a column more.
    Returns:
        A row a kind: data_set (the preset's title), kind, (vary), runs, accuracy (mean, percent), std (over runs, NaN
        for one), low and high (95 % Wilson interval), images.
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


def removal_table(records: Sequence[Record]) -> pd.DataFrame:
    """Figure 2a: accuracy without some branches of one block, from records of stage "specialisation".

    Returns:
        A row a kind, set and number: data_set, kind, runs, block, set ("active" or "inactive" branches of the
        true class), removed, accuracy (percent, over runs), std (over runs; random removals of one network are no runs
        and are averaged before), low, high, images.
    """
    rows = []
    for head, group in _grouped(records, None):
        values: dict[tuple[str, int], list[float]] = {}
        for record in group:
            for condition, accuracy in removal_means(record).items():
                values.setdefault(condition, []).append(accuracy)
        block = piece(group[0], "block")
        for (which, removed), accuracies in sorted(values.items()):
            rows.append({**head, "block": block, "set": which, "removed": removed, **_rate(accuracies, group)})
    return _frame(rows, None, ["block", "set", "removed"], RATE_COLUMNS)


def removal_means(record: Record) -> dict[tuple[str, int], float]:
    """Accuracy by set and number removed, the mean over one run's random removals."""
    repeats: dict[tuple[str, int], list[float]] = {}
    for row in piece(record, "curves"):
        repeats.setdefault((row["set"], row["removed"]), []).append(row["accuracy"])
    return {condition: float(np.mean(accuracies)) for condition, accuracies in repeats.items()}


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


def path_table(records: Sequence[Record]) -> pd.DataFrame:
    """How a class does on the path of another, by how far apart their codewords are, from records of stage "binary".

    Returns:
        A row a kind and distance, over all pairs of classes at it: data_set, kind, runs, distance (branches in which
        two codewords differ, over the schemes of the network; 0 is a class's own path), pairs, average_precision
        (0 … 1, mean over pairs and runs), std (over runs). Records of many classes, and older ones, have no such
        numbers.
    """
    rows = []
    for head, group in _grouped([record for record in records if "paths" in record], None):
        distances = np.array(group[0]["distances"])
        for distance in np.unique(distances):
            pairs = distances == distance
            means = [float(np.array(record["paths"])[pairs].mean()) for record in group]
            mean, std = _mean_and_spread(means)
            numbers = {"distance": distance, "pairs": int(pairs.sum()), "average_precision": mean, "std": std}
            rows.append({**head, **numbers})
    return _frame(rows, None, ["distance", "pairs"], ["average_precision", "std"])


def energy_table(records: Sequence[Record]) -> pd.DataFrame:
    """What inactive branches carry of the energy, from records of stage "early".

    Returns:
        A row a kind and block: data_set, kind, runs, block, if_even (what they would carry if all branches were alike),
        inactive_share (percent, mean over images and runs), std (over runs). Older records have no such numbers.
    """
    rows = []
    for head, group in _grouped([record for record in records if "energies" in record], None):
        for place, first in enumerate(group[0]["energies"]):
            energies = np.array(first["energies"])
            if_even = 100 * (1 - energies.sum(1).mean() / energies.shape[1])  # a row sums to N_act
            mean, std = _mean_and_spread([record["energies"][place]["inactive_share"] for record in group])
            numbers = {"if_even": round(if_even, 1), "inactive_share": mean, "std": std}
            rows.append({**head, "block": first["block"], **numbers})
    return _frame(rows, None, ["block"], ["if_even", "inactive_share", "std"])


def probe_table(accuracy: Sequence[Record], early: Sequence[Record]) -> pd.DataFrame:
    """Early decoding beside linear probes of the plain network at the same blocks.

    Args:
        accuracy: records of that stage; those of plain runs have the probes, older ones have not.
        early: records of that stage.
    Returns:
        A row a block: block, decoding (of the first coded kind), probe (accuracy, percent, means over runs), their std.
    """
    probes = [(head, group) for head, group in _grouped([r for r in accuracy if "probes" in r], None)]
    plain = next((group for head, group in probes if head["kind"] == "plain"), [])
    decoders = early_table(early).query("kind == 'coded'").set_index("decoder")
    rows = []
    for place, block in enumerate(row["block"] for row in (plain[0]["probes"] if plain else [])):
        mean, std = _mean_and_spread([record["probes"][place]["accuracy"] for record in plain])
        if block in decoders.index:
            ours = decoders.loc[block]
            numbers = {"decoding": ours["accuracy"], "decoding_std": ours["std"], "probe": mean, "probe_std": std}
            rows.append({"block": block, **numbers})
    return pd.DataFrame(rows, columns=["block", "decoding", "decoding_std", "probe", "probe_std"])


def removal_by_block_table(records: Sequence[Record]) -> pd.DataFrame:
    """The ends of figure 2a in every coded block, from records of stage "specialisation".

    Returns:
        A row a kind and block: data_set, kind, runs, block, whole, without_inactive, without_active (accuracy, percent,
        mean over runs), gained (by removing the inactive ones, points), std (of it, over runs). Older records have one
        block only.
    """
    rows = []
    for head, group in _grouped([record for record in records if "blocks" in record], None):
        whole = [metric(record, "accuracy") for record in group]
        for place, first in enumerate(group[0]["blocks"]):
            active, inactive = (
                [record["blocks"][place][which] for record in group] for which in ("active", "inactive")
            )
            gained, std = _mean_and_spread([a - b for a, b in zip(inactive, whole, strict=True)])
            rows.append({
                **head, "block": first["block"], "whole": np.mean(whole), "without_inactive": np.mean(inactive),
                "without_active": np.mean(active), "gained": gained, "std": std,
            })  # fmt: skip
    return _frame(rows, None, ["block"], ["whole", "without_inactive", "without_active", "gained", "std"])


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


def dropping_table(records: Sequence[Record]) -> pd.DataFrame:
    """Which way of dropping branches the images held out choose, from records of stage "accuracy".

    The choice is the kind of best accuracy among those whose paths stand alone, an average precision of LEAST_PRECISION
    or more; both of images that were neither trained on nor tested. Whether it loses anything, the plain network's
    accuracy on the same images says.

    Returns:
        A row a coded kind that differs from the preset's first in dropping alone, and one of the plain network:
        data_set, kind, runs, held_accuracy (mean, percent), std (over runs), less_plain (that accuracy less the plain
        network's, where that was measured), held_average_precision (0 … 1; a plain network has no paths), chosen,
        accuracy (of the test images, percent, that no choice has seen), images (held out). Older records lack what was
        held out and are left out.
    """
    of_dropping = [
        record
        for record, (parameters, changes) in zip(records, _changes(records), strict=True)
        if (
            changes.keys() <= DROPPING and "average_precision" in record.get("held", {})
            if parameters["coded"]
            else not changes and "held" in record
        )
    ]
    rows = []
    for head, group in _grouped(of_dropping, None):
        held = pd.DataFrame([record["held"] for record in group])
        mean, std = _mean_and_spread(held["accuracy"].to_numpy())
        rows.append({
            **head, "held_accuracy": mean, "std": std,
            "held_average_precision": held.get("average_precision", pd.Series(dtype=float)).mean(),
            "accuracy": float(np.mean([metric(record, "accuracy") for record in group])), "images": held["images"][0],
        })  # fmt: skip
    values = ["held_accuracy", "std", "less_plain", "held_average_precision", "chosen", "accuracy", "images"]
    table = _frame(rows, None, [], values)
    plain = table.loc[table["kind"] == "plain", "held_accuracy"].mean()  # NaN without one
    table["less_plain"] = (table["held_accuracy"] - plain).where(table["kind"] != "plain")
    stand_alone = table["held_accuracy"].where(table["held_average_precision"] >= LEAST_PRECISION)
    table["chosen"] = (stand_alone == stand_alone.max()).map({True: "yes", False: "no"})
    return table.drop(columns="less_plain") if np.isnan(plain) else table


def _rate(values: Sequence[float], group: Sequence[Record]) -> dict[str, float]:
    """Mean, spread and interval of an accuracy. All runs see the same test images, so these count once."""
    images = int(metric(group[0], "images"))
    mean, std = _mean_and_spread(values)
    low, high = wilson(mean, images)
    return dict(zip(RATE_COLUMNS, (mean, std, low, high, images), strict=True))


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Over runs; one has no spread."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _grouped(records: Sequence[Record], vary: str | None) -> list[tuple[dict[str, Any], list[Record]]]:
    """Records by data set and kind, in the order in which these first come, each group with the start of its rows."""
    groups: dict[tuple[str, str], tuple[dict[str, Any], list[Record]]] = {}
    titles: dict[str, str] = {}
    for record, (parameters, changes) in zip(records, _changes(records), strict=True):
        if vary is not None and not (parameters["coded"] and changes.keys() <= {vary}):
            continue
        preset = parameters["preset"]
        titles[preset] = titles.get(preset) or load_preset(preset).title
        head = {"data_set": titles[preset], "kind": _kind_name(parameters, changes)}
        if vary is not None:
            head[vary] = parameters[vary]
        groups.setdefault((head["data_set"], head["kind"]), (head, []))[1].append(record)
    return [({**head, "runs": len(group)}, group) for head, group in groups.values()]


def _frame(rows: list[dict[str, Any]], vary: str | None, keys: list[str], values: Sequence[str]) -> pd.DataFrame:
    varied = [] if vary is None else [vary]
    return pd.DataFrame(rows, columns=["data_set", "kind", *varied, "runs", *keys, *values])


def step_table(record: Record) -> pd.DataFrame:
    """Training steps by the clock, from the record of stage "step".

    Returns:
        A row a network: median and quartiles in ms, peak memory in MB, both over the plain network's, and the device.
    """
    rows = []
    for curve in piece(record, "curves"):
        seconds = pd.Series(curve["step_seconds"])
        rows.append({
            "network": curve["network"],
            "step, ms": 1e3 * seconds.median(),
            "lower quartile": 1e3 * seconds.quantile(0.25),
            "upper quartile": 1e3 * seconds.quantile(0.75),
            "peak memory, MB": curve["peak_megabytes"],
        })  # fmt: skip
    table = pd.DataFrame(rows).set_index("network")
    for column, name in (("step, ms", "time over plain"), ("peak memory, MB", "memory over plain")):
        table[name] = table[column] / table.loc["plain", column]
    return table.reset_index().assign(device=record["environment"]["device"])
