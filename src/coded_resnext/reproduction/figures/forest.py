"""The claims of `claims` as a forest plot: effects with their 95 % intervals, and the paper's as a tick."""

from __future__ import annotations

from textwrap import wrap

import pandas as pd
from matplotlib.figure import Figure

from ...errors import NothingToShow
from .claims import CHECK, CLAIM
from .style import CODED_COLOUR, PAPER_COLOUR, WIDTH, styled

LINEAR = 2.0  # points: the axis is linear up to here, logarithmic beyond
VERDICTS = {"agrees": ("o", CODED_COLOUR), "undecided": ("o", "white"), "differs": ("X", "#D55E00"), "": ("|", "black")}
TICKS = (-50, -20, -5, -2, -1, 0, 1, 2, 5, 20, 50)  # ten, between five and twenty, would touch them
LONGEST = 44  # characters of a claim in a line


@styled
def forest(table: pd.DataFrame) -> Figure:
    """A row a claim or check that was measured, in percentage points; right of the dashed line agrees.

    Args:
        table: of `claims`.
    """
    rows = table[table["row"].isin([CLAIM, CHECK]) & table["ours"].notna()].iloc[::-1].reset_index(drop=True)
    if rows.empty:
        raise NothingToShow("no claim was measured: run 04_accuracy to 08_ablations")
    figure = Figure((WIDTH, 0.75 + 0.235 * len(rows)))
    axes = figure.subplots()
    for place, row in rows.iterrows():
        verdict = row["verdict"].removesuffix(" (one run)")
        marker, face = VERDICTS[verdict]
        axes.errorbar(
            row["ours"], place, xerr=row["error"], fmt=marker, color=CODED_COLOUR if verdict != "differs" else face,
            markerfacecolor=face, markersize=4.5, zorder=3, label=f"ours: {verdict or 'no verdict'}",
        )  # fmt: skip
        if pd.notna(row["effect"]):
            axes.plot(row["effect"], place, "|", color=PAPER_COLOUR, markersize=10, markeredgewidth=2, label="paper")
        seeds = f"  n = {row['runs']}"
        axes.text(1.01, place, f"{row['ours']:+.2f} ± {row['error']:.2f}{seeds}", va="center", fontsize=6,
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.axvline(0, color="black", linestyle="--", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
    low, high = (rows["ours"] - rows["error"]).min(), (rows["ours"] + rows["error"]).max()
    low, high = min(low, rows["effect"].min(), 0), max(high, rows["effect"].max(), 0)
    axes.set_xlim(1.2 * low - 0.2, 1.2 * high + 0.2)
    shown = [tick for tick in TICKS if low <= tick <= 1.2 * high]
    axes.set_xticks(shown, [f"{tick:+d}" if tick else "0" for tick in shown], fontsize=6.5)
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), ["\n".join(wrap(claim, LONGEST)) for claim in rows["claim"]], fontsize=6)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("percentage points, logarithmic beyond ±2")
    axes.grid(axis="x")
    return figure
