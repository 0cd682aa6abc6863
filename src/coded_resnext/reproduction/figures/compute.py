"""What all of this took (docs/compute.md): runs, minutes and devices by preset, from the records' seconds."""

from __future__ import annotations

import pandas as pd

from ... import paths
from ..records.presets import load_preset, shipped_presets
from ..records.records import Record, read_stage
from .claims import CODED, PLAIN
from .tables import accuracy_table
from .text import as_markdown

MEASURED = ("accuracy", "specialisation", "binary", "early", "subnetworks", "surgery", "exits", "timing")
ALONE = {"schemes": ("design", "lexicographic"), "benchmark": ("step", "latency", "profile")}  # belong to no preset


def compute_table() -> pd.DataFrame:
    """A row a preset with records: what to type, what it took, and what to expect of it."""
    rows = []
    for preset in shipped_presets():
        training = read_stage(preset, "training")
        if not training:
            continue
        measured = [record for stage in MEASURED for record in read_stage(preset, stage)]
        files = list((paths.COMMITTED_RESULTS / preset).glob("*.json"))
        rows.append({
            "command": f"`make reproduce PRESET={preset}`",
            "data": load_preset(preset).data,
            "runs": len(training),
            "training, minutes": _minutes(training),
            "on": ", ".join(sorted({record["environment"]["device"] for record in training})),
            "measuring, minutes": _minutes(measured),
            "records, MB": round(sum(file.stat().st_size for file in files) / 1e6, 1),
            **_expected(preset),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _expected(preset: str) -> dict[str, str]:
    """Mean test accuracies of the coded and the plain network."""
    table = accuracy_table(read_stage(preset, "accuracy")).set_index("kind")
    there = [kind for kind in (CODED, PLAIN) if kind in table.index]
    return {
        f"accuracy, {kind}": f"{table.loc[kind, 'accuracy']:.1f} % (n = {table.loc[kind, 'runs']})" for kind in there
    }


def compute_page() -> str:
    """docs/compute.md."""
    table = compute_table()
    alone = sum(_minutes(read_stage(folder, stage)) for folder, stages in ALONE.items() for stage in stages)
    total = table["training, minutes"].sum() + table["measuring, minutes"].sum() + alone
    return (
        "# What was computed\n\n"
        "Sums of the seconds in the records of `data/results`. A minute is one of the process that made the record: "
        "on a CPU several ran side by side, with one thread each, so that the clock showed fewer.\n\n"
        f"{as_markdown(table, marked=['command'])}\n"
        f"Schemes and benchmarks took {alone:.0f} minutes more; {total / 60:.1f} hours in all. Runs that failed, or "
        "that a later one of the same name replaced, left no record and are not in the sum.\n"
    )


def _minutes(records: list[Record]) -> float:
    return round(sum(record["seconds"] for record in records) / 60, 1)
