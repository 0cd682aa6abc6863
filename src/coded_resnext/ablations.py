"""Figures of ablations (section 4.5): the weight of the coding loss, branch dropping, the exponent of the loss."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from .figures import CODED, PAPER, PLAIN, WIDTH, canvas, curve, legend, paper_box, points, source, styled


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
        curve(axes, rows["mu"], rows, color=CODED, marker=marker, linestyle=line, label=ours)
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
    groups = list(table.groupby("drop_branch"))
    figure = Figure((WIDTH, 2.4))
    grid = figure.subplots(1, len(groups), squeeze=False, sharex=True, sharey=True)[0]
    whole = accuracy.set_index("drop_branch")["accuracy"]
    for axes, (drop, rows) in zip(grid, groups, strict=True):
        if paper is not None and (theirs := paper[paper["p_drop"] == drop])["metric"].str.endswith("precision").any():
            paper_box(axes, theirs, "-", "paper's range")
        points(axes, rows)
        percent = f"{whole[drop]:.2f} %" if drop in whole.index else "not measured"
        axes.set_title(f"$p_\\mathrm{{drop}}$ = {drop:g}\naccuracy {percent}", fontsize="medium")
    grid[0].set_ylabel("precision (%)")
    figure.supxlabel("recall (%)")
    legend(figure)
    return figure


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
