"""The paper's number of a table or figure as a sentence, for captions: on the preset's data set, or what is nearest.

Numbers that were read off a plot have a ~.
"""

from __future__ import annotations

import pandas as pd

from ..records.paper import paper


def table_2(data: str) -> str:
    rows = paper("table-2", data)
    return _said(rows, ", ".join(f"{row.value:.2f} % {row.network}" for row in rows.itertuples()))


def table_4(data: str) -> str:
    rows = paper("table-4").query("metric == 'GFLOPs at 160x160'")
    return _said(rows, " and ".join(f"{row.value:.3f} GFLOPs {row.network}" for row in rows.itertuples()))


def kept_parameters(data: str) -> str:
    rows = paper("kept-parameters").query("counted == 'as the text says'")
    shares = ", ".join(f"{row.value:.0f} % ({row.data_set})" for row in rows.itertuples())
    return f"The paper says {shares} of the parameters, by a count that it does not state."


def figure_2a(data: str) -> str:
    rows = paper("figure-2a", data)
    ends = rows.sort_values("removed").groupby("set")["value"].agg(["first", "last"])
    lines = [f"~{ends.loc[which, 'first']:.1f} to ~{ends.loc[which, 'last']:.1f} % without its {which} branches"
             for which in ("active", "inactive") if which in ends.index]  # fmt: skip
    return _said(rows, ", ".join(lines))


def figure_2b(data: str) -> str:
    rows = paper("figure-2b", data)
    ends = rows[rows["negatives"] == "in distribution"].set_index("metric")["value"]
    return _said(rows, ", ".join(f"{rate} ~{ends[f'lowest {rate}']:.0f} to ~{ends[f'highest {rate}']:.0f} %"
                                 for rate in ("recall", "precision")))  # fmt: skip


def figure_4(data: str) -> str:
    rows = paper("figure-4", data)
    first, last, softmax = (rows["value"].iloc[place] for place in (0, -2, -1))
    return _said(rows, f"~{first:g} % by the first coded block, ~{last:g} % by the last, ~{softmax:g} % by the softmax")


def figure_5(data: str) -> str:
    rows = paper("figure-5", data)
    last = rows[rows["decoder"] == "block 9"].set_index("mu")["value"]
    return _said(rows, f"decoding by the last block reaches ~{last[0]:g} % at μ = 0 and ~{last[6]:g} % at μ = 6")


def figure_6(data: str) -> str:
    rows = paper("figure-6", data)
    ranges = rows.pivot(index="p_drop", columns="metric", values="value")
    return _said(rows, "; ".join(
        f"precision ~{row['lowest precision']:.0f} to ~{row['highest precision']:.0f} % and accuracy "
        f"{row['accuracy']:.2f} % at p_drop = {drop:g}" for drop, row in ranges.iterrows()
    ))  # fmt: skip


def exponent(data: str) -> str:
    rows = paper("exponent", data)
    return _said(rows, ", ".join(f"{row.value:g} % with exponent {row.exponent:g}" for row in rows.itertuples()))


def _said(rows: pd.DataFrame, numbers: str) -> str:
    return f"The paper on {rows['data_set'].iloc[0]}: {numbers}."
