"""Figures of early exit, from the DataFrames of exit_summaries.py; the style is figures.py's. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from .style import CODED, COLUMN, MARKERS, PAPER, PLAIN, WIDTH, canvas, finish_grid, legend, styled

# Okabe and Ito's colours again, one a policy; none is that of a whole network.
POLICY_COLOURS = {
    "distance": "#56B4E9",
    "margin": "#000000",
    "entropy": "#009E73",
    "patience": "#CC79A7",
    "posterior": "#D55E00",
}
SHADES = ("#08306b", "#2171b5", "#6baed6", "#9ecae1", "#c6dbef", "#deebf7", "#f7fbff")  # exits, the earliest darkest


@styled
def tradeoff(curves: pd.DataFrame, static: pd.DataFrame) -> Figure:
    """Accuracy against multiply-adds of every policy; thresholds were chosen on held-out images.

    Args:
        curves: from `curve_table`; a thin line a run.
        static: from `static_table`; points with the binomial 95 % interval of the test images as bars.
    """
    figure, axes = canvas("multiply-adds (% of the coded network's)", "accuracy (%)", WIDTH, 2.8)
    for (policy, _), rows in curves.groupby(["policy", "run"], sort=False):
        axes.plot(
            rows["multiply_adds"], rows["accuracy"], color=POLICY_COLOURS[policy], marker=".", markersize=3,
            linewidth=0.8, label=policy,
        )  # fmt: skip
    _static_points(axes, static["multiply_adds"], static)
    legend(figure)
    return figure


@styled
def time_tradeoff(timing: pd.DataFrame, targets: pd.DataFrame, static: pd.DataFrame) -> Figure:
    """Accuracy on all test images against measured milliseconds an image, a panel a batch size.

    Args:
        timing: from `timing_table`.
        targets: from `target_table` of kind "drop", static: from `static_table`; for the accuracy.
    """
    accuracy = targets.set_index(["policy", "target"])["accuracy"]
    sizes = timing["batch"].unique()
    figure = Figure((COLUMN * len(sizes), 2.7))
    panels = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
    for axes, (batch, rows) in zip(panels, timing.groupby("batch", sort=False), strict=True):
        for policy, points in rows.dropna(subset="policy").groupby("policy", sort=False):
            heights = [accuracy[policy, drop] for drop in points["drop"]]
            axes.plot(
                points["milliseconds"], heights, color=POLICY_COLOURS[policy], marker=".", linewidth=0.8, label=policy
            )
        whole = rows[rows["network"].isin(["whole network", "plain network"])].assign(
            kind=lambda part: part["network"].map({"whole network": "coded", "plain network": "plain"})
        )
        both = whole.merge(static, on="kind", suffixes=("", "_counted"))
        _static_points(axes, both["milliseconds"], both)
        axes.set_title(f"batch {batch}")
        axes.set_xlim(0, 1.1 * rows["milliseconds"].max())
    return finish_grid(figure, [], "milliseconds an image", "accuracy (%)")


@styled
def exit_shares(shares: pd.DataFrame) -> Figure:
    """Where images leave under each policy, a bar a policy.

    Args:
        shares: from `share_table`.
    """
    figure, axes = canvas("test images (%)", "policy", WIDTH, 2.0)
    policies = list(shares["policy"].unique())
    places = list(shares["exit"].unique())
    colours = [*SHADES[: len(places) - 1], PAPER] if len(places) <= len(SHADES) + 1 else None
    left = np.zeros(len(policies))
    for i, place in enumerate(places):
        width = shares[shares["exit"] == place].set_index("policy")["share"].loc[policies].to_numpy()
        colour = colours[i] if colours else str(i / len(places))
        axes.barh(policies, width, left=left, color=colour, edgecolor="white", linewidth=0.4, label=place)
        left += width
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    legend(figure)
    return figure


@styled
def decoding_across_blocks(decoders: pd.DataFrame) -> Figure:
    """Each block alone, and all blocks up to it decoded together, soft and hard; then the softmax.

    Args:
        decoders: from `decoder_table`. Where the softmax stands, the lines show it alone and combined with the blocks.
    """
    figure, axes = canvas("decoder", "accuracy (%)", WIDTH, 2.6)
    x = np.arange(len(decoders))
    looks = {
        "alone": ("each block alone", PAPER, "o"),
        "hard": ("all so far, hard", PLAIN, "s"),
        "soft": ("all so far, soft", CODED, "D"),
    }
    for kind, (label, colour, marker) in looks.items():
        axes.errorbar(x, decoders[kind], decoders[f"{kind}_std"].fillna(0.0), color=colour, marker=marker, label=label)
    axes.set_xticks(x, decoders["decoder"])
    legend(figure)
    return figure


@styled
def rejection(table: pd.DataFrame) -> Figure:
    """Images of no class accepted, where 95 % of the network's own are: a bar a score, the shorter the better.

    Args:
        table: from `rejection_table`; scores that look at the softmax alone are grey.
    """
    figure, axes = canvas("foreign images accepted (%)", "score", WIDTH, 0.5 + 0.22 * len(table))
    of_softmax = table["score"].isin(["softmax probability", "energy of the logits"])
    axes.barh(
        table["score"], table["fpr95"], xerr=table["fpr95_std"],
        color=[PAPER if softmax else CODED for softmax in of_softmax],
    )  # fmt: skip
    axes.invert_yaxis()
    return figure


@styled
def verification(table: pd.DataFrame) -> Figure:
    """Decode, then verify: accuracy against multiply-adds; the numbers are candidates.

    Args:
        table: from `verification_table`.
    """
    figure, axes = canvas("multiply-adds (% of the coded network's)", "accuracy (%)", WIDTH, 2.6)
    for (block, rows), marker in zip(table.groupby("block", sort=False), MARKERS, strict=False):
        (line,) = axes.plot(rows["multiply_adds"], rows["accuracy"], marker=marker, label=f"candidates of {block}")
        for m, x, y in zip(rows["candidates"], rows["multiply_adds"], rows["accuracy"], strict=True):
            axes.annotate(
                str(m), (x, y), xytext=(0, -8), textcoords="offset points", color=line.get_color(), ha="center"
            )
    axes.margins(y=0.15)
    legend(figure)
    return figure


@styled
def image_grid(pictures: Sequence[Sequence[tuple[Image.Image, str]]], names: Sequence[str]) -> Figure:
    """Rows of images with a caption each, for instance those of one exit.

    Args:
        pictures: images and captions, by row.
        names: of the rows.
    """
    columns = max(map(len, pictures))
    figure = Figure((WIDTH, 0.3 + 0.85 * len(pictures)))
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for axes, row, name in zip(grid, pictures, names, strict=True):
        for ax in axes:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, (picture, caption) in zip(axes, row, strict=False):
            ax.imshow(picture, cmap="gray")
            ax.set_title(caption, fontsize="x-small", pad=2)
    return figure


def _static_points(axes: Axes, x: pd.Series, static: pd.DataFrame) -> None:
    """Networks that never stop early, by their kind; bars are the binomial 95 % interval of the test images."""
    looks = {"coded": (CODED, "D"), "plain": (PLAIN, "s")}
    for place, (_, row) in zip(x, static.iterrows(), strict=True):
        colour, marker = looks.get(row["kind"], (PAPER, "^"))
        interval = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
        label = row["kind"] if row["kind"] in looks else "plain, of another size"
        axes.errorbar(place, row["accuracy"], interval, color=colour, marker=marker, linestyle="none", label=label)
