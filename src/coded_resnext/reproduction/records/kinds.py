"""Kinds of runs: runs that differ in nothing but their seed are one kind, an ablation is a kind of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import Refused
from ...training.parameters import HOW, to_plain, with_defaults
from .presets import load_preset
from .records import Record

# A plain network has no use for these.
CODED_ONLY = ("mu", "drop_branch", "drop_ramp", "exponent", "branch_sum", "active", "scheme")
NO_KIND = ("name", "seed", "preset", "coded", *HOW)  # what makes no other kind of run; "coded" is its first word


def run_kinds(records: Iterable[Record]) -> list[str]:
    """What each record's run is: "coded" or "plain", and what it has that the preset's first coded run has not.

    For example "coded", "plain", "coded, mu=0.0". Runs of one kind differ in their seed only.

    Raises:
        ValueError: a record of a preset that is not there, or that has no coded run.
    """
    return [_kind_name(parameters, changes) for parameters, changes in _changes(records)]


def _changes(records: Iterable[Record]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The training parameters of each record, and those that its preset's first coded run has otherwise."""
    references: dict[str, dict[str, Any]] = {}
    pairs = []
    for record in records:
        parameters = with_defaults(record["parameters"])
        preset = parameters["preset"]
        if preset not in references:
            references[preset] = _first_coded_run(preset)
        ignored = NO_KIND if parameters["coded"] else NO_KIND + CODED_ONLY
        if parameters["init"] == f"{references[preset]['init']}-plain":  # a plain run starts from the plain weights
            ignored += ("init",)
        changes = {
            key: parameters[key]
            for key, value in references[preset].items()
            if key not in ignored and parameters[key] != value
        }
        pairs.append((parameters, changes))
    return pairs


def _kind_name(parameters: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    words = [f"{key}={value}" for key, value in changes.items()]
    return ", ".join(["coded" if parameters["coded"] else "plain", *words])


def _first_coded_run(preset: str) -> dict[str, Any]:
    runs = load_preset(preset).runs
    coded = [to_plain(parameters) for parameters in runs.values() if parameters.coded]
    if not coded:
        raise Refused(f"preset {preset} lists no coded run to compare its other runs with, but {', '.join(runs)}")
    return coded[0]


def coded_records(records: Sequence[Record]) -> list[Record]:
    """Those of the preset's first coded kind: ablations and plain networks are left out."""
    return [record for record, kind in zip(records, run_kinds(records), strict=True) if kind == "coded"]
