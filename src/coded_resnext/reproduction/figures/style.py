"""Figures of results: DataFrames of `tables.py` in, a matplotlib Figure out, one function a figure of the paper.

The style and what all figures share come first; ablations are in ablations.py, diagrams and pictures of codes in
diagrams.py. The same thing has the same colour everywhere. Nothing here knows a network: figures are redrawn from
records, without torch.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ... import paths
from ..records.records import write_atomically

P = ParamSpec("P")
T = TypeVar("T")

# Okabe and Ito's colours, told apart by readers who see no red or no green (Wong, Nature Methods 8, 2011).
CODED = "#0072B2"
PLAIN = "#E69F00"
ACTIVE = "#D55E00"
INACTIVE = "#009E73"
POSITIVES = "#222222"
IN_DISTRIBUTION = "#56B4E9"
OUT_OF_DISTRIBUTION = "#CC79A7"
PAPER = "#999999"
LEADER = "#c0c0c0"

WIDTH = 5.5  # inches: NeurIPS text
COLUMN = 2.7  # two side by side
STYLE = paths.PACKAGE / "reproduction" / "figures" / "coded_resnext.mplstyle"
MARKERS = "osD^v"
BAND = 0.18  # opacity of confidence bands
SOFTMAX = 0.6  # where the softmax stands to the right of the coded blocks, which are at −1, −2, … from the last


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function under the project's style; the reader's own matplotlib settings stay as they are."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with style.context(["default", STYLE]):
            return function(*args, **kwargs)

    return wrapper


class SavedFigure(NamedTuple):
    """The two files of a figure; as the last value of a notebook's cell it is shown."""

    pdf: Path
    png: Path

    def __repr__(self) -> str:  # the stem only: notebooks are committed, and hold no path of anybody's machine
        return f"{self.png.stem} (.pdf and .png)"

    def _repr_png_(self) -> bytes:
        return self.png.read_bytes()


@styled
def save(figure: Figure, preset: str, stem: str) -> SavedFigure:
    """Write figures/<preset>/<stem>.pdf and .png: the same bytes for the same figure."""
    undated = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
    written = {}
    for kind, metadata in undated.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        written[kind] = paths.FIGURES / preset / f"{stem}.{kind}"
        write_atomically(written[kind], buffer.getvalue())
    return SavedFigure(**written)


def canvas(xlabel: str, ylabel: str, width: float = COLUMN, height: float = 2.3) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, in inches; not one of pyplot's, which nobody would close."""
    figure = Figure((width, height))
    axes = figure.subplots()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def curve(axes: Axes, x: pd.Series, rows: pd.DataFrame, **look: Any) -> None:
    """A mean with its spread as bars and its binomial interval as a band; of one or two points, as bars."""
    axes.errorbar(x, rows["accuracy"], rows["std"].fillna(0.0), **look)
    if len(rows) > 2:
        axes.fill_between(x, rows["low"], rows["high"], color=look["color"], alpha=BAND, linewidth=0)
    else:
        axes.vlines(x, rows["low"], rows["high"], color=look["color"], alpha=2 * BAND, linewidth=3)


def points(axes: Axes, table: pd.DataFrame) -> None:
    """Recall and precision of the rows of a `binary_table`, against foreign images too where there are any."""
    looks = (
        ("precision", "in distribution", {"s": 14, "color": IN_DISTRIBUTION, "marker": "o"}),
        ("precision_out", "out of distribution", {"s": 16, "color": OUT_OF_DISTRIBUTION, "marker": "^"}),
    )
    for precision, label, look in looks:
        if table[precision].notna().any():
            axes.scatter(table["recall"], table[precision], zorder=3, label=label, **look)


def paper_box(axes: Axes, rows: pd.DataFrame, line: str, label: str) -> None:
    """A grey box from the lowest to the highest recall and precision among the paper's numbers.

    Where the paper gives no recall it is a band of precision.
    """
    recall, precision = (rows[rows["metric"].str.endswith(rate)]["value"] for rate in ("recall", "precision"))
    look = {"edgecolor": PAPER, "facecolor": "none", "linestyle": line, "linewidth": 1, "label": label}
    if recall.empty:
        axes.axhspan(precision.min(), precision.max(), **look)
    else:
        size = recall.max() - recall.min(), precision.max() - precision.min()
        axes.add_patch(Rectangle((recall.min(), precision.min()), *size, **look))


def source(paper: pd.DataFrame) -> str:
    """How the legend calls the paper's numbers."""
    return f"paper, {paper['data_set'].iloc[0]}"


def legend(figure: Figure) -> None:
    """One legend above the axes, where it hides nothing; each label once, in as many columns as surely fit."""
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    widest = 0.36 + 0.056 * max(map(len, entries))  # inches: the handle, and letters of 7 pt DejaVu
    columns = max(1, min(len(entries), int(figure.get_figwidth() / widest)))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)


def finish_grid(figure: Figure, unused: Sequence[Axes], xlabel: str, ylabel: str) -> Figure:
    """Labels and legend that panels share; places without a panel stay empty."""
    for axes in unused:
        axes.set_axis_off()
    figure.supxlabel(xlabel)
    figure.supylabel(ylabel)
    legend(figure)
    return figure


@styled
def branch_removal(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 2a: accuracy against the number of branches removed from one block, active or inactive ones.

    Bars are the spread over runs and random removals, bands the binomial 95 % interval.

    Args:
        table: rows of one kind from `removal_table`.
        paper: figure-2a of one data set; grey.
    """
    _check_kind(table)
    figure, axes = canvas("branches removed", "accuracy (%)")
    sets = (("active", ACTIVE, "o"), ("inactive", INACTIVE, "s"))
    if paper is not None:
        for which, _, marker in sets:
            rows = paper[(paper["set"] == which) & paper["removed"].notna()]
            axes.plot(rows["removed"], rows["value"], color=PAPER, marker=marker, label=source(paper))
    for which, colour, marker in sets:
        rows = table[table["set"] == which].sort_values("removed")
        curve(axes, rows["removed"], rows, color=colour, marker=marker, label=f"{which} ones")
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend(figure)
    return figure


@styled
def early_decoding(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 4: accuracy of each coded block as a decoder, then of the softmax; one line a data set.

    Networks differ in depth, so blocks are counted from the last one.

    Args:
        table: rows of one kind from `early_table`.
        paper: figure-4; grey.
    """
    _check_kind(table)
    figure, axes = canvas("coded block, counted from the last", "accuracy (%)")
    lines = [] if paper is None else list(paper.groupby(["data_set", "mu"], sort=False))
    data_sets = [data for (data, _), _ in lines]
    for ((data, mu), rows), marker in zip(lines, MARKERS, strict=False):
        label = f"paper, {data}" + (f" $\\mu$={mu:g}" if data_sets.count(data) > 1 else "")
        x = [*range(1 - len(rows), 0), SOFTMAX]  # rows are in network order
        axes.plot(x[:-1], rows["value"].iloc[:-1], color=PAPER, marker=marker, label=label)
        axes.plot(x[-1:], rows["value"].iloc[-1:], color=PAPER, marker=marker)
    for (data, rows), marker in zip(table.groupby("data_set", sort=False), MARKERS, strict=False):
        blocks, softmax = rows[rows["from_end"] > 0], rows[rows["from_end"] == 0]
        curve(axes, -blocks["from_end"], blocks, color=CODED, marker=marker, label=f"ours, {data}")
        curve(axes, softmax["from_end"] + SOFTMAX, softmax, color=CODED, marker=marker)
    first = int(min(line.get_xdata()[0] for line in axes.lines))
    axes.set_xticks([*range(first, 0), SOFTMAX], [*(str(-x) for x in range(first, 0)), "softmax"])
    legend(figure)
    return figure


@styled
def binary_classifiers(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 2b: precision and recall of every class's binary classifier, in and out of distribution, with names.

    A classifier's recall does not depend on the negatives, so its two points stand above each other, and a line
    joins them and its name.

    Args:
        table: rows of one kind from `binary_table`, of some ten classes.
        paper: figure-2b; grey boxes, since only the ranges could be read.
    """
    _check_kind(table)
    figure, axes = canvas("recall (%)", "precision (%)", width=WIDTH, height=2.7)
    if paper is not None:
        recall = paper[paper["metric"].str.endswith("recall")]
        for negatives, line in (("in distribution", "-"), ("out of distribution", ":")):
            precision = paper[(paper["negatives"] == negatives) & paper["metric"].str.endswith("precision")]
            paper_box(axes, pd.concat([recall, precision]), line, f"paper's range, {negatives}")
    points(axes, table)
    axes.vlines(table["recall"], table["precision"], table["precision_out"], color=LEADER, linewidth=0.5)
    ends = table.assign(end=table["precision_out"].fillna(table["precision"])).sort_values(["end", "recall"])
    low, high = axes.get_ylim()
    places = _spread((ends["end"] - low) / (high - low), gap=0.075)
    leader = {"arrowstyle": "-", "color": LEADER, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    for name, recall, end, place in zip(ends["class"], ends["recall"], ends["end"], places, strict=True):
        axes.annotate(
            name, (recall, end), xytext=(1.02, place), textcoords="axes fraction", va="center", arrowprops=leader
        )
    legend(figure)
    return figure


@styled
def many_binary_classifiers(table: pd.DataFrame) -> Figure:
    """Figures 2c and 8: precision and recall of hundreds of binary classifiers, in and out of distribution.

    Both rates are rounded to whole percent; a marker's area grows with the number of classes that share them.

    Args:
        table: rows of one kind from `binary_table`.
    """
    _check_kind(table)
    panels = [("precision", "in distribution", IN_DISTRIBUTION)]
    if table["precision_out"].notna().any():
        panels.append(("precision_out", "out of distribution", OUT_OF_DISTRIBUTION))
    figure = Figure((COLUMN * len(panels), 2.5))
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (precision, title, colour) in zip(grid, panels, strict=True):
        spots = table[["recall", precision]].round().value_counts().reset_index(name="classes")
        area = 5 * spots["classes"]  # square points
        axes.scatter(spots["recall"], spots[precision], area, color=colour, alpha=0.6, edgecolor="white", linewidth=0.3)
        axes.set_title(title)
        axes.set_xlabel("recall (%)")
    grid[0].set_ylabel("precision (%)")
    for classes in (1, 10):
        grid[0].scatter([], [], 5 * classes, color=PAPER, label=f"{classes} class" + "es" * (classes > 1))
    legend(figure)
    return figure


@styled
def logit_histograms(histograms: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float]) -> Figure:
    """Figure 3 with one class, figure 7 with ten: the logit of binary classifiers; the dashed line is the threshold.

    Each group fills 100 %: positives are few beside the negatives.

    Args:
        histograms: of a record of stage "binary": class, edges, and counts of positives, negatives and, where there
            are foreign images, foreign.
        thresholds: by class.
    """
    columns = min(5, len(histograms))
    rows = -(-len(histograms) // columns)
    figure = Figure((COLUMN, 2.4) if columns == 1 else (WIDTH, 0.6 + 1.3 * rows))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    groups = (
        ("negatives", "other classes", IN_DISTRIBUTION),
        ("foreign", "foreign images", OUT_OF_DISTRIBUTION),
        ("positives", "this class", POSITIVES),
    )
    for axes, histogram in zip(grid, histograms, strict=False):
        for group, label, colour in groups:
            if group not in histogram:
                continue
            counts = np.asarray(histogram[group], dtype=float)
            share = 100 * counts / max(1.0, counts.sum())
            axes.stairs(share, histogram["edges"], fill=True, color=colour, alpha=0.3)
            axes.stairs(share, histogram["edges"], color=colour, linewidth=0.8, label=label)
        axes.axvline(thresholds[histogram["class"]], color="black", linestyle="--", linewidth=0.8, label="threshold")
        axes.set_title(histogram["class"], fontsize="medium")
        axes.locator_params(nbins=4)
    return finish_grid(figure, grid[len(histograms) :], "logit of the class's binary classifier", "share of images (%)")


def _check_kind(table: pd.DataFrame) -> None:
    """Refuse to join ablations to one line with what they vary."""
    kinds = table["kind"].unique()
    if len(kinds) != 1:
        there = "; ".join(kinds) or "no run at all"
        raise ValueError(
            f"a figure shows runs of one kind, got {there}: pass rows such as table[table['kind'] == 'coded']"
        )


def _spread(places: Sequence[float], gap: float) -> np.ndarray:
    """Ascending places between 0 and 1 moved as little up, then down, as keeps neighbours a gap apart."""
    spread = np.array(places, dtype=float)
    for i in range(1, len(spread)):
        spread[i] = max(spread[i], spread[i - 1] + gap)
    limit = 1.0
    for i in reversed(range(len(spread))):
        spread[i] = min(spread[i], limit)
        limit = spread[i] - gap
    return spread
