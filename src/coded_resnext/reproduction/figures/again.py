"""Whether verdicts come out again: the digits with other seeds, other images to train on, another number of threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from ..records.presets import load_preset, shipped_presets
from ..records.records import read_stage
from .claims import CLAIM, NOT_RUN, claims
from .headlines import headline_cell
from .text import as_markdown

FIRST = "digits"
OPPOSITES = ("agreesdiffers", "differsagrees")
REPETITIONS = ("digits-seeds-5-9", "digits-seeds-10-14")  # of its runs, with nothing else changed


def presets_once() -> list[str]:
    """The presets of the repository but for repetitions."""
    return [name for name in shipped_presets() if name not in REPETITIONS]


def again_table(measured: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each claim came to in every repetition, a row each, and in all runs together.

    Args:
        measured: of `claims_again`.
    Returns:
        claim, and a column a preset by its title, then one of all: points with the 95 % error, the verdict as a mark.
    """
    columns = {load_preset(preset).title: _cells(table) for preset, table in measured.items()}
    if len(measured) > 1:
        columns["together"] = _cells(_only_claims(claims(*measured)).loc[measured[FIRST].index])
    return pd.DataFrame({"claim": list(measured[FIRST].index), **columns})


class Changes(NamedTuple):
    """Of all verdicts of the repetitions, how many are others than those of the first, and say its opposite."""

    verdicts: int
    changed: int
    opposite: int


def verdicts_changed(measured: Mapping[str, pd.DataFrame]) -> Changes:
    """How many verdicts of `claims_again` did not come out again."""
    first, *others = (table["verdict"].str.split(" ").str[0] for table in measured.values())
    return Changes(
        sum(map(len, others)),
        sum(int((again != first).sum()) for again in others),
        sum(int((first + again).isin(OPPOSITES).sum()) for again in others),
    )


def again_page() -> str:
    """docs/claims/again.md as Markdown."""
    measured = claims_again()
    changes = verdicts_changed(measured)
    devices = []
    for preset in measured:
        trained = read_stage(preset, "training")
        on = ", ".join(sorted({record["environment"]["device"] for record in trained}))
        command = f"`make reproduce PRESET={preset}`"
        devices.append(f"* *{load_preset(preset).title}*: {len(trained)} runs on {on}; {command}")
    return "\n".join([
        "# The digits again, with other seeds", "",
        "[All claims](README.md)", "",
        "A verdict is worth what it does when everything is drawn anew: the images to train on, the order, the "
        "weights, the branches dropped. The same runs with other sets of five seeds, and all of them together:", "",
        as_markdown(again_table(measured)),
        f"**Of {changes.verdicts} verdicts {changes.changed} changed, {changes.opposite} of them into the opposite.** "
        "Where one did, the effect is about as large as the error of five seeds, and the last column says what all of "
        "them decide.", "",
        *devices, "",
    ])  # fmt: skip


def claims_again() -> dict[str, pd.DataFrame]:
    """Of the digits and of every repetition that was run: the claims that all of them measured, in the same order."""
    tables = {preset: _only_claims(claims(preset)) for preset in (FIRST, *REPETITIONS)}
    tables = {preset: table for preset, table in tables.items() if preset == FIRST or len(table)}
    common = [claim for claim in tables[FIRST].index if all(claim in table.index for table in tables.values())]
    return {preset: table.loc[common] for preset, table in tables.items()}


def _only_claims(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["row"] == CLAIM) & (table["verdict"] != NOT_RUN)].set_index("claim")


def _cells(table: pd.DataFrame) -> list[str]:
    return [headline_cell(row, table["runs"].max()) for _, row in table.iterrows()]
