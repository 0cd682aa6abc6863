"""Diagrams of the two blocks (figures 1a and 1b) and pictures of coding schemes (figure 1c, notebook 01)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import MaxNLocator

from ...codes.scheme import CodingScheme
from ...errors import Refused
from .style import (
    ACTIVE,
    CODED_COLOUR,
    COLUMN,
    INACTIVE,
    MARKERS,
    PAPER_COLOUR,
    WIDTH,
    canvas,
    finish_grid,
    shown_name,
    styled,
)

BITS = ListedColormap(["white", ACTIVE])
LARGE = 30  # codewords; more are drawn lying and without cells
MANY = 200  # codewords; of more every so manyth is drawn
SHOWN = 60  # of them
LINE = "#333333"
NEUTRAL = "#dddddd"
TINT = 0.35  # opacity of the boxes of active and inactive branches

Point = tuple[float, float]


@styled
def plain_block() -> Figure:
    """Figure 1a: the conventional block sums its branches beside a shortcut.

    Batch norm and ReLU, not drawn, follow the first two convolutions of a branch.
    """
    axes = _page(4.15, 1.9)
    rows = _rows(top=1.45)
    _branches(axes, rows, dict.fromkeys(rows, NEUTRAL))
    _tail(axes, rows, start=1.96, shortcut=1.75)
    _branch_labels(axes, rows, 1.99, "t")
    return axes.figure


@styled
def coded_block() -> Figure:
    """Figure 1b: the coded block normalises its branches' energies, which training pushes towards a codeword.

    Drawn for a class that branches 1 and N work for. What is not drawn is as in `plain_block`.
    """
    axes = _page(WIDTH, 2.6)
    rows = _rows(top=2.15)
    word = {"1": 1, "2": 0, "N": 1}
    _branches(axes, rows, {n: ACTIVE if bit else INACTIVE for n, bit in word.items()})
    _tail(axes, rows, start=3.36, shortcut=2.45)
    for y in rows.values():
        _arrow(axes, (1.96, y), (2.24, y))
        _arrow(axes, (2.66, y), (2.96, y))
        _box(axes, 2.96, y, 0.4, "drop")
    _branch_labels(axes, rows, 1.99, "t")
    _branch_labels(axes, rows, 2.69, r"\bar{t}")
    middle = (rows["1"] + rows["N"]) / 2
    _box(axes, 2.24, middle, 0.42, "÷ root of the\nmean energy", height=rows["1"] - rows["N"] + 0.26, turned=True)
    _arrow(axes, (2.45, rows["N"] - 0.13), (2.45, 0.41))
    axes.text(2.52, 0.62, r"energies $r\,E(\bar{t}_n)$", va="center")
    _box(axes, 2.0, 0.28, 0.9, "coding loss")
    _arrow(axes, (3.3, 0.28), (2.9, 0.28))
    for place, (number, bit) in enumerate(word.items()):
        left = 3.3 + 0.26 * (place + (number == "N"))
        _box(axes, left, 0.28, 0.26, str(bit), ACTIVE if bit else INACTIVE)
    axes.text(3.3 + 0.26 * 2.5, 0.28, "…", ha="center", va="center")
    axes.text(4.42, 0.28, "the class's codeword", va="center")
    return axes.figure


@styled
def codebook(scheme: CodingScheme, names: Sequence[str] | None = None) -> Figure:
    """Figure 1c: a coding scheme as a picture; a filled cell is a branch that works for the class.

    Up to thirty classes stand as rows; more lie as columns, sorted by their codewords, and beside them how many
    classes each branch works for. Of many classes `SHOWN` are drawn, evenly among the sorted ones.

    Args:
        names: of the classes, K of them; without, classes are numbered.
    Raises:
        ValueError: another number of names than of classes.
    """
    if names is not None and len(names) != scheme.num_classes:
        raise Refused(f"{scheme} needs {scheme.num_classes} class names, got {len(names)}")
    title = f"$r$ = {scheme.num_active}/{scheme.num_branches}"
    if scheme.num_classes > LARGE:
        return _lying_codebook(scheme, title)
    height = 0.6 + 0.16 * scheme.num_classes
    figure, axes = canvas("branch", "" if names else "class", height=height)
    axes.pcolormesh(scheme.words, cmap=BITS, edgecolor=NEUTRAL, linewidth=0.5)
    axes.invert_yaxis()
    labels = list(map(shown_name, names)) if names else range(scheme.num_classes)
    axes.set_yticks(np.arange(scheme.num_classes) + 0.5, labels)
    axes.set_xticks(np.arange(scheme.num_branches) + 0.5, range(1, scheme.num_branches + 1))
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_title(title)
    return figure


def _lying_codebook(scheme: CodingScheme, title: str) -> Figure:
    order = np.lexsort(scheme.words.T[::-1])
    everything = scheme.num_classes <= MANY
    shown = order if everything else order[np.linspace(0, len(order) - 1, SHOWN).round().astype(int)]
    figure = Figure((WIDTH, 0.9 + 0.05 * scheme.num_branches))
    left, right = figure.subplots(1, 2, width_ratios=(5, 1), sharey=True)
    edges = (0, len(shown), scheme.num_branches + 0.5, 0.5)  # branches from 1
    left.imshow(scheme.words[shown].T, BITS, aspect="auto", extent=edges, interpolation="nearest")
    left.set_xticks([])
    which = f"all {len(shown)}" if everything else f"{SHOWN} of the {scheme.num_classes}"
    left.set_xlabel(f"{which} classes, sorted by codeword")
    left.set_ylabel("branch")
    left.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    sums = scheme.column_sums
    right.barh(np.arange(1, scheme.num_branches + 1), sums, height=0.8, color=ACTIVE)
    right.set_xlabel("its classes")
    right.set_xticks([0, int(sums.max())])
    right.set_title(f"{sums.min()} to {sums.max()}" if sums.min() < sums.max() else f"all {sums.max()}", fontsize=7)
    for axes in (left, right):
        axes.grid(False)
    left.set_title(title)
    return figure


@styled
def distances(
    schemes: Mapping[str, CodingScheme], bounds: Mapping[str, int], published: Mapping[str, int]
) -> Figure:
    """How far the codewords of each scheme are apart: share of pairs at each Hamming distance; one panel a scheme.

    Args:
        schemes: by title.
        bounds: proven upper bound on the minimum distance by title; the dashed line.
        published: what the paper's published scheme reaches, by title; the grey mark.
    """
    columns = min(3, len(schemes))
    rows = -(-len(schemes) // columns)
    figure = Figure((WIDTH * columns / 3 if columns > 1 else COLUMN, 0.5 + 1.5 * rows))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, scheme) in zip(grid, schemes.items(), strict=False):
        counts = scheme.distance_distribution()
        share = 100 * np.array(list(counts.values())) / sum(counts.values())
        axes.bar(list(counts), share, width=1.4, color=CODED_COLOUR, label="pairs of our codewords")
        axes.axvline(bounds[title], color="black", linestyle="--", linewidth=0.8, label="no minimum is larger")
        look = {"markersize": 7, "markeredgecolor": "black", "clip_on": False, "zorder": 4}
        axes.plot(published[title], 0, "^", color=PAPER_COLOUR, label="minimum of the published scheme", **look)
        axes.set_title(title, fontsize=7)
        farthest = 2 * min(scheme.num_active, scheme.num_branches - scheme.num_active)
        axes.set_xlim(0, farthest + 1)
        axes.set_xticks(range(0, farthest + 1, 2 if farthest <= 10 else 4))
    return finish_grid(figure, grid[len(schemes) :], "Hamming distance", "share of pairs (%)")


@styled
def distance_bound_by_classes(table: pd.DataFrame) -> Figure:
    """How the upper bound on the minimum distance falls as classes are added; one line a weight, dots are schemes.

    Args:
        table: columns classes, active, bound, and reached: the distance of a scheme of this size, NaN where none is.
    """
    figure, axes = canvas("number of classes", "minimum distance: at most", width=0.6 * WIDTH, height=2.5)
    weights = sorted(table["active"].unique())
    shades = colormaps["cividis"](np.linspace(0, 0.85, len(weights)))
    for active, shade, marker in zip(weights, shades, MARKERS, strict=False):
        rows = table[table["active"] == active].sort_values("classes")
        axes.step(rows["classes"], rows["bound"], where="post", color=shade, label=rf"$N_\mathrm{{act}}$ = {active}")
        there = rows.dropna(subset="reached")
        look = {"color": shade, "marker": marker, "linestyle": "", "markersize": 5}
        axes.plot(there["classes"], there["reached"], **look)
    axes.plot([], [], "o", color="black", markersize=5, label="marks: built-in schemes")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _page(width: float, height: float) -> Axes:
    """Axes that fill the page, one unit about an inch, the origin below on the left."""
    axes = Figure((width, height)).subplots()
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_axis_off()
    return axes


def _rows(top: float) -> dict[str, float]:
    """Heights of the three branches that are drawn."""
    return {"1": top, "2": top - 0.38, "N": top - 1.1}


def _branches(axes: Axes, rows: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """The input and the three convolutions of every branch, which end at x = 1.96."""
    middle = (rows["1"] + rows["N"]) / 2
    axes.text(0.1, middle, "$x$", va="center", fontsize="large")
    axes.text(1.23, (rows["2"] + rows["N"]) / 2, "…", ha="center", va="center", rotation=90, fontsize="large")
    for number, y in rows.items():
        _arrow(axes, (0.22, middle), (0.36, middle), (0.36, y), (0.5, y))
        for left, kernel in ((0.5, "1×1"), (1.02, "3×3"), (1.54, "1×1")):
            _box(axes, left, y, 0.42, kernel, colours[number])
        _arrow(axes, (0.92, y), (1.02, y))
        _arrow(axes, (1.44, y), (1.54, y))


def _branch_labels(axes: Axes, rows: Mapping[str, float], x: float, symbol: str) -> None:
    for number, y in rows.items():
        axes.text(x, y + 0.03, f"${symbol}_{number}$", va="bottom")


def _tail(axes: Axes, rows: Mapping[str, float], start: float, shortcut: float) -> None:
    """From the branches' ends at x = start to the output: the sum, batch norm, the shortcut, ReLU."""
    y = (rows["1"] + rows["N"]) / 2
    x = start + 0.62  # of the sum
    for end in rows.values():
        _arrow(axes, (start, end), (start + 0.3, end), (x, y), short=0.11)
    _circle(axes, x, y, "Σ")
    _arrow(axes, (x + 0.11, y), (x + 0.22, y))
    _box(axes, x + 0.22, y, 0.3, "BN")
    _arrow(axes, (x + 0.52, y), (x + 0.65, y))
    _circle(axes, x + 0.76, y, "+")
    _arrow(axes, (0.36, y), (0.36, shortcut), (x + 0.76, shortcut), (x + 0.76, y), short=0.11)
    axes.text((0.36 + x + 0.76) / 2, shortcut + 0.02, "shortcut", ha="center", va="bottom")
    _arrow(axes, (x + 0.87, y), (x + 0.98, y))
    _box(axes, x + 0.98, y, 0.4, "ReLU")
    _arrow(axes, (x + 1.38, y), (x + 1.5, y))


def _box(
    axes: Axes, left: float, y: float, width: float, text: str, colour: str = NEUTRAL, height: float = 0.26,
    turned: bool = False,
) -> None:  # fmt: skip
    """A labelled box whose middle is at height y."""
    fill = to_rgba(colour, TINT)
    axes.add_patch(Rectangle((left, y - height / 2), width, height, facecolor=fill, edgecolor=LINE))
    axes.text(left + width / 2, y, text, ha="center", va="center", rotation=90 if turned else 0)


def _circle(axes: Axes, x: float, y: float, text: str) -> None:
    axes.add_patch(Circle((x, y), 0.11, facecolor="white", edgecolor=LINE))
    axes.text(x, y, text, ha="center", va="center_baseline")


def _arrow(axes: Axes, *points: Point, short: float = 0.0) -> None:
    """A bent line with a head at its last point, or so much before it."""
    (x0, y0), (x1, y1) = points[-2:]
    keep = 1 - short / np.hypot(x1 - x0, y1 - y0)
    tip = (x0 + keep * (x1 - x0), y0 + keep * (y1 - y0))
    axes.plot(*zip(*points[:-1], strict=True), color=LINE, linewidth=0.8, solid_joinstyle="miter")
    look = {
        "arrowstyle": "-|>,head_width=0.15,head_length=0.3",
        "color": LINE,
        "linewidth": 0.8,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", tip, (x0, y0), arrowprops=look)
