"""Figures of ablations and controls: the weight and exponent of the coding loss, branch dropping, the sum of branches
(section 4.5), and classes cut out of networks where no path should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import (
    CODED,
    PAPER,
    PLAIN,
    WIDTH,
    canvas,
    curve,
    legend,
    paper_box,
    points,
    source,
    styled,
)

CUTS = ("own codeword", "another codeword", "whole network")
SUMS = {"normalised": "normalised sum", "raw": "not normalised", "concatenated": "concatenated"}


@styled
def coding_loss_weight(table: pd.DataFrame, plain: float | None = None, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 5: accuracy of the softmax and of two early decoders against mu, the weight of the coding loss.

    The decoders are the last coded block and the last one of the first coded stage.

    Args:
        table: `early_table` with vary="mu".
        plain: accuracy of the plain network, percent.
        paper: figure-5; grey.
    """
    figure, axes = canvas("weight of the coding loss $\\mu$", "accuracy (%)")
    blocks = table[table["from_end"] > 0].sort_values("from_end")
    first_stage = blocks["decoder"].iloc[-1].split(".")[0]
    early = blocks[blocks["decoder"].str.startswith(f"{first_stage}.")]["decoder"].iloc[0]
    looks = (
        ("softmax", "softmax", "o", "-"),
        (blocks["decoder"].iloc[0], "block 9", "s", "--"),
        (early, "block 6", "^", ":"),
    )
    if paper is not None:
        for _, theirs, marker, line in looks:
            rows = paper[(paper["network"] == "coded") & (paper["decoder"] == theirs)]
            axes.plot(rows["mu"], rows["value"], color=PAPER, marker=marker, linestyle=line, label=source(paper))
    for ours, _, marker, line in looks:
        rows = table[table["decoder"] == ours].sort_values("mu")
        joined = line if len(rows) > 2 else "none"  # a line through two points would promise what lies between
        curve(axes, rows["mu"], rows, color=CODED, marker=marker, linestyle=joined, label=ours)
    if plain is not None:
        axes.axhline(plain, color=PLAIN, label="plain")
    legend(figure)
    return figure


@styled
def branch_dropping(table: pd.DataFrame, accuracy: pd.DataFrame, paper: pd.DataFrame | None = None) -> Figure:
    """Figure 6: binary classifiers after training with several p_drop; above them the whole network's accuracy.

    Args:
        table: `binary_table` with vary="drop_branch".
        accuracy: `accuracy_table` with vary="drop_branch".
        paper: figure-6; grey boxes, since only the ranges could be read.
    """
    drops = {drop: f"$p_\\mathrm{{drop}}$ = {drop:g}" for drop in sorted(table["drop_branch"].unique())}
    figure, grid = _binary_panels(table, accuracy, "drop_branch", drops)
    for axes, drop in zip(grid, drops, strict=True):
        if paper is not None and (theirs := paper[paper["p_drop"] == drop])["metric"].str.endswith("precision").any():
            paper_box(axes, theirs, "-", "paper's range")
    legend(figure)
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
    legend(figure)
    return figure


@styled
def controls(table: pd.DataFrame) -> Figure:
    """Average precision of every class's classifier: its path, a path that is not its own, and the whole network.

    A dot is a class, a bar the mean over classes. Where a plain network does as well when it is cut by the same
    codewords, the paths of the coded one would mean nothing.

    Args:
        table: rows of the kinds "coded" and "plain" from `controls_table`.
    """
    figure, axes = canvas("how the classifier was cut out", "average precision", height=2.4)
    for kind, colour, shift in (("coded", CODED, -0.2), ("plain", PLAIN, 0.2)):
        for place, cut in enumerate(CUTS):
            values = table[(table["kind"] == kind) & (table["cut"] == cut)]["average_precision"]
            if values.empty:
                continue
            spread = shift + np.linspace(-0.12, 0.12, len(values))
            axes.scatter(place + spread, values, s=6, color=colour, alpha=0.7, linewidth=0, label=kind)
            axes.hlines(values.mean(), place + shift - 0.16, place + shift + 0.16, color=colour, linewidth=1.5)
    axes.set_xticks(range(len(CUTS)), [cut.replace(" ", "\n") for cut in CUTS])
    axes.set_ylim(0, 1.03)
    legend(figure)
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
    if paper is not None:
        axes.plot(paper["exponent"], paper["value"], color=PAPER, marker="o", label=source(paper))
    rows = table.sort_values("exponent")
    curve(axes, rows["exponent"], rows, color=CODED, marker="o", label="coded")
    axes.set_xticks(sorted(rows["exponent"].unique()))
    legend(figure)
    return figure
