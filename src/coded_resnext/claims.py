"""The paper's main claims, beside what the records of a preset say of them.

A claim about which of two numbers is larger should hold on any data, so it gets a verdict; comparison.py has all
numbers one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from .parameters import load_preset
from .records import read_stage
from .summaries import (
    Z95,
    Record,
    accuracy_table,
    binary_table,
    controls_table,
    early_table,
    piece,
    removal_table,
    variance,
)
from .tables import paper

NOT_RUN = "not run"
NOT_MEASURED = "not measured"  # for instance against foreign images, where the data set has none
MOSTLY = 50.0  # percent: a binary classifier that is right more often than wrong; chance is 10 in the paper's figures


class Claim(NamedTuple):
    """A row of the summary; without a record only its name and the paper's number are known."""

    claim: str
    paper: str
    ours: float | None = None
    error: float | None = None
    runs: int | None = None
    images: int | None = None
    verdict: str = NOT_RUN


def claims(preset: str) -> pd.DataFrame:
    """The paper's main claims on CIFAR-10 beside what the records of a preset say.

    Only a claim about which of two numbers is larger gets a verdict, for it should hold on any data: "agrees" or
    "differs" when their difference is beyond its 95 % error, else "undecided". Runs of the preset's first coded kind
    and of the plain kind count, averaged over seeds, and the ablations of the first coded kind.

    Returns:
        Columns claim, paper (text, since some of its numbers are ranges; ~ was read off a plot), ours and error
        (95 %; percent or percentage points), runs, images, verdict ("not run" without a record, empty where nothing
        is claimed).
    Raises:
        ValueError: an unknown preset, a record of another schema or without a metric.
    """
    load_preset(preset)
    by_stage = {stage: read_stage(preset, stage) for stage in ("accuracy", "specialisation", "binary", "early")}
    rows = [
        *_accuracy_claims(accuracy_table(by_stage["accuracy"])),
        *_removal_claims(removal_table(by_stage["specialisation"])),
        *_binary_claims(binary_table(by_stage["binary"])),
        *_early_claims(early_table(by_stage["early"])),
        *_control_claims(controls_table(by_stage["binary"])),
        *_ablation_claims(by_stage["accuracy"], by_stage["early"], by_stage["binary"]),
    ]
    return pd.DataFrame(rows).astype({"ours": float, "error": float, "runs": "Int64", "images": "Int64"})


def _accuracy_claims(table: pd.DataFrame) -> list[Claim]:
    numbers = paper("table-2", "cifar10").set_index("network")["value"]
    coded, plain = (_one(table.query("kind == @kind")) for kind in ("coded", "plain"))
    difference = f"{numbers['coded'] - numbers['plain']:+.2f}"
    return [
        _rate_claim("accuracy, coded", f"{numbers['coded']:.2f}", coded),
        _rate_claim("accuracy, plain", f"{numbers['plain']:.2f}", plain),
        _difference_claim("coded minus plain: nothing is lost", difference, coded, plain),
    ]


def _removal_claims(table: pd.DataFrame) -> list[Claim]:
    table = table.query("kind == 'coded'")
    read = paper("figure-2a", "cifar10")
    numbers = read.set_index(["set", "removed"])["value"]
    last = read["removed"].max()
    inactive, active = numbers["inactive", last], numbers["active", last]
    ours = {which: _last(table.query("set == @which")) for which in ("inactive", "active")}
    return [
        _rate_claim("accuracy without a block's inactive branches", f"~{inactive:.1f}", ours["inactive"]),
        _rate_claim("accuracy without its active branches", f"~{active:.1f}", ours["active"]),
        _difference_claim(
            "removing active branches hurts more than inactive",
            f"~{inactive - active:.1f}",
            ours["inactive"],
            ours["active"],
        ),
    ]


def _binary_claims(table: pd.DataFrame) -> list[Claim]:
    table = table.query("kind == 'coded'")
    read = paper("figure-2b")
    here, foreign = (read[read["negatives"] == f"{where} distribution"] for where in ("in", "out of"))
    precision = here[here["metric"].str.endswith("precision")]["value"]
    recall = here[here["metric"].str.endswith("recall")]["value"]
    name = "binary classifiers, mean"
    return [
        _mean_claim(f"{name} precision: mostly right", _range(precision), table, "precision", MOSTLY),
        _mean_claim(f"{name} recall: most are found", _range(recall), table, "recall", MOSTLY),
        _mean_claim(f"{name} average precision", "", table, "average_precision", scale=100),
        _mean_claim(f"{name} precision against foreign images", _range(foreign["value"]), table, "precision_out"),
    ]


def _early_claims(table: pd.DataFrame) -> list[Claim]:
    table = table.query("kind == 'coded'")
    numbers = paper("figure-4", "cifar10")["value"].tolist()  # in network order, the softmax last
    first = _one(table[table["from_end"] == table["from_end"].max()])
    last, softmax = (_one(table[table["from_end"] == place]) for place in (1, 0))
    return [
        _rate_claim("early decoding by the first coded block", f"~{numbers[0]:.1f}", first),
        _rate_claim("early decoding by the last coded block", f"~{numbers[-2]:.1f}", last),
        _difference_claim(
            "decoding improves from the first block to the last", f"~{numbers[-2] - numbers[0]:.1f}", last, first
        ),
        _rate_claim("softmax of the same runs", f"~{numbers[-1]:.1f}", softmax),
    ]


def _control_claims(table: pd.DataFrame) -> list[Claim]:
    """Ours, not the paper's: what a path owes to its codeword, and to having been trained with it."""
    groups = table.groupby(["kind", "cut"])
    by_cut = {key: rows.set_index("class")["average_precision"] for key, rows in groups}
    own, name = ("coded", "own codeword"), "mean average precision, own codeword less"
    return [
        _gain_claim(f"{name} another's", "", by_cut, own, ("coded", "another codeword"), table),
        _gain_claim(f"{name} the same cut of a plain network", "", by_cut, own, ("plain", "own codeword"), table),
    ]


def _ablation_claims(accuracy: list[Record], early: list[Record], binary: list[Record]) -> list[Claim]:
    drops, sums = binary_table(binary, "drop_branch"), binary_table(binary, "branch_sum")
    precision = {drop: rows.set_index("class")["precision"] / 100 for drop, rows in drops.groupby("drop_branch")}
    average = {kind: rows.set_index("class")["average_precision"] for kind, rows in sums.groupby("branch_sum")}
    read = paper("figure-6").set_index(["p_drop", "metric"])["value"]
    gain = f"~{read[0.1, 'lowest precision'] - read[0.0, 'highest precision']:.0f} or more"
    kept = f"{read[0.1, 'accuracy'] - read[0.0, 'accuracy']:+.2f}"
    dropping = accuracy_table(accuracy, "drop_branch").set_index("drop_branch")
    with_drop, without = (_one(dropping[dropping.index == drop]) for drop in (0.1, 0.0))
    exponents = accuracy_table(accuracy, "exponent").set_index("exponent")
    theirs = paper("exponent").set_index("exponent")["value"]
    fourth, second = (_one(exponents[exponents.index == exponent]) for exponent in (4.0, 2.0))
    last = early_table(early, "mu").query("from_end == 1")
    return [
        _gain_claim("binary precision gained by branch dropping", gain, precision, 0.1, 0.0, drops),
        _difference_claim("accuracy with branch dropping less without", kept, with_drop, without),
        _chance_claim(_one(last[last["mu"] == 0]), binary),
        _difference_claim("exponent 4 less exponent 2, accuracy", f"{theirs[4] - theirs[2]:+.1f}", fourth, second),
        _gain_claim(
            "mean average precision lost by concatenation", "fails", average, "normalised", "concatenated", sums
        ),
    ]


def _gain_claim(
    claim: str, number: str, values: Mapping[Any, pd.Series], more: Any, less: Any, table: pd.DataFrame
) -> Claim:
    """Whether one way does better than another over the classes, which are paired; values are 0 … 1."""
    if more not in values or less not in values:
        return Claim(claim, number)
    gains = 100 * (values[more] - values[less])
    error = Z95 * gains.std() / math.sqrt(len(gains))
    runs, images = table[["runs", "images"]].iloc[0]
    return Claim(claim, number, gains.mean(), error, runs, images, _verdict(gains.mean(), error))


def _chance_claim(row: pd.Series | None, binary: list[Record]) -> Claim:
    """Whether energies that no loss has touched name no class.

    Images of a class have similar energies, so such a decoder is right on most of a class or on none of it: what
    is drawn is the class, not the image, and chance is as uncertain as a draw of K classes.
    """
    claim, number = "without a coding loss the last block decodes at chance", "~1 of 100 classes"
    if row is None or not binary:
        return Claim(claim, number)
    classes = len(piece(binary[0], "points"))
    chance = 100 / classes
    error = Z95 * math.sqrt(chance * (100 - chance) / classes)
    verdict = "agrees" if abs(row["accuracy"] - chance) <= error else "differs"
    return Claim(claim, number, row["accuracy"], error, row["runs"], row["images"], verdict)


def _rate_claim(claim: str, number: str, row: pd.Series | None) -> Claim:
    if row is None:
        return Claim(claim, number)
    return Claim(claim, number, row["accuracy"], Z95 * math.sqrt(variance(row)), row["runs"], row["images"], "")


def _difference_claim(claim: str, number: str, larger: pd.Series | None, smaller: pd.Series | None) -> Claim:
    """Whether one accuracy is larger than another."""
    if larger is None or smaller is None:
        return Claim(claim, number)
    difference = larger["accuracy"] - smaller["accuracy"]
    error = Z95 * math.sqrt(variance(larger) + variance(smaller))
    runs = min(larger["runs"], smaller["runs"])
    return Claim(claim, number, difference, error, runs, larger["images"], _verdict(difference, error))


def _mean_claim(
    claim: str, number: str, table: pd.DataFrame, column: str, above: float | None = None, scale: float = 1
) -> Claim:
    """A mean over classes, its error from their spread, and whether it is above a value."""
    values = scale * table[column].dropna()
    if values.empty:
        return Claim(claim, number, verdict=NOT_RUN if table.empty else NOT_MEASURED)
    mean, error = values.mean(), Z95 * values.std() / math.sqrt(len(values))
    verdict = "" if above is None else _verdict(mean - above, error)
    return Claim(claim, number, mean, error, table["runs"].iloc[0], table["images"].iloc[0], verdict)


def _verdict(difference: float, error: float) -> str:
    if abs(difference) <= error:
        return "undecided"
    return "agrees" if difference > 0 else "differs"


def _one(rows: pd.DataFrame) -> pd.Series | None:
    return None if rows.empty else rows.iloc[0]


def _last(rows: pd.DataFrame) -> pd.Series | None:
    return _one(rows[rows["removed"] == rows["removed"].max()])


def _range(values: pd.Series) -> str:
    return f"~{values.min():.0f} to {values.max():.0f}"
