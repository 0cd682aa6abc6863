"""What holds where: the same claims on fitted and on under-fitted networks, of every preset that was run."""

from __future__ import annotations

from statistics import fmean

import pandas as pd

from ..records.kinds import coded_records
from ..records.presets import load_preset
from ..records.records import read_stage
from .again import presets_once
from .claims import CLAIM, NOT_MEASURED, claims
from .headlines import MARKS, headline_cell
from .tables import energy_table, removal_by_block_table

CLAIMS = {  # as columns
    "coded less plain": "coded is better than plain",
    "inactive removed": "removing inactive branches gains",
    "active removed loses": "removing active branches loses",
    "dropping costs no accuracy": "branch dropping costs no accuracy",
    "paths' average precision": "binary classifiers, mean average precision",
    "first block": "early decoding by the first coded block",
}


def what_held(preset: str) -> str:
    """In Markdown: how well a preset's coded network is fitted, and which claims held there, and which did not."""
    table = claims(preset)
    table = table[table["row"] == CLAIM]
    verdicts = table["verdict"].str.removesuffix(" (one run)")
    found = [(word, table["claim"][verdicts == word]) for word in MARKS]
    parts = [
        f"{len(those)} {word if len(those) == 1 else word.removesuffix('s')}: " + "; ".join(f"*{c}*" for c in those)
        for word, those in found
        if len(those)
    ]
    return f"**{load_preset(preset).title}**, training error in percent: {training_error(preset)}. {'. '.join(parts)}."


def training_error(preset: str) -> str:
    """Percent of clean training images that the first coded kind has wrong, in evaluation mode.

    Measured at the end of training, or with the accuracy where training did not.
    """
    records = coded_records([*read_stage(preset, "training"), *read_stage(preset, "accuracy")])
    known = [run["metrics"]["clean_train_accuracy"] for run in records if "clean_train_accuracy" in run["metrics"]]
    return f"{100 - fmean(known):.1f}" if known else NOT_MEASURED


def regime_table() -> pd.DataFrame:
    """A row a preset that has coded runs: how well they are fitted, and what the claims came to.

    Returns:
        preset, training_error (percent of clean training images, in evaluation mode), runs, and a column a claim:
        percent or points with the 95 % error, the verdict as a mark, and how many runs where fewer.
    """
    rows = []
    for name in presets_once():
        table = claims(name).set_index("claim")
        measured = table.loc[list(CLAIMS.values())]
        if not measured["ours"].notna().any():
            continue
        most = measured["runs"].max()
        cells = {short: headline_cell(table.loc[claim], most) for short, claim in CLAIMS.items()}
        rows.append({"preset": load_preset(name).title, "training_error": training_error(name), "runs": most, **cells})
    return pd.DataFrame(rows)


def energy_and_removal_table() -> pd.DataFrame:
    """Whether the energy that inactive branches carry is why removing them gains: both, block by block, by preset.

    Returns:
        A row a preset and block: preset, block, if_even and inactive_share (percent of the energy, see `energy_table`),
        gained (by removing all inactive branches, points) and lost (by removing all active ones), means over the first
        coded kind's runs.
    """
    rows = []
    for name in presets_once():
        energies = energy_table(coded_records(read_stage(name, "early")))
        removal = removal_by_block_table(coded_records(read_stage(name, "specialisation")))
        if energies.empty or removal.empty:
            continue
        both = energies.merge(removal, on="block", suffixes=("", "_removal"))
        both = both.assign(preset=load_preset(name).title, lost=both["whole"] - both["without_active"])
        rows.append(both[["preset", "block", "if_even", "inactive_share", "gained", "lost"]])
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
