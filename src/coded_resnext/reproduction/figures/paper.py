"""The paper's figures of results, one function each, and those of its ablations and of our controls (section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...codes.scheme import first_stage
from ...errors import Refused
from .style import (
    ACTIVE,
    CODED_COLOUR,
    COLUMN,
    IN_DISTRIBUTION,
    INACTIVE,
    LEADER,
    MARKERS,
    OUT_OF_DISTRIBUTION,
    PAPER_COLOUR,
    PLAIN_COLOUR,
    POSITIVES,
    SOFTMAX_PLACE,
    WIDTH,
    canvas,
    curve,
    finish_grid,
    label_points,
    paper_box,
    points,
    shown_name,
    source,
    styled,
)

CUTS = ("own codeword", "another codeword", "whole network")
SUMS = {"normalised": "normalised sum", "raw": "not normalised", "concatenated": "concatenated"}


@styled
def coding_loss_weight(table: pd.DataFrame, plain: float | None = None, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 5: accuracy of the softmax and of two early decoders against mu, the weight of the coding loss.

    The decoders are the last coded block and the last one of the first coded stage. The paper's numbers are of another
    data set and stand in a panel of their own.

    Args:
        table: `early_table` with vary="mu".
        plain: accuracy of the plain network, percent.
        paper: figure-5; grey.
    """
    figure = Figure((COLUMN, 2.3) if paper is None else (WIDTH, 2.4))
    panels = figure.subplots(1, 1 if paper is None else 2, squeeze=False)[0]
    blocks = table[table["from_end"] > 0].sort_values("from_end")
    early = first_stage(list(blocks["decoder"])[::-1])[-1]
    looks = (
        ("softmax", "softmax", "softmax", "o", "-"),
        (blocks["decoder"].iloc[0], "block 9", "last coded block", "s", "--"),
        (early, "block 6", "last of the first coded stage", "^", ":"),
    )
    for ours, theirs, label, marker, line in looks:
        rows = table[table["decoder"] == ours].sort_values("mu")
        joined = line if len(rows) > 2 else "none"  # a line through two points would promise what lies between
        curve(panels[0], rows["mu"], rows, color=CODED_COLOUR, marker=marker, linestyle=joined, label=label)
        if paper is not None:
            rows = paper[(paper["network"] == "coded") & (paper["decoder"] == theirs)]
            panels[1].plot(rows["mu"], rows["value"], color=PAPER_COLOUR, marker=marker, linestyle=line)
    if plain is not None:
        panels[0].axhline(plain, color=PLAIN_COLOUR, label="plain")
    panels[0].set_title(f"ours, {table['data_set'].iloc[0]}")
    if paper is not None:
        panels[1].set_title(source(paper))
        panels[1].axhline(paper.loc[paper["network"] == "plain", "value"].iloc[0], color=PLAIN_COLOUR)
    panels[0].set_ylabel("accuracy (%)")
    figure.supxlabel("weight of the coding loss $\\mu$")
    return figure


@styled
def branch_dropping(table: pd.DataFrame, accuracy: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 6: binary classifiers after training with several p_drop; above them the whole network's accuracy.

    Args:
        table: `binary_table` with vary="drop_branch".
        accuracy: `accuracy_table` with vary="drop_branch".
        paper: figure-6; its range of precision in grey, and of recall where it could be read.
    """
    drops = {drop: f"$p_\\mathrm{{drop}}$ = {drop:g}" for drop in sorted(table["drop_branch"].unique())}
    figure, grid = _binary_panels(table, accuracy, "drop_branch", drops)
    for axes, drop in zip(grid, drops, strict=True):
        if paper is not None and (theirs := paper[paper["p_drop"] == drop])["metric"].str.endswith("precision").any():
            paper_box(axes, theirs, "-", "paper's range")
    return figure


@styled
def branch_sums(table: pd.DataFrame, accuracy: pd.DataFrame) -> Figure:
    """Binary classifiers of networks whose branches are summed as in equation 3, without it, or not summed at all.

    Args:
        table: `binary_table` with vary="branch_sum".
        accuracy: `accuracy_table` with vary="branch_sum".
    """
    there = {key: title for key, title in SUMS.items() if (table["branch_sum"] == key).any()}
    figure, _ = _binary_panels(table, accuracy, "branch_sum", there)
    return figure


@styled
def controls(table: pd.DataFrame) -> Figure:
    """Average precision of every class's classifier: its path, a path that is not its own, and the whole network.

    A dot is a class, a bar the mean over classes. Where a plain network does as well when it is cut by the same
    codewords, the paths of the coded one would mean nothing.

    Args:
        table: rows of the kinds "coded" and "plain" from `controls_table`.
    """
    figure, axes = canvas("", "average precision (%)", width=WIDTH * 0.75, height=2.5)
    classes = table["class"].nunique()
    for kind, colour, marker, shift in (("coded", CODED_COLOUR, "o", -0.2), ("plain", PLAIN_COLOUR, "s", 0.2)):
        for place, cut in enumerate(CUTS):
            values = 100 * table[(table["kind"] == kind) & (table["cut"] == cut)]["average_precision"]
            if values.empty:
                continue
            x = place + shift
            spread = x + np.linspace(-0.12, 0.12, len(values))
            axes.scatter(spread, values, s=7, color=colour, marker=marker, alpha=0.7, linewidth=0, label=kind)
            axes.hlines(values.mean(), x - 0.16, x + 0.16, color=colour, linewidth=1.5)
            axes.annotate(f"{values.mean():.0f}", (x + 0.17, values.mean()), va="center", fontsize=6.5)
    axes.axhline(100 / classes, color="black", linestyle=":", linewidth=0.8, label="chance")
    axes.set_xticks(range(len(CUTS)), [f"cut out by its\n{cut}" if cut == CUTS[0] else
                                       f"cut out by\n{cut}" if cut == CUTS[1] else f"not cut:\n{cut}" for cut in CUTS])
    axes.set_ylim(0, 103)
    return figure


def _binary_panels(
    table: pd.DataFrame, accuracy: pd.DataFrame, vary: str, titles: Mapping[Any, str]
) -> tuple[Figure, Sequence[Axes]]:
    """Recall and precision of all classes, a panel for each value of the varied parameter."""
    figure = Figure((WIDTH, 2.4))
    grid = figure.subplots(1, len(titles), squeeze=False, sharex=True, sharey=True)[0]
    whole = accuracy.set_index(vary)["accuracy"]
    for axes, (value, title) in zip(grid, titles.items(), strict=True):
        points(axes, table[table[vary] == value])
        percent = f"{whole[value]:.2f} %" if value in whole.index else "not measured"
        axes.set_title(f"{title}\naccuracy {percent}", fontsize="medium")
    grid[0].set_ylabel("precision (%)")
    figure.supxlabel("recall (%)")
    return figure, grid


@styled
def loss_exponent(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """The exponent's ablation (section 4.5): accuracy against the exponent of the coding loss.

    Args:
        table: `accuracy_table` with vary="exponent".
        paper: exponent; grey.
    """
    figure, axes = canvas("exponent of the coding loss", "accuracy (%)")
    exponents = set(table["exponent"]) | (set() if paper is None else set(paper["exponent"]))
    if paper is not None:
        axes.plot(paper["exponent"], paper["value"], color=PAPER_COLOUR, marker="o", label=source(paper))
    rows = table.sort_values("exponent")
    curve(axes, rows["exponent"], rows, color=CODED_COLOUR, marker="o", label="coded")
    axes.set_xticks(sorted(exponents))
    return figure


@styled
def branch_removal(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 2a: accuracy against the number of branches removed from one block, active or inactive ones.

    Bars are the spread over runs, bands the binomial 95 % interval.

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
            axes.plot(rows["removed"], rows["value"], color=PAPER_COLOUR, marker=marker, label=source(paper))
    for which, colour, marker in sets:
        rows = table[table["set"] == which].sort_values("removed")
        curve(axes, rows["removed"], rows, color=colour, marker=marker, label=f"{which} ones")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


@styled
def early_decoding(
    table: pd.DataFrame, paper: pd.DataFrame | None = None, costs: pd.Series | None = None
) -> Figure:
    """Figure 4: accuracy of each coded block as a decoder, then of the softmax; one line a data set.

    Networks differ in depth, so blocks are matched from the last one, and numbered as in the paper where its numbers
    are there.

    Args:
        table: rows of one kind from `early_table`.
        paper: figure-4; grey.
        costs: percent of our network's multiply-adds by decoder, written below.
    """
    _check_kind(table)
    below = "" if costs is None else "; below: multiply-adds spent"
    counted = "coded block, counted from the last" if paper is None else "coded block, numbered as in the paper"
    figure, axes = canvas(counted + below, "accuracy (%)", width=WIDTH * 0.65, height=2.5)
    axes.xaxis.label.set_size(7)
    lines = [] if paper is None else list(paper.groupby(["data_set", "mu"], sort=False))
    data_sets = [data for (data, _), _ in lines]
    for ((data, mu), rows), marker in zip(lines, MARKERS, strict=False):
        label = f"paper, {data}" + (f" $\\mu$={mu:g}" if data_sets.count(data) > 1 else "")
        x = [*range(1 - len(rows), 0), SOFTMAX_PLACE]  # rows are in network order
        axes.plot(x[:-1], rows["value"].iloc[:-1], color=PAPER_COLOUR, marker=marker, label=label)
        axes.plot(x[-1:], rows["value"].iloc[-1:], color=PAPER_COLOUR, marker=marker)
    for (data, rows), marker in zip(table.groupby("data_set", sort=False), MARKERS, strict=False):
        blocks, softmax = rows[rows["from_end"] > 0], rows[rows["from_end"] == 0]
        curve(axes, -blocks["from_end"], blocks, color=CODED_COLOUR, marker=marker, label=f"ours, {data}")
        curve(axes, softmax["from_end"] + SOFTMAX_PLACE, softmax, color=CODED_COLOUR, marker=marker)
    first = int(min(line.get_xdata()[0] for line in axes.lines))
    last = 0 if paper is None else paper["decoder"].str.extract(r"block (\d+)")[0].dropna().astype(int).max()
    names = [str(-x if paper is None else last + 1 + x) for x in range(first, 0)] + ["softmax"]
    if costs is not None:
        spent = ["", *(f"\n{cost:.0f} %" for cost in costs)]
        names = [name + (spent[place] if place >= -len(costs) else "")
                 for name, place in zip(names, range(-len(names), 0), strict=True)]  # fmt: skip
    axes.set_xticks([*range(first, 0), SOFTMAX_PLACE], names)
    return figure


@styled
def binary_classifiers(table: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 2b: precision and recall of every class's binary classifier, in and out of distribution, with names.

    A classifier's recall does not depend on the negatives, so its two points stand above each other, and a line
    joins them.

    Args:
        table: rows of one kind from `binary_table`, of some ten classes.
        paper: figure-2b; grey boxes, since only the ranges could be read, and on the right what could be read of single
            classes, out of distribution.
    """
    _check_kind(table)
    figure, axes = canvas("recall (%)", "precision (%)", width=WIDTH, height=3.1)
    if paper is not None:
        single = paper[paper["class"].notna()]
        whole = paper[paper["class"].isna()]
        recall = whole[whole["metric"].str.endswith("recall")]
        for negatives, line in (("in distribution", "-"), ("out of distribution", ":")):
            precision = whole[(whole["negatives"] == negatives) & whole["metric"].str.endswith("precision")]
            paper_box(axes, pd.concat([recall, precision]), line, f"paper's range, {negatives}")
        for name, value in zip(single["class"], single["value"], strict=True):
            if name in set(table["class"]):
                place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 6}
                axes.annotate(f"◄ {name}, paper", (1.0, value), color="#666666", **place)
    points(axes, table)
    axes.vlines(table["recall"], table["precision"], table["precision_out"], color=LEADER, linewidth=0.5)
    axes.margins(x=0.12, y=0.1)
    above = table.dropna(subset="precision_out")
    label_points(
        axes, [*table["recall"], *above["recall"]], [*table["precision"], *above["precision_out"]],
        [*table["class"].map(shown_name), *[""] * len(above)],
    )  # fmt: skip
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
        grid[0].scatter([], [], 5 * classes, color=PAPER_COLOUR, label=f"{classes} class" + "es" * (classes > 1))
    return figure


@styled
def logit_histograms(
    histograms: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float], seed: int
) -> Figure:
    """Figure 3 with one class, figure 7 with ten: the logit of binary classifiers; the dashed line is the threshold.

    Each group fills 100 %: positives are few beside the negatives. Panels share their axes.

    Args:
        histograms: of a record of stage "binary": class, edges, and counts of positives, negatives and, where there
            are foreign images, foreign.
        thresholds: by class.
        seed: of the run.
    """
    columns = min(5, len(histograms))
    rows = -(-len(histograms) // columns)
    figure = Figure((COLUMN, 2.4) if columns == 1 else (WIDTH, 0.6 + 1.3 * rows))
    grid = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
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
        axes.set_title(shown_name(histogram["class"]), fontsize="medium")
        axes.locator_params(nbins=4)
    xlabel = f"logit of the class's classifier, seed {seed}"
    return finish_grid(figure, grid[len(histograms) :], xlabel, "share of images (%)")


def _check_kind(table: pd.DataFrame) -> None:
    """Refuse to join ablations to one line with what they vary."""
    kinds = table["kind"].unique()
    if len(kinds) != 1:
        there = "; ".join(kinds) or "no run at all"
        raise Refused(
            f"a figure shows runs of one kind, got {there}: pass rows such as table[table['kind'] == 'coded']"
        )
