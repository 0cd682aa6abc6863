"""Every figure and table of a preset by name, drawn from its records alone: no network, no data set, no torch.

A notebook that made records shows them by `draw` and `tabulate`; `redraw` does all of a preset at once. Stems
are the file names in figures/<preset>/. What makes them is in registry.py.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ... import paths
from ...errors import NothingToShow, Refused, unknown
from ..records.presets import EASY, REFERENCES, load_preset
from .captions import alternative, caption
from .contents import write_contents
from .registry import FIGURES, TABLES, Item
from .style import SavedFigure, ShownFigure, rendered, save
from .text import save_table


def draw(stem: str, preset: str) -> SavedFigure:
    """Draw one figure into figures/<preset>/.

    Raises:
        ValueError: an unknown figure; a record of another schema or without what the figure shows.
        NothingToShow: the preset has no record of it, or nothing that it could show.
    """
    return show_with(_make(FIGURES, stem, preset), stem, preset)


def show(stem: str, preset: str) -> SavedFigure | str:
    """As `draw`, but where there is nothing to draw it says why: not every preset has every ablation."""
    try:
        return draw(stem, preset)
    except NothingToShow as reason:
        return str(reason)


def show_reference(stem: str, preset: str) -> ShownFigure | str:
    """The same figure of one of `REFERENCES`, beside a preset whose data is so easy that its own leaves little to see.

    Nothing is written. Where the preset has other data, or there is nothing to draw, it says so.
    """
    if load_preset(preset).data != EASY:
        return f"{', '.join(REFERENCES)} stand beside the digits only, which are so easy"
    reasons = []
    for name in REFERENCES:
        try:
            png = rendered(_make(FIGURES, stem, name), "png")
        except NothingToShow as reason:
            reasons.append(str(reason))
        else:
            return ShownFigure(stem, name, png, caption(stem, name, drawn=True), alternative(stem, name))
    return "; ".join(reasons)


def show_with(figure: Figure, stem: str, preset: str) -> SavedFigure:
    """Write a figure that was drawn, and return it with its caption; notebooks draw some with the images at hand."""
    saved = save(figure, preset, stem)
    return saved._replace(caption=caption(stem, preset, drawn=True), alternative=alternative(stem, preset))


def tabulate(stem: str, preset: str) -> pd.DataFrame:
    """Write one table into figures/<preset>/, and return it. Raises as `draw` does."""
    table = _make(TABLES, stem, preset)
    save_table(table, preset, stem)
    if any("$" in str(value) for value in table.to_numpy().flat):  # a class's name, which a notebook would typeset
        pd.set_option("display.html.use_mathjax", False)
    return table


def show_table(stem: str, preset: str) -> pd.DataFrame | str:
    """As `tabulate`, but where there is nothing to tabulate it says why."""
    try:
        return tabulate(stem, preset)
    except NothingToShow as reason:
        return str(reason)


def redraw(preset: str) -> None:
    """Write every figure and table of the preset's notebooks and their contents, and say what is left out and why.

    What was drawn before and has nothing to show any more is removed.

    Raises:
        ValueError: an unknown preset; a record that is damaged or of another schema.
    """
    notebooks = load_preset(preset).notebooks
    for items, write, kinds in ((TABLES, tabulate, ("md", "csv")), (FIGURES, draw, ("pdf", "png"))):
        for stem, item in items.items():
            if item.notebook not in notebooks:
                continue
            try:
                write(stem, preset)
                print(stem)
            except NothingToShow as reason:
                print(f"{stem}: left out, {reason}")
                for kind in kinds:
                    (paths.FIGURES / preset / f"{stem}.{kind}").unlink(missing_ok=True)
    write_contents(preset)


def _make(items: dict[str, Item], stem: str, preset: str) -> Any:
    if stem not in items:
        raise Refused(unknown("figure or table", stem, items))
    load_preset(preset)
    return items[stem].make(preset)
