"""What all of this took, from the records' seconds: docs/compute.md, and what every preset file says of it."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from ... import paths
from ..records.paper import paper
from ..records.presets import FULL, load_preset, shipped_presets
from ..records.records import Record, read_stage
from .captions import HOMES
from .claims import CODED, NOT_RUN, PLAIN
from .tables import accuracy_table
from .text import as_markdown

CHANGED = ", with changes"  # a checkout that was not as committed
MEASURED = ("accuracy", "specialisation", "binary", "early", "subnetworks", "surgery", "exits", "timing")


def compute_table() -> pd.DataFrame:
    """A row a preset with records: what to type, what it took, and what to expect of it."""
    return pd.DataFrame([
        {"command": f"`{_command(preset)}`", "data": load_preset(preset).data, **_took(preset),
         **{f"accuracy, {kind}": rate for kind, rate in _accuracies(preset).items()}}
        for preset in shipped_presets()
        if read_stage(preset, "training")
    ])  # fmt: skip


def _command(preset: str) -> str:
    return f"make reproduce PRESET={preset}"


def _took(preset: str) -> dict[str, Any]:
    training = read_stage(preset, "training")
    files = list((paths.COMMITTED_RESULTS / preset).glob("*.json"))
    return {
        "runs": len(training),
        "training, minutes": _minutes(training),
        "on": ", ".join(sorted({record["environment"]["device"] for record in training})),
        "measuring, minutes": _minutes([record for stage in MEASURED for record in read_stage(preset, stage)]),
        "records, MB": round(sum(file.stat().st_size for file in files) / 1e6, 1),
    }


def _accuracies(preset: str) -> dict[str, str]:
    """Mean test accuracies of the coded and the plain network, as far as they were measured."""
    records = read_stage(preset, "accuracy")
    if not records:
        return {}
    table = accuracy_table(records).set_index("kind")
    there = [kind for kind in (CODED, PLAIN) if kind in table.index]
    return {kind: f"{table.loc[kind, 'accuracy']:.1f} % (n = {table.loc[kind, 'runs']})" for kind in there}


def preset_entries(name: str) -> str:
    """The lines of a preset's file that are made from records: what to type, what it took, what to expect of it.

    And of the weights in data/weights the commit of the code that trained them.
    """
    preset, took, accuracies = load_preset(name), _took(name), _accuracies(name)
    time = NOT_RUN
    if took["runs"]:
        time = (f"{took['training, minutes']} minutes of training, {took['runs']} runs on {took['on']}; "
                f"{took['measuring, minutes']} minutes of measuring")  # fmt: skip
    expected = ", ".join(f"{kind} {rate}" for kind, rate in accuracies.items())
    if not expected and preset.scale == FULL:
        theirs = [f"{row.network} {row.value:.2f} %" for row in paper("table-2", preset.data).itertuples()]
        expected = f"{', '.join(theirs)}, as in the paper"
    commits = {
        f"{name}-{record['name']}": record["environment"]["commit"][:12] + CHANGED * record["environment"]["dirty"]
        for record in read_stage(name, "training")
        if (paths.WEIGHTS / f"{name}-{record['name']}.json").is_file()
    }
    entries = {"command": _command(name), "time": time, "expect": f"accuracy {expected}" if expected else NOT_RUN}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in entries.items()]
    if commits:
        lines += ["weights:  # the commit that trained them\n"]
        lines += [f"  {run}: {json.dumps(commit)}\n" for run, commit in commits.items()]
    return "".join(lines)


def compute_page() -> str:
    """docs/compute.md."""
    table = compute_table()
    alone = sum(_minutes(read_stage(folder, stage)) for stage, folder in HOMES.items())
    total = table["training, minutes"].sum() + table["measuring, minutes"].sum() + alone
    return (
        "# What was computed\n\n"
        "Sums of the seconds in the records of `data/results`. A minute is one of the process that made the record: "
        "on a CPU several ran side by side, with one thread each, so that the clock showed fewer.\n\n"
        f"{as_markdown(table, marked=['command'])}\n"
        f"What belongs to no preset (schemes, benchmarks, architectures) took {alone:.0f} minutes more; "
        f"{total / 60:.1f} hours in all. Runs that failed, or that a later one of the same name replaced, left no "
        "record and are not in the sum.\n"
    )


def _minutes(records: list[Record]) -> float:
    return round(sum(record["seconds"] for record in records) / 60, 1)
