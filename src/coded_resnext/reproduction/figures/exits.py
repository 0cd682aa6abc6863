"""Early exit: tables from records, averaged over the runs of a preset that differ in their seed only, and figures.

Records of stage "exits" are of coded runs, and of plain ones as points to compare with; those of "timing" are the
clock's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..records.intervals import wilson
from ..records.kinds import coded_records, run_kinds
from ..records.records import Record, metric, piece
from .style import CODED_COLOUR, COLUMN, MARKERS, PAPER_COLOUR, PLAIN_COLOUR, WIDTH, canvas, finish_grid, styled

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
    colours = [*SHADES[: len(places) - 1], PAPER_COLOUR] if len(places) <= len(SHADES) + 1 else None
    left = np.zeros(len(policies))
    for i, place in enumerate(places):
        width = shares[shares["exit"] == place].set_index("policy")["share"].loc[policies].to_numpy()
        colour = colours[i] if colours else str(i / len(places))
        axes.barh(policies, width, left=left, color=colour, edgecolor="white", linewidth=0.4, label=place)
        left += width
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    return figure


@styled
def decoding_across_blocks(decoders: pd.DataFrame) -> Figure:
    """Each block alone, and all blocks up to it decoded together, soft and hard; then the softmax.

    Args:
        decoders: from `mean_table` of decoders. Where the softmax stands, the lines show it alone and combined with
            the blocks.
    """
    figure, axes = canvas("decoder", "accuracy (%)", WIDTH, 2.6)
    x = np.arange(len(decoders))
    looks = {
        "alone": ("each block alone", PAPER_COLOUR, "o"),
        "hard": ("all so far, hard", PLAIN_COLOUR, "s"),
        "soft": ("all so far, soft", CODED_COLOUR, "D"),
    }
    for kind, (label, colour, marker) in looks.items():
        axes.errorbar(x, decoders[kind], decoders[f"{kind}_std"].fillna(0.0), color=colour, marker=marker, label=label)
    axes.set_xticks(x, decoders["decoder"])
    return figure


@styled
def rejection(table: pd.DataFrame) -> Figure:
    """Images of no class accepted, where 95 % of the network's own are: a bar a score, the shorter the better.

    Args:
        table: from `mean_table` of rejection; scores that look at the softmax alone are grey.
    """
    figure, axes = canvas("foreign images accepted (%)", "score", WIDTH, 0.5 + 0.22 * len(table))
    of_softmax = table["score"].isin(["softmax probability", "energy of the logits"])
    axes.barh(
        table["score"], table["fpr95"], xerr=table["fpr95_std"],
        color=[PAPER_COLOUR if softmax else CODED_COLOUR for softmax in of_softmax],
    )  # fmt: skip
    axes.invert_yaxis()
    return figure


@styled
def verification(table: pd.DataFrame) -> Figure:
    """Decode, then verify: accuracy against multiply-adds; the numbers are candidates.

    Args:
        table: from `mean_table` of verification.
    """
    figure, axes = canvas("multiply-adds (% of the coded network's)", "accuracy (%)", WIDTH, 2.6)
    for (block, rows), marker in zip(table.groupby("block", sort=False), MARKERS, strict=False):
        (line,) = axes.plot(rows["multiply_adds"], rows["accuracy"], marker=marker, label=f"candidates of {block}")
        for m, x, y in zip(rows["candidates"], rows["multiply_adds"], rows["accuracy"], strict=True):
            axes.annotate(
                str(m), (x, y), xytext=(0, -8), textcoords="offset points", color=line.get_color(), ha="center"
            )
    axes.margins(y=0.15)
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
            ax.set_title(caption, fontsize="x-small", pad=2, parse_math=False)
    return figure


def _static_points(axes: Axes, x: pd.Series, static: pd.DataFrame) -> None:
    """Networks that never stop early, by their kind; bars are the binomial 95 % interval of the test images."""
    looks = {"coded": (CODED_COLOUR, "D"), "plain": (PLAIN_COLOUR, "s")}
    for place, (_, row) in zip(x, static.iterrows(), strict=True):
        colour, marker = looks.get(row["kind"], (PAPER_COLOUR, "^"))
        interval = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
        label = row["kind"] if row["kind"] in looks else "plain, of another size"
        axes.errorbar(place, row["accuracy"], interval, color=colour, marker=marker, linestyle="none", label=label)


def static_table(records: Sequence[Record]) -> pd.DataFrame:
    """Networks that never stop early: the coded one and, beside it, plain ones of any width.

    Returns:
        kind, runs, accuracy (mean, percent), std (over runs), low and high (95 % Wilson interval), multiply_adds
        (percent of the coded network's), images.
    """
    kinds = run_kinds(records)
    whole = metric(coded_records(records)[0], "multiply_adds")
    rows = []
    for kind in dict.fromkeys(kinds):
        group = [record for record, its in zip(records, kinds, strict=True) if its == kind]
        accuracy = pd.Series([metric(record, "accuracy") for record in group])
        images = int(metric(group[0], "images"))
        low, high = wilson(accuracy.mean(), images)
        rows.append({
            "kind": kind, "runs": len(group), "accuracy": accuracy.mean(), "std": accuracy.std(), "low": low,
            "high": high, "multiply_adds": 100 * metric(group[0], "multiply_adds") / whole, "images": images,
        })  # fmt: skip
    return pd.DataFrame(rows)


def curve_table(records: Sequence[Record]) -> pd.DataFrame:
    """Accuracy against multiply-adds, percent: run, policy, accuracy, multiply_adds; from dear to cheap."""
    return _rows(records, "curves")


def target_table(records: Sequence[Record], kind: str) -> pd.DataFrame:
    """What calibrated thresholds bring on the test images.

    Args:
        kind: "drop" or "budget".
    Returns:
        A row a policy and target: policy, target (points of accuracy, or percent of the multiply-adds), runs; accuracy,
        drop (points below the same whole network) and multiply_adds, with their spread over runs (_std) and the 95 %
        error of one run (_error); saved (of the multiply-adds); kept (runs whose interval of what is limited begins at
        the target or below); percent.
    """
    frame = _rows(records, "targets")
    frame = frame[frame["kind"] == kind].rename(columns={"value": "target"})
    limited = "drop" if kind == "drop" else "multiply_adds"
    frame = frame.assign(kept=frame[limited] - frame[f"{limited}_error"] <= frame["target"])
    by = ["policy", "target"]
    table = _averaged(frame, by, ["accuracy", "drop", "multiply_adds"]).set_index(by)
    groups = frame.groupby(by)
    table = table.join(groups[["drop_error", "multiply_adds_error"]].mean())
    return table.assign(saved=100 - table["multiply_adds"], kept=groups["kept"].sum()).reset_index()


def chosen_target(records: Sequence[Record], drop: float) -> pd.Series:
    """The row of `target_table` for an accuracy drop whose policy was expected, on held-out images, to cost least."""
    frame = _rows(records, "targets")
    expected = frame[(frame["kind"] == "drop") & (frame["value"] == drop)].groupby("policy")["expected_multiply_adds"]
    table = target_table(records, "drop").set_index(["policy", "target"], drop=False)
    return table.loc[(expected.mean().idxmin(), drop)]


def share_table(records: Sequence[Record], drop: float) -> pd.DataFrame:
    """Where images leave under each policy's thresholds for one accuracy drop: policy, exit, share (mean, percent)."""
    rows = []
    for record in coded_records(records):
        places = [*piece(record, "blocks"), "softmax"]
        for target in piece(record, "targets"):
            if (target["kind"], target["value"]) == ("drop", drop):
                rows += [
                    {"policy": target["policy"], "exit": place, "share": share}
                    for place, share in zip(places, target["exits"], strict=True)
                ]
    return _averaged(pd.DataFrame(rows), ["policy", "exit"], ["share"])


# Pieces of a record that are averaged over runs: what tells their rows apart, and the numbers, percent.
AVERAGED = {
    "decoders": (["decoder"], ["alone", "soft", "hard"]),  # each block, and all blocks up to it
    "anytime": (["budget", "block"], ["alone", "posterior"]),  # every image cut short at one budget
    "agreement": (["block"], ["both", "early", "late", "neither"]),  # which of the early and the late answer is right
    "rejection": (["score"], ["auroc", "aupr", "fpr95"]),  # of images of no class, where there are any
    "verification": (["block", "candidates"], ["listed", "accuracy", "multiply_adds"]),  # decode, then verify
}


def mean_table(records: Sequence[Record], key: str) -> pd.DataFrame:
    """One of `AVERAGED`: what tells rows apart, runs, and every number with its spread (_std); empty without rows."""
    by, values = AVERAGED[key]
    frame = _rows(records, key)
    if frame.empty:
        return frame
    frame[by] = frame[by].fillna("none")  # a budget that no block is paid for by
    return _averaged(frame.astype(dict.fromkeys(values, float)), by, values)


def timing_table(record: Record) -> pd.DataFrame:
    """The clock's view, of one record of stage "timing".

    Returns:
        A row a batch size and network or target: batch, network, policy and drop (missing where none), milliseconds an
        image (median over rounds), lower and upper quartile, times_faster (than the whole network; below 1 is slower),
        multiply_adds (percent).
    """
    rows = []
    for curve in piece(record, "curves"):
        each = pd.Series(curve["milliseconds"])
        low, middle, high = each.quantile([0.25, 0.5, 0.75])
        rows.append({
            "batch": curve["batch"], "network": curve["network"], "policy": curve.get("policy"),
            "drop": curve.get("drop", np.nan), "milliseconds": middle, "lower": low, "upper": high,
            "multiply_adds": curve["multiply_adds"],
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    whole = frame.groupby("batch")["milliseconds"].transform("first")  # the whole network comes first
    return frame.assign(times_faster=whole / frame["milliseconds"])


def _rows(records: Sequence[Record], key: str) -> pd.DataFrame:
    """One piece of every coded run's record, with the run's name."""
    coded = coded_records(records)
    return pd.DataFrame([{"run": record["name"], **row} for record in coded for row in piece(record, key)])


def _averaged(frame: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Means over runs with their spread (_std, NaN for one run), in the order in which rows first come."""
    groups = frame.groupby(by, sort=False)
    table = groups.size().to_frame("runs")
    for value in values:
        table[value] = groups[value].mean()
        table[f"{value}_std"] = groups[value].std()
    return table.reset_index()
