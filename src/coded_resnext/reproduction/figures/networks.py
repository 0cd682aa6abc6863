"""Drawings of a whole network: the paths of classes through it, and its decoders with what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from ...codes.scheme import CodingScheme
from ..records.records import Record
from .style import (
    ANOTHER_CLASS,
    BOTH_CLASSES,
    CODED_COLOUR,
    ONE_CLASS,
    WIDTH,
    short_name,
    shown_name,
    styled,
)

# Of branches: colour and hatching, since colours alone may not be told apart.
NOBODY = ("white", "")
FIRST = (ONE_CLASS, "////")
SECOND = (ANOTHER_CLASS, "\\\\\\\\")
BOTH = (BOTH_CLASSES, "")
EVERYBODY = ("#dddddd", "")
HEIGHT = 1.0  # of a column of branches, in units of the drawing; a column and the gap behind it are 1 wide
COLUMN_WIDTH = 0.55
NUMBERS = {"cost": "spent", "accuracy": "right"}  # of a decoder, and what their rows are called
BELOW, ROW = -0.95, 0.22  # where the first of these rows stands, and how far the next is below it


class Kept(NamedTuple):
    """What a network cut to some classes keeps, percent."""

    parameters: float
    multiply_adds: float


def kept_shares(records: Sequence[Record]) -> tuple[Kept, Kept]:
    """Of one class and of two, means over classes or random pairs and runs; from records of stage "subnetworks"."""
    one, two = [], []
    for record in records:
        full = record["full"]
        for rows, found in (
            (record["singles"], one), ([row for row in record["curves"] if row["classes"] == 2], two),
        ):  # fmt: skip
            found += [[100 * row[key] / full[key] for key in Kept._fields] for row in rows]
    return Kept(*np.mean(one, axis=0)), Kept(*np.mean(two, axis=0))


def block_names(record: Record) -> list[str]:
    """Of all blocks of a run's network, in order."""
    layers = record["parameters"]["layers"]
    return [f"layer{stage}.{place}" for stage, count in enumerate(layers, 1) for place in range(count)]


@styled
def class_paths(
    record: Record, schemes: Mapping[str, CodingScheme], classes: Sequence[str], one: Kept, two: Kept
) -> Figure:
    """The path of the first class, and below it the paths of the first two, which share branches.

    Args:
        record: of any stage; for the network.
        one, two: of `kept_shares`.
    """
    blocks, branches = block_names(record), record["parameters"]["num_branches"]
    first, second = map(shown_name, classes[:2])
    figure = Figure((WIDTH, 3.3))
    panels = figure.subplots(2, 1)
    for axes, pair, kept, title in (
        (panels[0], (0,), one, f"{first}: a class keeps"),
        (panels[1], (0, 1), two, f"{first} and {second}: two classes keep"),
    ):
        _page(axes, len(blocks))
        for place, block in enumerate(blocks):
            _column(axes, place, _looks(schemes.get(block), pair, branches), short_name(block))
        _ends(axes, len(blocks))
        axes.set_title(
            f"{title} {kept.parameters:.0f} % of the parameters, {kept.multiply_adds:.0f} % of the multiply-adds",
            fontsize=7, loc="left",
        )  # fmt: skip
    legend = {first: FIRST, second: SECOND, "both": BOTH, "neither: cut off": NOBODY, "conventional: all": EVERYBODY}
    _legend_of(panels[0], legend)
    return figure


@styled
def decoders(record: Record, schemes: Mapping[str, CodingScheme], table: pd.DataFrame, example: str) -> Figure:
    """The network with a decoder under every coded block: what has been spent there, and how often it is right.

    Args:
        record: of any stage; for the network.
        table: by block, and "softmax" at the end; columns cost and accuracy, percent, NaN where unknown; what is known
            nowhere has no row.
        example: the first class, whose branches are filled.
    """
    blocks, branches = block_names(record), record["parameters"]["num_branches"]
    table = table.rename(columns=NUMBERS)[list(NUMBERS.values())].dropna(axis="columns", how="all")
    figure = Figure((WIDTH, 2.5))
    axes = figure.subplots()
    _page(axes, len(blocks), below=1.35)
    for place, block in enumerate(blocks):
        looks = _looks(schemes.get(block), (0,), branches)
        _column(axes, place, looks, short_name(block))
        if block in schemes:
            scheme = schemes[block]
            _decoder(axes, place, f"nearest of\n{scheme.num_classes} words", table.loc[block])
    _ends(axes, len(blocks))
    _decoder(axes, len(blocks), "softmax", table.loc["softmax"])
    for row, words in enumerate(table):
        axes.text(-1.0, BELOW - ROW * row, words, fontsize=7, fontweight="bold", va="center")
    _legend_of(axes, {f"works for {example}": FIRST, "does not": NOBODY, "conventional": EVERYBODY})
    return figure


def _legend_of(axes: Axes, looks: Mapping[str, tuple[str, str]]) -> None:
    for label, (colour, hatch) in looks.items():
        axes.add_patch(
            Rectangle((0, 0), 0, 0, facecolor=colour, hatch=hatch, edgecolor="#333333", linewidth=0.4, label=label)
        )


def _page(axes: Axes, blocks: int, below: float = 0.2) -> None:
    axes.set(xlim=(-1.1, blocks + 1.0), ylim=(-below, HEIGHT + 0.12))
    axes.set_axis_off()


def _looks(scheme: CodingScheme | None, classes: Sequence[int], branches: int) -> list[tuple[str, str]]:
    """Of every branch of a block, by which of one or two classes it works for."""
    if scheme is None:
        return [EVERYBODY] * branches
    words = scheme.words[list(classes)]
    looks = {(True, True): BOTH, (True, False): FIRST, (False, True): SECOND, (False, False): NOBODY}
    return [looks[bool(word[0]), bool(word[1]) if len(word) > 1 else False] for word in words.T]


def _column(axes: Axes, place: int, looks: Sequence[tuple[str, str]], name: str) -> None:
    """A block as its branches one above the other, branch 1 on top, and the way to the next block."""
    step = HEIGHT / len(looks)
    for row, (colour, hatch) in enumerate(looks):
        axes.add_patch(
            Rectangle(
                (place, HEIGHT - (row + 1) * step), COLUMN_WIDTH, 0.8 * step, facecolor=colour, hatch=hatch,
                edgecolor="#333333", linewidth=0.4,
            )
        )  # fmt: skip
    axes.plot([place + COLUMN_WIDTH, place + 1], [HEIGHT / 2] * 2, color="#333333", linewidth=0.8)
    axes.text(place + COLUMN_WIDTH / 2, -0.07, name, ha="center", va="center", fontsize=6.5)


def _ends(axes: Axes, blocks: int) -> None:
    for left, words in ((-0.95, "stem"), (blocks, "pool\nfc")):
        axes.add_patch(Rectangle((left, 0.3 * HEIGHT), 0.6, 0.4 * HEIGHT, facecolor="#dddddd", edgecolor="#333333",
                                 linewidth=0.6))  # fmt: skip
        axes.text(left + 0.3, HEIGHT / 2, words, ha="center", va="center", fontsize=6.5)
    axes.plot([-0.35, 0], [HEIGHT / 2] * 2, color="#333333", linewidth=0.8)


def _decoder(axes: Axes, place: int, words: str, numbers: pd.Series) -> None:
    """Below a block: what decodes there, and its numbers, percent, a row each."""
    middle = place + COLUMN_WIDTH / 2
    axes.add_patch(
        FancyArrowPatch((middle, -0.14), (middle, -0.36), arrowstyle="-|>", mutation_scale=5, color="#333333")
    )
    axes.add_patch(Rectangle((place - 0.17, -0.78), 0.9, 0.4, facecolor="white", edgecolor=CODED_COLOUR, linewidth=0.8))
    axes.text(middle, -0.58, words, ha="center", va="center", fontsize=5)
    for row, value in enumerate(numbers):
        shown = "?" if pd.isna(value) else f"{value:.0f} %"
        axes.text(middle, BELOW - ROW * row, shown, ha="center", va="center", fontsize=7)
