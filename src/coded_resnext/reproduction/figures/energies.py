"""Where the energies go: of the classes on average, of single images, and what a branch is worth to a class."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from PIL import Image

from ...codes.scheme import CodingScheme
from ...errors import NothingToShow
from ..records.records import Record, piece
from .style import PAPER_COLOUR, WIDTH, canvas, short_name, shown_name, styled

SHADES = "Blues"
MOST = 1.2  # energies above are as dark: a codeword asks for 1
DIFFERENCES = "PuOr"  # told apart by readers who see no red or no green
SHORT = 12  # characters of a name beside many narrow panels
NAMED = 20  # so many classes have a row with a name


class BlockEnergies(NamedTuple):
    """Of one coded block, means over runs: K×N energies, and the percentage that inactive branches carry."""

    block: str
    energies: np.ndarray
    inactive_share: float


def mean_energies(records: Sequence[Record]) -> list[BlockEnergies]:
    """Of records of stage "early", of one kind; older ones have no energies."""
    having = [record for record in records if "energies" in record]
    if not having:
        raise NothingToShow("the records have no energies of classes: repeat stage early")
    return [
        BlockEnergies(
            rows[0]["block"],
            np.mean([row["energies"] for row in rows], axis=0),
            float(np.mean([row["inactive_share"] for row in rows])),
        )
        for rows in zip(*(record["energies"] for record in having), strict=True)
    ]


@styled
def energies_by_class(
    rows: Mapping[str, Sequence[BlockEnergies]], schemes: Mapping[str, CodingScheme], names: Sequence[str]
) -> Figure:
    """The codewords of each coded stage, and beside them the mean energies of every class in its blocks.

    Args:
        rows: of `mean_energies`, by what the runs are; a row of panels each.
        names: of the classes; of many classes none are shown.
    """
    stages: dict[str, list[str]] = {}
    for block in schemes:
        stages.setdefault(block.split(".")[0], []).append(block)
    columns = [entry for stage, blocks in stages.items() for entry in (stage, *blocks)]
    figure = Figure((WIDTH, 0.55 + 1.0 * len(rows)))
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    few = len(names) <= NAMED  # between the rows of many classes lines would be all there is to see
    look = {"cmap": SHADES, "vmin": 0, "vmax": MOST} | ({"edgecolor": "white", "linewidth": 0.2} if few else {})
    for line, (kind, blocks) in zip(grid, rows.items(), strict=True):
        by_name = {block.block: block for block in blocks}
        for axes, column in zip(line, columns, strict=True):
            if column in stages:
                scheme = schemes[stages[column][0]]
                picture = axes.pcolormesh(scheme.words.astype(float), **look)
                title = f"codewords\n{scheme.num_active}/{scheme.num_branches}"
            else:
                picture = axes.pcolormesh(by_name[column].energies, **look)
                title = f"{short_name(column)}\n{by_name[column].inactive_share:.0f} % astray"
            axes.set_title(title, fontsize=min(6.5, 44 / len(columns)))  # titles of eight would touch
            axes.invert_yaxis()
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
        line[0].set_ylabel(kind)
        if few:
            labels = [shown_name(name, SHORT) for name in names]
            line[0].set_yticks(np.arange(len(names)) + 0.5, labels, fontsize=5)
            line[0].tick_params(length=0)
    figure.supxlabel("branch", fontsize=7)
    bar = figure.colorbar(picture, ax=grid, extend="max", aspect=30, pad=0.01)
    bar.set_label("mean $r\\,E(\\bar{t}_n)$", fontsize=7)
    return figure


@styled
def energies_of_images(record: Record, schemes: Mapping[str, CodingScheme]) -> Figure:
    """One image of each group: its energies block by block, what each block answers, and where the image would leave.

    Args:
        record: of stage "early", with example images.
    """
    classes, thresholds = list(map(shown_name, piece(record, "classes"))), piece(record, "thresholds")
    first: dict[str, dict[str, Any]] = {}
    for example in piece(record, "examples"):
        first.setdefault(example["group"], example)
    figure = Figure((WIDTH, 0.35 + 0.19 * len(schemes) * len(first)))
    grid = figure.subplots(len(first), 2, squeeze=False, width_ratios=(1, 3.2))
    for (left, right), example in zip(grid, first.values(), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(example["picture"]))) as picture:
            left.imshow(picture, cmap="gray", interpolation="nearest")
        label = example.get("label")
        left.set_title(example["group"], fontsize=7, fontweight="bold", pad=3)
        left.set_xlabel("of no class" if label is None else classes[label], fontsize=7)
        left.set(xticks=[], yticks=[])
        left.grid(False)
        _lit_branches(right, example, schemes, classes, thresholds)
    grid[0][1].set_title("branch", fontsize=7, loc="left", pad=11)
    return figure


def _lit_branches(
    axes: Axes, example: Mapping[str, Any], schemes: Mapping[str, CodingScheme], classes: Sequence[str],
    thresholds: Mapping[str, float],
) -> None:  # fmt: skip
    """A row a block: the energies, a dot on the bits of the codeword that is looked for, and the answer beside."""
    energies = np.array([example["energies"][block] for block in schemes])
    wanted = example.get("label")
    axes.pcolormesh(energies, cmap=SHADES, vmin=0, vmax=MOST, edgecolor="white", linewidth=0.5)
    branches = energies.shape[1]
    left_already = False
    for row, (block, scheme) in enumerate(schemes.items()):
        distances = np.linalg.norm(energies[row] - scheme.words, axis=1)
        nearest, second = np.argsort(distances, kind="stable")[:2]
        margin = distances[second] - distances[nearest]
        shown = nearest if wanted is None else wanted
        for branch in np.flatnonzero(scheme.words[shown]):
            light = energies[row, branch] > MOST / 2
            axes.plot(branch + 0.5, row + 0.5, "o", markersize=2.5, color="white" if light else "black")
        leaves = not left_already and block in thresholds and margin >= thresholds[block]
        left_already = left_already or leaves
        sign = "" if wanted is None else ("= " if nearest == wanted else "≠ ")
        words = f"{sign}{classes[nearest]}, margin {margin:.2f}" + ("  ◄ leaves" if leaves else "")
        axes.text(
            branches + 0.3, row + 0.5, words, va="center", fontsize=6.5, fontweight="bold" if leaves else "normal",
            color=PAPER_COLOUR if left_already and not leaves else "black",
        )  # fmt: skip
    sign = "" if wanted is None else ("= " if example["softmax"] == wanted else "≠ ")
    end = "  ◄ leaves" if thresholds and not left_already else ""
    axes.text(
        branches + 0.3, len(schemes) + 0.5, f"softmax: {sign}{classes[example['softmax']]}{end}", va="center",
        fontsize=6.5, color=PAPER_COLOUR if left_already else "black",
    )  # fmt: skip
    axes.set_xlim(0, 2.0 * branches)
    axes.set_ylim(len(schemes) + 1, 0)
    axes.set_yticks(np.arange(len(schemes)) + 0.5, [short_name(block) for block in schemes], fontsize=6.5)
    axes.set_xticks(np.arange(branches) + 0.5, range(1, branches + 1), fontsize=5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(False)


@styled
def worth_of_branches(records: Sequence[Record], scheme: CodingScheme, block: str) -> Figure:
    """Accuracy of every class without one branch less that with all, mean over runs; bits of the codewords are framed.

    Of more than `NAMED` classes the colours stand without their numbers.

    Args:
        records: of stage "specialisation", with accuracies by class.
    """
    by_class = [piece(record, "by_class") for record in records]
    names = by_class[0]["classes"]
    change = np.mean([np.array(each["without"]) - each["whole"] for each in by_class], axis=0).T  # (K, N)
    few = len(names) <= NAMED
    height = max(1.7, 0.7 + (0.2 if few else 0.07) * len(names))  # the words beside the colours want as much
    figure, axes = canvas(f"branch removed from {short_name(block)}", "", width=3.6, height=height)
    most = float(np.abs(change).max()) or 1.0
    picture = axes.pcolormesh(change, cmap=DIFFERENCES, norm=TwoSlopeNorm(0, -most, most))
    for row, column in np.ndindex(change.shape) if few else ():
        axes.text(
            column + 0.5, row + 0.5, f"{change[row, column]:+.1f}", ha="center", va="center", fontsize=5,
            color="white" if abs(change[row, column]) > 0.7 * most else "black",
        )  # fmt: skip
    for row, column in np.argwhere(scheme.words):
        axes.plot(
            column + np.array([0.06, 0.94, 0.94, 0.06, 0.06]), row + np.array([0.06, 0.06, 0.94, 0.94, 0.06]),
            color="black", linewidth=1.1 if few else 0.5,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(names)) + 0.5, list(map(shown_name, names)), fontsize=None if few else 4)
    branches = range(1, scheme.num_branches + 1)
    axes.set_xticks(np.arange(len(branches)) + 0.5, branches, fontsize=None if len(branches) <= 10 else 5)
    axes.tick_params(length=0)
    axes.grid(False)
    figure.colorbar(picture, ax=axes, label="accuracy of the class, points", pad=0.02)
    return figure
