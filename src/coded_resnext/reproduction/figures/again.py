"""Whether verdicts come out again: the digits with other seeds, other images to train on, another number of threads."""

from __future__ import annotations

import pandas as pd

from ..records.presets import load_preset
from ..records.records import read_stage
from .claims import CLAIM, NOT_RUN, claims
from .headlines import headline_cell
from .text import as_markdown

FIRST = "digits"
REPETITIONS = ("digits-seeds-5-9", "digits-seeds-10-14")  # of its runs, with nothing else changed


def again_table() -> pd.DataFrame:
    """The claims of the digits that every repetition measured, a row each, and what each came to.

    Returns:
        claim, and a column a preset by its title: points with the 95 % error and the verdict as a mark.
    """
    return _cells(_verdicts())


def verdicts_changed() -> tuple[int, int]:
    """How many of all verdicts of the repetitions are others than those of the first, and how many there are."""
    first, *others = _verdicts().values()
    changed = sum(int((table["verdict"] != first["verdict"]).sum()) for table in others)
    return changed, sum(map(len, others))


def again_page() -> str:
    """docs/claims/again.md as Markdown."""
    measured = _verdicts()
    if len(measured) == 1:
        return "# The digits again, with other seeds\n\nNot run: `make reproduce PRESET=" + f"{REPETITIONS[0]}`.\n"
    changed, verdicts = verdicts_changed()
    trained = {preset: read_stage(preset, "training") for preset in measured}
    devices = [
        f"* *{load_preset(preset).title}*: {len(records)} runs on "
        f"{', '.join(sorted({record['environment']['device'] for record in records}))}; "
        f"`make reproduce PRESET={preset}`"
        for preset, records in trained.items()
    ]
    return "\n".join([
        "# The digits again, with other seeds", "",
        "[All claims](README.md)", "",
        "A verdict is worth what it does when everything is drawn anew: the images to train on, the order, the "
        "weights, the branches dropped. The same runs with two other sets of five seeds:", "",
        as_markdown(_cells(measured)),
        f"**{changed} of {verdicts} verdicts changed.** Where one does, five seeds are too few for its claim.", "",
        *devices, "",
    ])  # fmt: skip


def _verdicts() -> dict[str, pd.DataFrame]:
    """Of the first and of every repetition that was run: the claims that all of them measured, in the same order."""
    tables = {preset: claims(preset).set_index("claim") for preset in (FIRST, *REPETITIONS)}
    for preset, table in tables.items():
        tables[preset] = table[(table["row"] == CLAIM) & (table["verdict"] != NOT_RUN)]
    tables = {preset: table for preset, table in tables.items() if preset == FIRST or len(table)}
    common = [claim for claim in tables[FIRST].index if all(claim in table.index for table in tables.values())]
    return {preset: table.loc[common] for preset, table in tables.items()}


def _cells(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    columns = {
        load_preset(preset).title: [headline_cell(row, table["runs"].max()) for _, row in table.iterrows()]
        for preset, table in tables.items()
    }
    return pd.DataFrame({"claim": list(tables[FIRST].index), **columns})
