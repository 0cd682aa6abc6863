"""Subnetworks: tables from records, averaged over coded runs, and figures.

What several classes are worth together, how far class paths overlap, and what benchmarks measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from ..records.kinds import coded_records
from ..records.records import Record
from .style import BAND, CODED_COLOUR, COLUMN, LEADER, MARKERS, WIDTH, canvas, short_name, shown_name, styled

# Of the same network: label, marker, face.
BEFORE = ("before", "o", CODED_COLOUR)
FORGOTTEN = ("one class forgotten", "s", "white")
ANEW = ("taught anew", "D", "black")
SHARES = ("parameters", "without_shortcuts", "multiply_adds", "convolutions", "file_bytes")


@styled
def subset_curves(table: pd.DataFrame) -> Figure:
    """Accuracy among m classes of their subnetwork less that of the full network, and what the subnetwork keeps.

    Bands are one standard deviation over random subsets.

    Args:
        table: of `subset_table`.
    """
    figure = Figure((WIDTH, 2.4))
    left, right = figure.subplots(1, 2)
    spread = table["difference_std"].fillna(0.0)
    left.plot(table["classes"], table["difference"], color=CODED_COLOUR, marker="o", label="cut less full network")
    left.fill_between(
        table["classes"], table["difference"] - spread, table["difference"] + spread, color=CODED_COLOUR, alpha=BAND,
        linewidth=0,
    )  # fmt: skip
    left.axhline(0, color="black", linewidth=0.8)
    left.set_ylabel("accuracy gained (points)")
    for kept, marker, line in (("parameters", "D", "--"), ("multiply-adds", "^", ":")):
        label, percent = f"{kept} kept", table[f"{kept.replace('-', '_')}_percent"]
        right.plot(
            table["classes"], percent, color=CODED_COLOUR, marker=marker, linestyle=line, markerfacecolor="white",
            label=label,
        )  # fmt: skip
    right.set_ylabel("kept (%)")
    right.set_ylim(0, 105)
    for axes in (left, right):
        axes.set_xlabel("classes of the subnetwork")
        if table["classes"].max() > 20:
            axes.set_xscale("log")
        else:
            axes.xaxis.get_major_locator().set_params(integer=True)
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
    shades = colormaps["cividis"](np.linspace(0, 0.85, len(blocks)))  # the later the lighter
    for i, (block, rows) in enumerate(blocks):
        shift = 0.006 * (i - (len(blocks) - 1) / 2)  # blocks of one scheme would hide each other
        bars = [rows["measured"] - rows["low"], rows["high"] - rows["measured"]]
        shade = shades[i]
        axes.errorbar(
            rows["designed"] + shift,
            rows["measured"],
            bars,
            linestyle="",
            marker=MARKERS[i % len(MARKERS)],
            color=shade,
            label=short_name(block),
        )
    end = table["designed"].max() + 0.02
    axes.plot([0, end], [0, end], color=LEADER, zorder=0, label="as designed")
    return figure


@styled
def surgery(table: pd.DataFrame) -> Figure:
    """A class forgotten and taught anew: accuracy of the class itself, and of all others, before and after.

    Args:
        table: of `surgery_table`.
    """
    figure = Figure((WIDTH, 0.9 + 0.17 * len(table)))
    left, right = figure.subplots(1, 2, sharey=True)
    steps = (
        (left, (("own", *BEFORE), ("own_after", *ANEW))),
        (right, (("others", *BEFORE), ("others_without", *FORGOTTEN), ("others_after", *ANEW))),
    )  # fmt: skip
    places = range(len(table))
    for axes, series in steps:
        ends = table[[key for key, *_ in series]]
        axes.hlines(places, ends.min(axis=1), ends.max(axis=1), color=LEADER, linewidth=1)
        for key, label, marker, face in series:
            axes.plot(table[key], places, marker, color=CODED_COLOUR, markerfacecolor=face, label=label)
        axes.grid(axis="x")
    left.set_yticks(places, list(map(shown_name, table["class"])))
    left.invert_yaxis()
    left.set_xlabel("accuracy of the class (%)")
    right.set_xlabel("accuracy of all others (%)")
    return figure


def size_table(records: Sequence[Record], paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """What one class's subnetwork keeps of the full network: a row a count, the paper's percentage where it has one.

    Every class keeps as much, since all codewords of a scheme weigh the same; the means would show it if not.

    Args:
        paper: kept-parameters of one data set; the text's share is of parameters, by a count that it does not state.
    """
    record = coded_records(records)[0]
    full, singles = record["full"], pd.DataFrame(record["singles"])
    names = {
        "parameters": "parameters",
        "without_shortcuts": "parameters, projection shortcuts aside",
        "multiply_adds": "multiply-adds, with energies",
        "convolutions": "multiply-adds, convolutions and fc",
        "file_bytes": "bytes of the weights' file",
    }
    rows = []
    for key, name in names.items():
        one = singles[key].mean()
        rows.append({"count": name, "full": full[key], "one class": one, "%": 100 * one / full[key]})
    table = pd.DataFrame(rows)
    if paper is None:
        return table
    theirs = paper[paper["counted"] == "as the text says"]["value"].iloc[0]
    beside = [theirs if key == "without_shortcuts" else float("nan") for key in names]
    return table.assign(**{"paper, %": beside})


def single_table(records: Sequence[Record]) -> pd.DataFrame:
    """Average precision of every class's subnetwork and of the full network's logit, over runs."""
    frame = pd.DataFrame([row for record in coded_records(records) for row in record["singles"]])
    kept = ["average_precision", "average_precision_full", "parameters", "multiply_adds", "file_bytes"]
    return frame.groupby("class", sort=False)[kept].mean().reset_index()


def subset_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row for each number of classes: accuracies (mean and deviation over subsets and runs), kept shares in percent.

    `difference` is the subnetwork's accuracy less the full network's among the same classes, on the same images.
    """
    rows = []
    for record in coded_records(records):
        for row in record["curves"]:
            shares = {f"{key}_percent": 100 * row[key] / record["full"][key] for key in SHARES}
            difference = row["accuracy"] - row["accuracy_full"]
            rows.append(
                {**{k: row[k] for k in ("classes", "accuracy", "accuracy_full")}, "difference": difference} | shares
            )
    groups = pd.DataFrame(rows).groupby("classes")
    deviation = groups[["accuracy", "accuracy_full", "difference"]].std().add_suffix("_std")
    return pd.concat([groups.size().rename("subsets"), groups.mean(), deviation], axis=1).reset_index()


def coupling_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row for each block and designed overlap: the bound, the number of pairs and what was measured, over runs."""
    frame = pd.DataFrame([row for record in coded_records(records) for row in record["coupling"]])
    groups = frame.groupby(["block", "designed", "bound", "pairs"], sort=False)
    return groups.agg({"measured": "mean", "low": "min", "high": "max"}).reset_index()


def cohesion_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a block: how alike images of one class and of two use the branches, means over runs, 0 … 1."""
    frame = pd.DataFrame([row for record in coded_records(records) for row in record.get("cohesion", [])])
    return frame if frame.empty else frame.groupby("block", sort=False).mean().reset_index()


def surgery_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a class forgotten and taught anew: accuracies of the others and its own, over runs, in percent."""
    frame = pd.DataFrame([row for record in coded_records(records) for row in record["points"]])
    return frame if frame.empty else frame.groupby("class", sort=False).mean().reset_index()


def latency_table(record: Record) -> pd.DataFrame:
    """Medians and quartiles in ms, images a second, and how much faster than the full network, of stage "latency"."""
    frame = pd.DataFrame(record["points"]).rename(columns={"at_once": "at once"})
    same = ["runtime", "batch", "at once"]
    full = frame[frame["network"] == "full"].set_index(same)["seconds"]
    speedup = [full[tuple(row[same])] / row["seconds"] for _, row in frame.iterrows()]
    times = {"ms": "seconds", "lower quartile": "lower_quartile", "upper quartile": "upper_quartile"}
    table = frame[[*same, "network"]].assign(**{name: 1e3 * frame[key] for name, key in times.items()})
    return table.assign(**{"images/s": frame["batch"] / frame["seconds"], "times faster": speedup},
                        device=record["environment"]["device"])  # fmt: skip


def profile_table(record: Record) -> pd.DataFrame:
    """Milliseconds of every part, full and cut to one class, and its multiply-adds, of stage "profile"."""
    frame = pd.DataFrame(record["points"]).rename(columns={"at_once": "at once"})
    same = ["batch", "at once", "part"]
    full, one = (frame[frame["network"] == name].set_index(same) for name in ("full", "one class"))
    return pd.DataFrame({
        "full, ms": 1e3 * full["seconds"],
        "one class, ms": 1e3 * one["seconds"],
        "% of full": 100 * full["seconds"] / full["seconds"].groupby(same[:2]).sum(),
        "times faster": full["seconds"] / one["seconds"],
        "times fewer multiply-adds": full["multiply_adds"] / one["multiply_adds"],
    }).reset_index().assign(device=record["environment"]["device"])  # fmt: skip
