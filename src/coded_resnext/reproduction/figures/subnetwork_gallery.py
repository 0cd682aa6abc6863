"""The figures and tables of notebook 09 by name, from records alone; gallery.py shows them with all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from . import subnetworks as subnetwork_figures
from . import subnetwork_tables
from ...errors import NothingToShow
from ...training.parameters import load_preset
from ..records.records import read_record, read_stage
from .tables import Record, run_kinds
from ..records.paper import paper

NOTEBOOK = "09_subnetworks"


def _records(preset: str, stage: str = "subnetworks") -> Sequence[Record]:
    records = read_stage(preset, stage)
    if "coded" not in run_kinds(records):
        raise NothingToShow(f"{preset} has no record of stage {stage} of a coded run: {NOTEBOOK} makes them")
    return records


def _sizes(preset: str) -> pd.DataFrame:
    data = next(iter(load_preset(preset).runs.values())).data
    return subnetwork_tables.size_table(_records(preset), paper("kept-parameters", data))


def _benchmark(stage: str) -> Record:
    record = read_record("benchmark", stage, "resnext29-10x11d")
    if record is None:
        raise NothingToShow("subnetworks were not timed: python -m coded_resnext bench-subnetwork")
    return record


TABLES: dict[str, Callable[[str], pd.DataFrame]] = {
    "subnetworks-size": _sizes,
    "subnetworks-one-class": lambda preset: subnetwork_tables.single_table(_records(preset)),
    "subnetworks-subsets": lambda preset: subnetwork_tables.subset_table(_records(preset)),
    "subnetworks-coupling": lambda preset: subnetwork_tables.coupling_table(_records(preset)),
    "subnetworks-surgery": lambda preset: subnetwork_tables.surgery_table(_records(preset, "surgery")),
    "subnetworks-latency": lambda preset: subnetwork_tables.latency_table(_benchmark("latency")),
    "subnetworks-profile": lambda preset: subnetwork_tables.profile_table(_benchmark("profile")),
}
FIGURES: dict[str, Callable[[str], Figure]] = {
    "subnetworks-subsets": lambda preset: subnetwork_figures.subset_curves(
        subnetwork_tables.subset_table(_records(preset))
    ),
    "subnetworks-coupling": lambda preset: subnetwork_figures.coupling(
        subnetwork_tables.coupling_table(_records(preset))
    ),
}
