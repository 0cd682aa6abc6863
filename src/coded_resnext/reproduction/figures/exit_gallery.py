"""The figures and tables of notebook 10 by name, from records alone; gallery.py shows them with all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from . import exits as exit_figures
from . import exit_tables as exit_summaries
from ...errors import NothingToShow
from .exit_tables import coded_records
from ..records.records import read_stage
from .tables import Record

NOTEBOOK = "10_early_exit"


def _exits(preset: str) -> Sequence[Record]:
    records = read_stage(preset, "exits")
    if not records or not coded_records(records):
        raise NothingToShow(f"{preset} has no record of stage exits of a coded run: {NOTEBOOK} makes them")
    return records


def _timing(preset: str) -> Sequence[Record]:
    """Of the first coded run that was timed: times of several runs of one network tell nothing more.

    Only with the weights whose exits were measured: rounded for shipping they are calibrated anew and leave elsewhere.
    """
    weights = {record["name"]: _weights(record) for record in read_stage(preset, "exits")}
    timed = read_stage(preset, "timing")
    same = [record for record in timed if weights.get(record["name"]) == _weights(record)]
    if not same:
        why = "was not timed" if not timed else "was timed with other weights than its exits were measured with"
        raise NothingToShow(f"{preset} {why}: python -m coded_resnext bench-exits {preset}")
    return same[:1]


def _weights(record: Record) -> tuple[str, bool]:
    return record["checkpoint"], record["parameters"].get("shipped_weights", False)


def _rejection(preset: str) -> pd.DataFrame:
    table = exit_summaries.rejection_table(_exits(preset))
    if table.empty:
        raise NothingToShow(f"{preset} was not measured against foreign images: their data set was not there")
    return table


def _times(preset: str) -> Figure:
    """Times and accuracies of one coded run: others leave elsewhere. Plain networks stand beside it."""
    timed, every = _timing(preset), _exits(preset)
    others = {record["name"] for record in coded_records(every)} - {timed[0]["name"]}
    records = [record for record in every if record["name"] not in others]
    return exit_figures.time_tradeoff(
        exit_summaries.timing_table(timed),
        exit_summaries.target_table(records, "drop"),
        exit_summaries.static_table(records),
    )


def _without_empty(make: Callable[[str], pd.DataFrame]) -> Callable[[str], pd.DataFrame]:
    """The same table less the columns without any number: the spreads, where there is one run."""
    return lambda preset: make(preset).dropna(axis="columns", how="all")


_TABLES: dict[str, Callable[[str], pd.DataFrame]] = {
    "exit-networks": lambda preset: exit_summaries.static_table(_exits(preset)),
    "exit-targets": lambda preset: exit_summaries.target_table(_exits(preset), "drop"),
    "exit-budgets": lambda preset: exit_summaries.target_table(_exits(preset), "budget"),
    "exit-anytime": lambda preset: exit_summaries.anytime_table(_exits(preset)),
    "exit-agreement": lambda preset: exit_summaries.agreement_table(_exits(preset)),
    "decoding-across-blocks": lambda preset: exit_summaries.decoder_table(_exits(preset)),
    "rejection": _rejection,
    "decode-then-verify": lambda preset: exit_summaries.verification_table(_exits(preset)),
    "exit-times": lambda preset: exit_summaries.timing_table(_timing(preset)),
}
TABLES = {stem: _without_empty(make) for stem, make in _TABLES.items()}
FIGURES: dict[str, Callable[[str], Figure]] = {
    "exit-tradeoff": lambda preset: exit_figures.tradeoff(
        exit_summaries.curve_table(_exits(preset)), exit_summaries.static_table(_exits(preset))
    ),
    "exit-shares": lambda preset: exit_figures.exit_shares(
        exit_summaries.share_table(_exits(preset), exit_summaries.SHOWN_DROP)
    ),
    "decoding-across-blocks": lambda preset: exit_figures.decoding_across_blocks(
        exit_summaries.decoder_table(_exits(preset))
    ),
    "rejection": lambda preset: exit_figures.rejection(_rejection(preset)),
    "decode-then-verify": lambda preset: exit_figures.verification(exit_summaries.verification_table(_exits(preset))),
    "exit-times": _times,
}
