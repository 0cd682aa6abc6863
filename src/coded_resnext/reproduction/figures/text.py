"""Tables as aligned text, as Markdown and as CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd

from ... import paths
from ...errors import on_one_line
from ...files import write_atomically


def as_text(frame: pd.DataFrame) -> str:
    """A table with aligned columns, for the terminal."""
    columns = [[*map(on_one_line, (str(name), *cells))] for name, cells in _cells(frame)]
    widths = [max(map(len, column)) for column in columns]
    to_left = [not pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    align: list[Callable[[str, int], str]] = [str.ljust if left else str.rjust for left in to_left]
    rows = [*zip(*columns, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = ["  ".join(put(cell, width) for put, cell, width in zip(align, row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def as_markdown(frame: pd.DataFrame, marked: Collection[str] = ()) -> str:
    """A table for a README: numbers to the right.

    Args:
        marked: columns whose cells are Markdown already, for instance links.
    """
    columns = [
        [_in_markdown(str(name)), *(cells if name in marked else map(_in_markdown, cells))]
        for name, cells in _cells(frame)
    ]
    rows = [" | ".join(row) for row in zip(*columns, strict=True)]
    rule = "|".join("--:" if pd.api.types.is_numeric_dtype(frame[name]) else "---" for name in frame)
    return "\n".join([f"| {rows[0]} |", f"|{rule}|", *(f"| {row} |" for row in rows[1:])]) + "\n"


def _in_markdown(cell: str) -> str:
    """A cell that is shown as it is: a class may be called `<b>`, $x$ or a|b."""
    cell = re.sub(r"&(?=#?\w+;)|<(?=[A-Za-z/!?])", lambda mark: {"&": "&amp;", "<": "&lt;"}[mark[0]], cell)
    struck = "~" if cell.count("~") > 1 else ""  # one alone is "about"
    cell = re.sub(rf"\\(?=[!-/:-@\[-`{{-~])|[|$*`\[\]{struck}]", lambda mark: f"\\{mark[0]}", cell)
    return re.sub(r"\r\n|[\r\n]", "<br>", cell)


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
