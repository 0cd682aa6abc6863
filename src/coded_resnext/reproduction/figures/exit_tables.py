"""Records of early exit as DataFrames: mean and spread over the runs of a preset that differ in their seed only.

Records of stage "exits" are of coded runs, and of plain ones as points to compare with; those of "timing" are the
clock's. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..records.records import metric
from .tables import Record, piece, run_kinds, wilson

CODED = "coded"
SHOWN_DROP = 0.5  # percentage points: the target whose exits are shown


def coded_records(records: Sequence[Record]) -> list[Record]:
    """Those of the preset's coded runs."""
    return [record for record, kind in zip(records, run_kinds(records), strict=True) if kind == CODED]


def static_table(records: Sequence[Record]) -> pd.DataFrame:
    """Networks that never stop early: the coded one and, beside it, plain ones of any width.

    Returns:
        kind, runs, accuracy (mean, percent), std (over runs), low and high (95 % Wilson interval), multiply_adds
        (percent of the coded network's), images.
    """
    kinds = run_kinds(records)
    whole = metric(coded_records(records)[0], "multiply_adds")
    rows = []
    for kind in dict.fromkeys(kinds):
        group = [record for record, its in zip(records, kinds, strict=True) if its == kind]
        accuracy = pd.Series([metric(record, "accuracy") for record in group])
        images = int(metric(group[0], "images"))
        low, high = wilson(accuracy.mean(), images)
        rows.append({
            "kind": kind, "runs": len(group), "accuracy": accuracy.mean(), "std": accuracy.std(), "low": low,
            "high": high, "multiply_adds": 100 * metric(group[0], "multiply_adds") / whole, "images": images,
        })  # fmt: skip
    return pd.DataFrame(rows)


def curve_table(records: Sequence[Record]) -> pd.DataFrame:
    """Accuracy against multiply-adds, percent: run, policy, accuracy, multiply_adds; from dear to cheap."""
    return _rows(records, "curves")


def target_table(records: Sequence[Record], kind: str) -> pd.DataFrame:
    """What calibrated thresholds bring on the test images.

    Args:
        kind: "drop" or "budget".
    Returns:
        A row a policy and target: policy, target (points of accuracy, or percent of the multiply-adds), runs; accuracy,
        drop (points below the same whole network) and multiply_adds, with their spread over runs (_std) and the 95 %
        error of one run (_error); saved (of the multiply-adds); kept (runs whose interval of what is limited begins at
        the target or below); percent.
    """
    frame = _rows(records, "targets")
    frame = frame[frame["kind"] == kind].rename(columns={"value": "target"})
    limited = "drop" if kind == "drop" else "multiply_adds"
    frame = frame.assign(kept=frame[limited] - frame[f"{limited}_error"] <= frame["target"])
    by = ["policy", "target"]
    table = _averaged(frame, by, ["accuracy", "drop", "multiply_adds"]).set_index(by)
    groups = frame.groupby(by)
    table = table.join(groups[["drop_error", "multiply_adds_error"]].mean())
    return table.assign(saved=100 - table["multiply_adds"], kept=groups["kept"].sum()).reset_index()


def chosen_target(records: Sequence[Record], drop: float) -> pd.Series:
    """The row of `target_table` for an accuracy drop whose policy was expected, on held-out images, to cost least."""
    frame = _rows(records, "targets")
    expected = frame[(frame["kind"] == "drop") & (frame["value"] == drop)].groupby("policy")["expected_multiply_adds"]
    table = target_table(records, "drop").set_index(["policy", "target"], drop=False)
    return table.loc[(expected.mean().idxmin(), drop)]


def share_table(records: Sequence[Record], drop: float) -> pd.DataFrame:
    """Where images leave under each policy's thresholds for one accuracy drop: policy, exit, share (mean, percent)."""
    rows = []
    for record in coded_records(records):
        places = [*piece(record, "blocks"), "softmax"]
        for target in piece(record, "targets"):
            if (target["kind"], target["value"]) == ("drop", drop):
                rows += [
                    {"policy": target["policy"], "exit": place, "share": share}
                    for place, share in zip(places, target["exits"], strict=True)
                ]
    return _averaged(pd.DataFrame(rows), ["policy", "exit"], ["share"])


def decoder_table(records: Sequence[Record]) -> pd.DataFrame:
    """Decoding across blocks: decoder, runs, and accuracy alone, soft, hard, each with its spread (_std); percent."""
    return _averaged(_rows(records, "decoders"), ["decoder"], ["alone", "soft", "hard"])


def anytime_table(records: Sequence[Record]) -> pd.DataFrame:
    """Every image cut short at one budget: budget, block, runs, accuracy alone and by the posterior, with spreads."""
    frame = _rows(records, "anytime").astype({"alone": float, "posterior": float})
    return _averaged(frame.fillna({"block": "none"}), ["budget", "block"], ["alone", "posterior"])


def agreement_table(records: Sequence[Record]) -> pd.DataFrame:
    """Early and late answers: block, runs, share of images where both, one or neither is right; percent."""
    return _averaged(_rows(records, "agreement"), ["block"], ["both", "early", "late", "neither"])


def rejection_table(records: Sequence[Record]) -> pd.DataFrame:
    """Images of no class: score, runs, auroc, aupr, fpr95 with their spreads; percent. Empty without such images."""
    frame = _rows(records, "rejection")
    return _averaged(frame, ["score"], ["auroc", "aupr", "fpr95"]) if len(frame) else frame


def verification_table(records: Sequence[Record]) -> pd.DataFrame:
    """Decode, then verify: block, candidates, runs, listed, accuracy, multiply_adds with their spreads; percent."""
    return _averaged(_rows(records, "verification"), ["block", "candidates"], ["listed", "accuracy", "multiply_adds"])


def timing_table(records: Sequence[Record]) -> pd.DataFrame:
    """The clock's view, of one record of stage "timing".

    Returns:
        A row a batch size and network or target: batch, network, policy and drop (missing where none), milliseconds an
        image (median over rounds), lower and upper quartile, times_faster (than the whole network; below 1 is slower),
        multiply_adds (percent).
    """
    (record,) = records
    rows = []
    for curve in piece(record, "curves"):
        each = pd.Series(curve["milliseconds"])
        low, middle, high = each.quantile([0.25, 0.5, 0.75])
        rows.append({
            "batch": curve["batch"], "network": curve["network"], "policy": curve.get("policy"),
            "drop": curve.get("drop", np.nan), "milliseconds": middle, "lower": low, "upper": high,
            "multiply_adds": curve["multiply_adds"],
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    whole = frame.groupby("batch")["milliseconds"].transform("first")  # the whole network comes first
    return frame.assign(times_faster=whole / frame["milliseconds"])


def _rows(records: Sequence[Record], key: str) -> pd.DataFrame:
    """One piece of every coded run's record, with the run's name."""
    coded = coded_records(records)
    return pd.DataFrame([{"run": record["name"], **row} for record in coded for row in piece(record, key)])


def _averaged(frame: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Means over runs with their spread (_std, NaN for one run), in the order in which rows first come."""
    groups = frame.groupby(by, sort=False)
    table = groups.size().to_frame("runs")
    for value in values:
        table[value] = groups[value].mean()
        table[f"{value}_std"] = groups[value].std()
    return table.reset_index()
