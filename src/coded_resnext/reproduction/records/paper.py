"""Tables: the paper's numbers, and any DataFrame as text, Markdown and CSV.

No torch here: a fresh clone shows its tables in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ... import paths
from ...training.parameters import unknown
from .records import write_atomically

SAME_IN_PAPER = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}


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
