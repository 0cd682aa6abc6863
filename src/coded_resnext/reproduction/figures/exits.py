"""Early exit: tables from records, averaged over the runs of a preset that differ in their seed only, and figures.

Records of stage "exits" are of coded runs, and of plain ones as points to compare with; those of "timing" are the
clock's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..records.intervals import wilson
from ..records.kinds import coded_records, run_kinds
from ..records.records import Record, metric, piece
from .claims import is_narrower_plain
from .style import (
    BAND,
    CODED_COLOUR,
    COLUMN,
    MARKERS,
    PLAIN_COLOUR,
    POLICIES,
    WIDTH,
    canvas,
    finish_grid,
    short_name,
    shown_text,
    styled,
)

SHADES = ("#08306b", "#2171b5", "#6baed6", "#9ecae1", "#c6dbef", "#deebf7", "#f7fbff")  # exits, the earliest darkest
INSET = 5.0  # points below the best network that never stops: who would lose more to save time?
PLACE = (0.46, 0.14, 0.53, 0.6)  # of the inset, in shares of the axes; drawn where it hides nothing
LEAST_SHARE = 6.0  # percent: narrower parts of a bar have no number
WHITE_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
STEPS = 40  # multiply-adds at which curves of several runs are averaged


@styled
def tradeoff(curves: pd.DataFrame, static: pd.DataFrame) -> Figure:
    """Accuracy against multiply-adds of every policy; thresholds were chosen on held-out images.

    Lines are means over runs and bands a standard deviation, where all runs have an accuracy for as many multiply-adds.

    Args:
        curves: from `curve_table`.
        static: from `static_table`; points with the binomial 95 % interval of the test images as bars.
    """
    figure, axes = canvas("multiply-adds (% of the coded network's)", "accuracy (%)", WIDTH, 3.2)
    means = {policy: mean_curve(rows) for policy, rows in curves.groupby("policy", sort=False)}
    _policies(axes, means, static)
    low, high = _worth_a_look(static)
    drawn = pd.concat([*means.values(), static])
    spread = drawn["std"].fillna(0.0)
    at = [drawn["multiply_adds"], drawn["accuracy"] - spread], [static["multiply_adds"], static["low"]]
    reached = curves[curves["accuracy"] >= low]["multiply_adds"]
    if not reached.empty and not any(_within(axes, PLACE, *points).any() for points in at):
        inset = axes.inset_axes(PLACE)
        _policies(inset, means, static)
        inset.set(xlim=(reached.min() - 2, 103), ylim=(low, high))
        inset.tick_params(labelsize=6)
    return figure


def _policies(axes: Axes, means: Mapping[str, pd.DataFrame], static: pd.DataFrame) -> None:
    for policy, mean in means.items():
        colour, _, line = POLICIES[policy]
        low, high = mean["accuracy"] - mean["std"], mean["accuracy"] + mean["std"]
        axes.plot(mean["multiply_adds"], mean["accuracy"], color=colour, linestyle=line, label=policy)
        axes.fill_between(mean["multiply_adds"], low, high, color=colour, alpha=BAND, linewidth=0)
    _static_points(axes, static["multiply_adds"], static)


def _worth_a_look(static: pd.DataFrame) -> tuple[float, float]:
    """Accuracies that an inset enlarges: `INSET` points below a whole percent that no network's interval exceeds."""
    high = math.ceil(static["high"].max())
    return high - INSET, high


def _within(axes: Axes, box: tuple[float, float, float, float], x: pd.Series, y: pd.Series) -> np.ndarray:
    """Which points lie in a box (left, bottom, width, height) in shares of the axes, whose limits are those of now."""
    (x_low, x_high), (y_low, y_high) = axes.get_xlim(), axes.get_ylim()
    across, up = (x - x_low) / (x_high - x_low), (y - y_low) / (y_high - y_low)
    left, bottom, width, height = box
    return (across.between(left, left + width) & up.between(bottom, bottom + height)).to_numpy()


def mean_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """One policy's curves, averaged over runs at equal multiply-adds: multiply_adds, accuracy, std (0 of one run)."""
    runs = [run.sort_values("multiply_adds") for _, run in rows.groupby("run")]
    low = max(run["multiply_adds"].iloc[0] for run in runs)
    high = min(run["multiply_adds"].iloc[-1] for run in runs)
    x = np.linspace(low, high, STEPS)
    each = np.array([np.interp(x, run["multiply_adds"], run["accuracy"]) for run in runs])
    spread = each.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(STEPS)
    return pd.DataFrame({"multiply_adds": x, "accuracy": each.mean(axis=0), "std": spread})


@styled
def time_tradeoff(timing: pd.DataFrame, targets: pd.DataFrame, static: pd.DataFrame) -> Figure:
    """Accuracy on all test images against measured milliseconds an image, a panel a batch size.

    Args:
        timing: from `timing_table`.
        targets: from `target_table` of kind "drop", static: from `static_table`; for the accuracy. Of the runs that
            were timed and no others: another seed's network leaves elsewhere and is right elsewhere.
    """
    accuracy = targets.set_index(["policy", "target"])["accuracy"]
    sizes = timing["batch"].unique()
    figure = Figure((COLUMN * len(sizes), 2.7))
    panels = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
    for axes, (batch, rows) in zip(panels, timing.groupby("batch", sort=False), strict=True):
        for policy, points in rows.dropna(subset="policy").groupby("policy", sort=False):
            colour, marker, line = POLICIES[policy]
            heights = [accuracy[policy, drop] for drop in points["drop"]]
            look = {"color": colour, "marker": marker, "linestyle": line, "linewidth": 0.8}
            axes.plot(points["milliseconds"], heights, label=policy, **look)
        whole = rows.assign(kind=rows["network"].replace({"whole network": "coded", "plain network": "plain"}))
        both = whole.merge(static, on="kind", suffixes=("", "_counted"))
        _static_points(axes, both["milliseconds"], both)
        axes.set_title("one by one" if batch == 1 else f"batches of {batch}")
        axes.set_xlim(0, 1.1 * rows["milliseconds"].max())
    return finish_grid(figure, [], "milliseconds an image", "accuracy (%)")


@styled
def exit_shares(shares: pd.DataFrame) -> Figure:
    """Where images leave under each policy, a bar a policy; the softmax is hatched.

    Args:
        shares: from `share_table`.
    """
    figure, axes = canvas("test images (%)", "policy", WIDTH, 2.0)
    policies = list(shares["policy"].unique())
    places = list(shares["exit"].unique())
    blocks = len(places) - 1
    left = np.zeros(len(policies))
    for i, place in enumerate(places):
        width = shares[shares["exit"] == place].set_index("policy")["share"].loc[policies].to_numpy()
        last = i == blocks
        colour = "white" if last else (SHADES[i] if blocks <= len(SHADES) else str(i / blocks))
        look = {"color": colour, "edgecolor": "#555555" if last else "white", "hatch": "////" if last else ""}
        label = place if last else short_name(place)
        axes.barh(policies, width, left=left, linewidth=0.4, label=label, **look)
        for row in np.flatnonzero(width >= LEAST_SHARE):
            dark = not last and i < blocks / 3
            axes.text(
                left[row] + width[row] / 2, row, f"{width[row]:.0f}", ha="center", va="center", fontsize=6,
                color="white" if dark else "black", bbox=WHITE_BOX if last else None,
            )  # fmt: skip
        left += width
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    return figure


@styled
def decoding_across_blocks(gains: pd.DataFrame) -> Figure:
    """Each block alone, and what decoding all blocks up to it together adds, soft and hard; then the softmax.

    Args:
        gains: from `decoder_gains`. Where the softmax stands, the points show it alone and combined with the blocks.
    """
    figure = Figure((WIDTH, 2.4))
    alone, gained = figure.subplots(1, 2)
    x = np.arange(len(gains))
    names = [name if name == "softmax" else short_name(name) for name in gains["decoder"]]
    alone.errorbar(x, gains["alone"], gains["alone_std"].fillna(0.0), color=CODED_COLOUR, marker="o", label="alone")
    alone.set_ylabel("accuracy (%)")
    gained.axhline(0, color="black", linewidth=0.8)
    for kind, marker, line, shift in (("soft", "D", "--", -0.07), ("hard", "s", ":", 0.07)):
        gained.errorbar(
            x + shift, gains[kind], gains[f"{kind}_std"].fillna(0.0), color=CODED_COLOUR, marker=marker,
            linestyle=line, markerfacecolor="white", label=f"all so far, {kind}, less alone",
        )  # fmt: skip
    gained.set_ylabel("difference (points)")
    for axes in (alone, gained):
        axes.set_xticks(x, names)
    figure.supxlabel("decoder")
    return figure


@styled
def rejection(table: pd.DataFrame) -> Figure:
    """Images of no class accepted, where 95 % of the network's own are: a bar a score, the shorter the better.

    Args:
        table: from `mean_table` of rejection; scores that look at the softmax alone are hatched.
    """
    figure, axes = canvas("foreign images accepted where 95 % of the own are (%)", "", WIDTH, 0.6 + 0.22 * len(table))
    for row in table.itertuples():
        of_softmax = row.score in ("softmax probability", "energy of the logits")
        name = short_name(row.score) if row.score.startswith("layer") else row.score
        spread = 0.0 if pd.isna(row.fpr95_std) else row.fpr95_std
        axes.barh(
            name, row.fpr95, xerr=spread, color="white" if of_softmax else CODED_COLOUR,
            edgecolor=CODED_COLOUR, hatch="////" if of_softmax else "", error_kw={"ecolor": "black"},
            label="reads the logits" if of_softmax else "distance to the nearest codeword",
        )  # fmt: skip
        axes.text(row.fpr95 + spread + 1, row.Index, f"{row.fpr95:.0f}", va="center", fontsize=6.5, bbox=WHITE_BOX)
    axes.axvline(95, color="black", linestyle=":", linewidth=0.8, label="chance")
    axes.invert_yaxis()
    axes.set_xlim(0, 102)
    return figure


@styled
def verification(table: pd.DataFrame) -> Figure:
    """Decode, then verify: what is lost of the whole network's accuracy, against multiply-adds.

    Args:
        table: from `verification_losses`; the numbers at the points are candidates.
    """
    figure, axes = canvas("multiply-adds (% of the coded network's)", "less whole network (points)", WIDTH, 2.6)
    looks = zip(table.groupby("block", sort=False), MARKERS, ("-", "--"), (-9, 5), strict=False)
    for (block, rows), marker, line, below in looks:
        axes.errorbar(
            rows["multiply_adds"], rows["lost"], rows["lost_std"].fillna(0.0), color=CODED_COLOUR, marker=marker,
            linestyle=line, markerfacecolor="white", label=f"candidates of {short_name(block)}",
        )  # fmt: skip
        for m, x, y in zip(rows["candidates"], rows["multiply_adds"], rows["lost"], strict=True):
            axes.annotate(str(m), (x, y), xytext=(5, below), textcoords="offset points", fontsize=6.5)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.12)
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
        shown = short_name(name) if name.startswith("layer") else name
        axes[0].set_ylabel(shown, rotation=0, ha="right", va="center")
        for ax, (picture, caption) in zip(axes, row, strict=False):
            ax.imshow(picture, cmap="gray")
            ax.set_title(shown_text(caption), fontsize="x-small", pad=2)
    return figure


def _static_points(axes: Axes, x: pd.Series, static: pd.DataFrame) -> None:
    """Networks that never stop early, by their kind; bars are the binomial 95 % interval of the test images."""
    looks = {"coded": (CODED_COLOUR, "D"), "plain": (PLAIN_COLOUR, "s")}
    for place, (_, row) in zip(x, static.iterrows(), strict=True):
        colour, marker = looks.get(row["kind"], (PLAIN_COLOUR, "^"))
        interval = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
        narrower = f"plain, narrower: {row['multiply_adds']:.0f} %"  # of the multiply-adds
        label = narrower if is_narrower_plain(row["kind"]) else row["kind"]
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


def rival_table(records: Sequence[Record]) -> pd.DataFrame:
    """The same budgets spent by codewords, by the class means and linear heads of a plain network, and at once.

    The policy of a budget is the one that was expected, on held-out images, to be most accurate in it.

    Returns:
        A row a network, way of leaving and budget (percent of the coded network's multiply-adds): network, policy,
        budget, runs, accuracy and multiply_adds with their spread (_std), percent; budget is missing where a network
        answers every image at its end.
    """
    budgets = _rows(records, "targets")
    budgets = budgets[budgets["kind"] == "budget"]
    expected = budgets.groupby(["value", "policy"])["expected_accuracy"].mean().unstack()
    best = expected.idxmax(axis=1)
    rows = [
        {"network": "coded", "policy": row["policy"], "budget": row["value"], **row[["accuracy", "multiply_adds"]]}
        for _, row in budgets.iterrows() if best[row["value"]] == row["policy"]
    ]  # fmt: skip
    plain = [record for record, kind in zip(records, run_kinds(records), strict=True) if kind == "plain"]
    rows += [{"network": "plain", **row} for record in plain for row in record.get("rivals", {}).get("budgets", [])]
    frame = pd.DataFrame(rows)
    numbers = ["accuracy", "multiply_adds"]
    frame[numbers] = frame[numbers].astype(float)
    table = _averaged(frame, ["network", "policy", "budget"], numbers)
    static = static_table(records).rename(columns={"kind": "network", "std": "accuracy_std"})
    columns = ["network", "runs", "accuracy", "accuracy_std", "multiply_adds"]
    return pd.concat([table, static[columns].assign(policy="none, all of it")], ignore_index=True)


def sureness_table(records: Sequence[Record]) -> pd.DataFrame:
    """How well each score tells an exit's right answers from its wrong ones: AUROC, percent, by block.

    Returns:
        A row a network and policy (those of a plain one are its rivals): network, policy, runs, a column a block.
    """
    kinds = run_kinds(records)
    rows = [
        {"network": kind, "run": record["name"], **row}
        for record, kind in zip(records, kinds, strict=True) if kind in ("coded", "plain")
        for row in (record.get("rivals", {}) if kind == "plain" else record).get("sureness", [])
    ]  # fmt: skip
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows).astype({"auroc": float})
    runs = frame.groupby(["network", "policy"], sort=False)["run"].nunique()
    blocks = list(dict.fromkeys(frame["block"]))
    means = frame.groupby(["network", "policy", "block"], sort=False)["auroc"].mean().unstack("block")[blocks]
    return means.assign(runs=runs).reset_index()[["network", "policy", "runs", *blocks]]


def guarantee_table(records: Sequence[Record]) -> pd.DataFrame:
    """Exits whose harm is limited with 95 % confidence, from held-out images: what they bring on the test images.

    Returns:
        A row a policy and harm (percent of the images that may be made wrong): policy, harm, runs, guaranteed (runs in
        which some threshold passed), harmed, accuracy and multiply_adds (means over those), percent.
    """
    coded = [record for record in coded_records(records) if "guarantees" in record]
    rows = [{"run": record["name"], **row} for record in coded for row in record["guarantees"]]
    if not rows:
        return pd.DataFrame()
    numbers = ["harmed", "accuracy", "multiply_adds"]
    groups = pd.DataFrame(rows).astype(dict.fromkeys(numbers, float)).groupby(["policy", "harm"], sort=False)
    return groups[numbers].mean().assign(runs=groups.size(), guaranteed=groups["harmed"].count()).reset_index()[
        ["policy", "harm", "runs", "guaranteed", *numbers]
    ]


def decoder_gains(records: Sequence[Record]) -> pd.DataFrame:
    """A row a decoder: decoder, runs, alone (accuracy), soft and hard (less alone, points), with their spreads."""
    frame = _rows(records, "decoders")
    frame = frame.assign(soft=frame["soft"] - frame["alone"], hard=frame["hard"] - frame["alone"])
    return _averaged(frame, ["decoder"], ["alone", "soft", "hard"])


def verification_losses(records: Sequence[Record]) -> pd.DataFrame:
    """A row a block and number of candidates: what the whole network's accuracy is less, points; multiply_adds."""
    frame = _rows(records, "verification")
    whole = frame.groupby(["run", "block"])["accuracy"].transform("last")  # all classes as candidates
    frame = frame.assign(lost=frame["accuracy"] - whole)
    return _averaged(frame, ["block", "candidates"], ["lost", "multiply_adds"])


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
