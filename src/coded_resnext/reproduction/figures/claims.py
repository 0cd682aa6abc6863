"""The paper's main claims, beside what the records of a preset say of them.

A claim about which of two numbers is larger should hold on any data, so it gets a verdict; comparison.py has all
numbers one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ..records.intervals import error95, error95_of_mean
from ..records.paper import paper
from ..records.presets import load_preset
from ..records.records import read_stage
from .tables import accuracy_table, binary_table, controls_table, early_table, removal_table

NOT_RUN = "not run"
NOT_MEASURED = "not measured"  # for instance against foreign images, where the data set has none


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
        (95 %; percent or percentage points; over the classes for binary classifiers, else see `error95`), runs (of the
        side that was run less often), images, verdict ("not run" without a record, empty where nothing is claimed).
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
    ]
    return pd.concat([_frame(rows), ablation_claims(preset)], ignore_index=True)


def ablation_claims(preset: str) -> pd.DataFrame:
    """Those rows of `claims` that compare the ablations of the first coded kind with it."""
    accuracy, early, binary = (read_stage(preset, stage) for stage in ("accuracy", "early", "binary"))
    sums, exponents = binary_table(binary, "branch_sum"), accuracy_table(accuracy, "exponent")
    theirs = paper("exponent").set_index("exponent")["value"]
    rows = [
        *_dropping_claims(accuracy_table(accuracy, "drop_branch"), binary_table(binary, "drop_branch")),
        *_coding_loss_claims(_where(early_table(early, "mu"), from_end=1)),
        _difference_claim(
            "accuracy, exponent 4 less exponent 2",
            f"{theirs[4] - theirs[2]:+.1f}",
            _one(_where(exponents, exponent=4.0)),
            _one(_where(exponents, exponent=2.0)),
        ),
        _gain_claim(
            "mean average precision lost by concatenation",
            "fails",
            _where(sums, branch_sum="normalised"),
            _where(sums, branch_sum="concatenated"),
            "average_precision",
            scale=100,
        ),
    ]
    return _frame(rows)


def _frame(rows: list[Claim]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"ours": float, "error": float, "runs": "Int64", "images": "Int64"})


def _accuracy_claims(table: pd.DataFrame) -> list[Claim]:
    numbers = paper("table-2", "cifar10").set_index("network")["value"]
    coded, plain = (_one(_where(table, kind=kind)) for kind in ("coded", "plain"))
    difference = f"{numbers['coded'] - numbers['plain']:+.2f}"
    return [
        _rate_claim("accuracy, coded", f"{numbers['coded']:.2f}", coded),
        _rate_claim("accuracy, plain", f"{numbers['plain']:.2f}", plain),
        _difference_claim("coded minus plain: nothing is lost", difference, coded, plain),
    ]


def _removal_claims(table: pd.DataFrame) -> list[Claim]:
    table = _where(table, kind="coded")
    read = paper("figure-2a", "cifar10")
    numbers = read.set_index(["set", "removed"])["value"]
    last = read["removed"].max()
    whole, inactive, active = numbers["inactive", 0], numbers["inactive", last], numbers["active", last]
    ours = {which: _last(_where(table, set=which)) for which in ("inactive", "active")}
    none = _one(_where(table, removed=0))
    return [
        _rate_claim("accuracy without a block's inactive branches", f"~{inactive:.1f}", ours["inactive"]),
        _rate_claim("accuracy without its active branches", f"~{active:.1f}", ours["active"]),
        _difference_claim("removing inactive branches gains", f"~{inactive - whole:.1f}", ours["inactive"], none),
        _difference_claim("removing active branches loses", f"~{whole - active:.1f}", none, ours["active"]),
        _difference_claim(
            "removing active branches hurts more than inactive",
            f"~{inactive - active:.1f}",
            ours["inactive"],
            ours["active"],
        ),
    ]


def _binary_claims(table: pd.DataFrame) -> list[Claim]:
    table = _where(table, kind="coded")
    read = paper("figure-2b")
    here, foreign = (read[read["negatives"] == f"{where} distribution"] for where in ("in", "out of"))
    precision = here[here["metric"].str.endswith("precision")]["value"]
    recall = here[here["metric"].str.endswith("recall")]["value"]
    name = "binary classifiers, mean"
    return [
        _mean_claim(f"{name} precision", _range(precision), table, "precision"),
        _mean_claim(f"{name} recall", _range(recall), table, "recall"),
        _mean_claim(f"{name} average precision", "", table, "average_precision", scale=100),
        _mean_claim(f"{name} precision against foreign images", _range(foreign["value"]), table, "precision_out"),
    ]


def _early_claims(table: pd.DataFrame) -> list[Claim]:
    table = _where(table, kind="coded")
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
    own, another = (_where(table, kind="coded", cut=cut) for cut in ("own codeword", "another codeword"))
    plain = _where(table, kind="plain", cut="own codeword")
    name, column = "mean average precision, own codeword less", "average_precision"
    return [
        _gain_claim(f"{name} another's", "", own, another, column, scale=100),
        _gain_claim(f"{name} the same cut of a plain network", "", own, plain, column, scale=100),
    ]


def _dropping_claims(accuracy: pd.DataFrame, binary: pd.DataFrame) -> list[Claim]:
    read = paper("figure-6").set_index(["p_drop", "metric"])["value"]
    gained = read[0.1, "lowest precision"] - read[0.0, "highest precision"]
    kept = read[0.1, "accuracy"] - read[0.0, "accuracy"]
    more, less = (_where(binary, drop_branch=p) for p in (0.1, 0.0))
    higher, lower = (_one(_where(accuracy, drop_branch=p)) for p in (0.1, 0.0))
    return [
        _gain_claim("binary precision gained by branch dropping", f"~{gained:.0f} or more", more, less, "precision"),
        _difference_claim("accuracy gained by branch dropping", f"{kept:+.2f}", higher, lower),
    ]


def _coding_loss_claims(last: pd.DataFrame) -> list[Claim]:
    """Of the last coded block as a decoder; the paper's numbers are of CIFAR-100, where chance is 1 %."""
    read = paper("figure-5").query("network == 'coded' and decoder == 'block 9'").set_index("mu")["value"]
    trained, without = _one(_where(last, kind="coded")), _one(_where(last, mu=0.0))
    return [
        _rate_claim("decoding by the last block without a coding loss", f"~{read[0]:.0f} of CIFAR-100", without),
        _difference_claim(
            "decoding by the last block gained by the coding loss",
            f"~{read[6] - read[0]:.0f} of CIFAR-100",
            trained,
            without,
        ),
    ]


def _gain_claim(
    claim: str, number: str, more: pd.DataFrame, less: pd.DataFrame, column: str, scale: float = 1
) -> Claim:
    """Whether one way does better than another over the classes, which are paired; scaled to percent."""
    if more.empty or less.empty:
        return Claim(claim, number)
    gains = scale * (more.set_index("class")[column] - less.set_index("class")[column])
    error, runs = error95_of_mean(gains), min(more["runs"].iloc[0], less["runs"].iloc[0])
    return Claim(claim, number, gains.mean(), error, runs, more["images"].iloc[0], _verdict(gains.mean(), error))


def _rate_claim(claim: str, number: str, row: pd.Series | None) -> Claim:
    if row is None:
        return Claim(claim, number)
    return Claim(claim, number, row["accuracy"], error95(row), row["runs"], row["images"], "")


def _difference_claim(claim: str, number: str, larger: pd.Series | None, smaller: pd.Series | None) -> Claim:
    """Whether one accuracy is larger than another."""
    if larger is None or smaller is None:
        return Claim(claim, number)
    difference = larger["accuracy"] - smaller["accuracy"]
    error = error95(larger, smaller)
    runs = min(larger["runs"], smaller["runs"])
    return Claim(claim, number, difference, error, runs, larger["images"], _verdict(difference, error))


def _mean_claim(claim: str, number: str, table: pd.DataFrame, column: str, scale: float = 1) -> Claim:
    """A mean over classes, and its error from their spread."""
    values = scale * table[column].dropna()
    if values.empty:
        return Claim(claim, number, verdict=NOT_RUN if table.empty else NOT_MEASURED)
    runs, images = table[["runs", "images"]].iloc[0]
    return Claim(claim, number, values.mean(), error95_of_mean(values), runs, images, "")


def _verdict(difference: float, error: float) -> str:
    if abs(difference) <= error:
        return "undecided"
    return "agrees" if difference > 0 else "differs"


def _where(table: pd.DataFrame, **values: str | float) -> pd.DataFrame:
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _one(rows: pd.DataFrame) -> pd.Series | None:
    return None if rows.empty else rows.iloc[0]


def _last(rows: pd.DataFrame) -> pd.Series | None:
    return _one(rows[rows["removed"] == rows["removed"].max()])


def _range(values: pd.Series) -> str:
    return f"~{values.min():.0f} to {values.max():.0f}"
