"""Learning curves, from the histories of records of stage "training"."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..records.kinds import run_kinds
from ..records.records import Record
from .claims import CODED, NO_LOSS, PLAIN
from .style import BAND, CODED_COLOUR, NO_LOSS_COLOUR, PLAIN_COLOUR, WIDTH, styled

LOOKS = {  # of kinds of runs: colour, line, and what the legend calls them
    CODED: (CODED_COLOUR, "-", "coded"),
    PLAIN: (PLAIN_COLOUR, "--", "plain"),
    NO_LOSS: (NO_LOSS_COLOUR, ":", "coded, μ = 0"),
}
FEW = 5  # so few epochs are points, not only a line


def history_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a run and epoch: kind, run, epoch, and what the training logged; accuracies in percent."""
    kinds = run_kinds(records)
    rows = [
        {"kind": kind, "run": record["name"], **row}
        for record, kind in zip(records, kinds, strict=True)
        for row in record["history"]
    ]
    return pd.DataFrame(rows)


@styled
def learning_curves(table: pd.DataFrame) -> Figure:
    """Accuracy of the softmax, accuracy of the last coded block as a decoder, and the coding loss, against epochs.

    Args:
        table: of `history_table`.
    """
    figure = Figure((WIDTH, 2.3))
    panels = figure.subplots(1, 3)
    kinds = [kind for kind in LOOKS if (table["kind"] == kind).any()]
    for axes, key, title in zip(
        panels,
        ("accuracy", "last_block_accuracy", "coding_loss"),
        ("accuracy (%)", "the last block's decoding (%)", "coding loss"),
        strict=True,
    ):
        for kind in kinds:
            rows = table[table["kind"] == kind]
            if key in rows and (kind != PLAIN or key == "accuracy"):
                _curve(axes, rows, key, kind)
        axes.set_title(title, fontsize="medium")
    panels[2].set_yscale("log")
    figure.supxlabel("epoch")
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, key: str, kind: str) -> None:
    """Mean over runs, and a band of one standard deviation."""
    colour, line, label = LOOKS[kind]
    groups = rows.dropna(subset=[key]).groupby("epoch")[key]
    mean, spread = groups.mean(), groups.std().fillna(0.0)
    marker = "o" if len(mean) < FEW else ""
    axes.plot(mean.index, mean, color=colour, linestyle=line, marker=marker, label=label)
    axes.fill_between(mean.index, mean - spread, mean + spread, color=colour, alpha=BAND, linewidth=0)
