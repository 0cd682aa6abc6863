"""Figures of notebook 09: what subnetworks of several classes are worth, and how far class paths overlap."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from .style import BAND, CODED, COLUMN, INACTIVE, LEADER, MARKERS, PLAIN, WIDTH, canvas, legend, styled


@styled
def subset_curves(table: pd.DataFrame) -> Figure:
    """Accuracy among m classes of their subnetwork and of the full network, and what the subnetwork keeps.

    Bands are one standard deviation over random subsets.

    Args:
        table: of `subset_table`.
    """
    figure = Figure((WIDTH, 2.4))
    left, right = figure.subplots(1, 2)
    lines = (("accuracy", "subnetwork", CODED, "o"), ("accuracy_full", "full network, same logits", PLAIN, "s"))
    for key, label, colour, marker in lines:
        spread = table[f"{key}_std"].fillna(0.0)
        low, high = table[key] - spread, (table[key] + spread).clip(upper=100)
        left.plot(table["classes"], table[key], color=colour, marker=marker, label=label)
        left.fill_between(table["classes"], low, high, color=colour, alpha=BAND, linewidth=0)
    left.set_ylabel("accuracy (%)")
    kept = (
        ("parameters_percent", "parameters kept", CODED, "D"),
        ("multiply_adds_percent", "multiply-adds kept", INACTIVE, "^"),
    )
    for key, label, colour, marker in kept:
        right.plot(table["classes"], table[key], color=colour, marker=marker, linestyle="--", label=label)
    right.set_ylabel("kept (%)")
    right.set_ylim(0, 105)
    for axes in (left, right):
        axes.set_xlabel("classes of the subnetwork")
        if table["classes"].max() > 20:
            axes.set_xscale("log")
        else:
            axes.xaxis.get_major_locator().set_params(integer=True)
    legend(figure)
    return figure


@styled
def coupling(table: pd.DataFrame) -> Figure:
    """Jaccard overlap of two classes' paths, designed and measured from energies; one colour and marker a block.

    Bars reach from the least to the largest over pairs of classes; on the diagonal training reached the design.

    Args:
        table: of `coupling_table`.
    """
    figure, axes = canvas("overlap of the codewords", "overlap of the energies", width=COLUMN, height=2.6)
    blocks = list(table.groupby("block", sort=False))
    for i, (block, rows) in enumerate(blocks):
        shift = 0.006 * (i - (len(blocks) - 1) / 2)  # blocks of one scheme would hide each other
        bars = [rows["measured"] - rows["low"], rows["high"] - rows["measured"]]
        shade = f"C{i}"
        axes.errorbar(
            rows["designed"] + shift,
            rows["measured"],
            bars,
            linestyle="",
            marker=MARKERS[i % len(MARKERS)],
            color=shade,
            label=block,
        )
    end = table["designed"].max() + 0.02
    axes.plot([0, end], [0, end], color=LEADER, zorder=0, label="as designed")
    legend(figure)
    return figure
