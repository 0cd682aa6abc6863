"""Tables: the paper's numbers, ours beside them, and any DataFrame as text, Markdown and CSV.

No torch here: a fresh clone shows its tables in a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from . import paths
from .parameters import load_preset, unknown
from .records import read_stage, write_atomically
from .summaries import Z95, accuracy_table, binary_table, early_table, removal_table

NOT_RUN = "not run"
NOT_MEASURED = "not measured"  # for instance against foreign images, where the data set has none
SAME_IN_PAPER = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}
MOSTLY = 50.0  # percent: a binary classifier that is right more often than wrong; chance is 10 in the paper's figures


# The paper's numbers


def paper(item: str, data: str | None = None) -> pd.DataFrame:
    """The paper's numbers of one table or figure, from data/paper/<item>.csv.

    Args:
        data: a data set of ours. Then only the paper's numbers on the same one; where it has none, on CIFAR-10, which
            is nearest in size to the small ones; where not even that, on the first that it has.
    Returns:
        Columns item, data_set, condition, metric, value, read_from, and one more for each key of the conditions
        ("set=active; removed=3" makes columns set and removed), NaN where a row does not have the key.
    Raises:
        ValueError: an unknown item, with the closest known names.
    """
    path = paths.PAPER / f"{item}.csv"
    if not path.is_file():
        raise ValueError(unknown("item of the paper", item, sorted(file.stem for file in paths.PAPER.glob("*.csv"))))
    frame = pd.read_csv(path)
    if data is not None:
        there = list(frame["data_set"])
        wanted = [SAME_IN_PAPER.get(data), "CIFAR-10", there[0]]
        frame = frame[frame["data_set"] == next(name for name in wanted if name in there)].reset_index(drop=True)
    conditions = [dict(pair.split("=", 1) for pair in text.split("; ")) for text in frame["condition"]]
    keys = dict.fromkeys(key for condition in conditions for key in condition)
    for key in keys:
        column = pd.Series([condition.get(key) for condition in conditions], index=frame.index, dtype=object)
        numbers = pd.to_numeric(column, errors="coerce")
        frame[key] = numbers if numbers.notna().eq(column.notna()).all() else column
    return frame


# Ours beside the paper's


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
    and of the plain kind count, averaged over seeds.

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
    ]
    return pd.DataFrame(rows).astype({"ours": float, "error": float, "runs": "Int64", "images": "Int64"})


def _accuracy_claims(table: pd.DataFrame) -> list[Claim]:
    numbers = paper("table-2", "cifar10").set_index("network")["value"]
    coded, plain = (_one(table.query("kind == @kind")) for kind in ("coded", "plain"))
    difference = f"{numbers['coded'] - numbers['plain']:+.2f}"
    return [
        _rate_claim("accuracy, coded", f"{numbers['coded']:.2f}", coded),
        _rate_claim("accuracy, plain", f"{numbers['plain']:.2f}", plain),
        _difference_claim("coded minus plain: nothing is lost", difference, coded, plain, allow_equal=True),
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


def _rate_claim(claim: str, number: str, row: pd.Series | None) -> Claim:
    if row is None:
        return Claim(claim, number)
    return Claim(claim, number, row["accuracy"], Z95 * math.sqrt(_variance(row)), row["runs"], row["images"], "")


def _difference_claim(
    claim: str, number: str, larger: pd.Series | None, smaller: pd.Series | None, *, allow_equal: bool = False
) -> Claim:
    """Whether one accuracy is larger than another, or not smaller with `allow_equal`."""
    if larger is None or smaller is None:
        return Claim(claim, number)
    difference = larger["accuracy"] - smaller["accuracy"]
    error = Z95 * math.sqrt(_variance(larger) + _variance(smaller))
    runs = min(larger["runs"], smaller["runs"])
    verdict = _verdict(difference, error, allow_equal)
    return Claim(claim, number, difference, error, runs, larger["images"], verdict)


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


def _verdict(difference: float, error: float, allow_equal: bool = False) -> str:
    if abs(difference) <= error and not allow_equal:
        return "undecided"
    return "agrees" if difference > (-error if allow_equal else error) else "differs"


def _variance(row: pd.Series) -> float:
    """Of a mean accuracy, in squared percent: the draw of the test images, and of the seeds if several.

    Wilson's interval stands for the images, since the plain one is empty when all are right. The same images measure
    both sides of a difference, so it is known better than this says.
    """
    images = ((row["high"] - row["low"]) / (2 * Z95)) ** 2
    return images + (row["std"] ** 2 / row["runs"] if row["runs"] > 1 else 0.0)


def _one(rows: pd.DataFrame) -> pd.Series | None:
    return None if rows.empty else rows.iloc[0]


def _last(rows: pd.DataFrame) -> pd.Series | None:
    return _one(rows[rows["removed"] == rows["removed"].max()])


def _range(values: pd.Series) -> str:
    return f"~{values.min():.0f} to {values.max():.0f}"


# Tables as text


def as_text(frame: pd.DataFrame) -> str:
    """A table with aligned columns, for the terminal."""
    columns = [[str(name), *cells] for name, cells in _cells(frame)]
    widths = [max(map(len, column)) for column in columns]
    to_left = [not pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    align: list[Callable[[str, int], str]] = [str.ljust if left else str.rjust for left in to_left]
    rows = [*zip(*columns, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = ["  ".join(put(cell, width) for put, cell, width in zip(align, row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def as_markdown(frame: pd.DataFrame) -> str:
    """A table for a README: numbers to the right."""
    columns = [[str(name), *cells] for name, cells in _cells(frame)]
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in zip(*columns, strict=True)]
    rule = "|".join("--:" if pd.api.types.is_numeric_dtype(frame[name]) else "---" for name in frame)
    return "\n".join([f"| {rows[0]} |", f"|{rule}|", *(f"| {row} |" for row in rows[1:])]) + "\n"


def save_table(frame: pd.DataFrame, preset: str, stem: str) -> tuple[Path, Path]:
    """Write figures/<preset>/<stem>.md, rounded for reading, and .csv in full; return both paths."""
    folder = paths.FIGURES / preset
    written = folder / f"{stem}.md", folder / f"{stem}.csv"
    write_atomically(written[0], as_markdown(frame).encode())
    write_atomically(written[1], frame.to_csv(index=False, lineterminator="\n").encode())
    return written


def _cells(frame: pd.DataFrame) -> list[tuple[object, list[str]]]:
    """The cells of every column, numbers with as many decimals as the column needs; missing ones are empty."""
    columns = []
    for name in frame:
        values = frame[name]
        form = "{}"
        if pd.api.types.is_numeric_dtype(values):
            there = values.dropna().astype(float)
            most = 2 if there.abs().max() >= 2 else 4
            decimals = next((few for few in range(most) if (there.round(few) == there).all()), most)
            form = f"{{:.{decimals}f}}"
        columns.append((name, ["" if pd.isna(value) else form.format(value) for value in values]))
    return columns
