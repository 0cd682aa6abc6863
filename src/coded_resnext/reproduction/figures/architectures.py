"""Tables 1 and 4, and what one class keeps: from the records of stage "architecture", one a network."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..records.paper import paper
from ..records.records import Record, metric, piece


def layer_table(records: Sequence[Record]) -> pd.DataFrame:
    """Table 1: a row a stage of each network, as its record has it."""
    rows = []
    for record in records:
        head = {"network": record["name"], "data_set": record["parameters"]["data_set"]}
        rows += [head | row for row in piece(record, "points")]
    counts = ["out channels", "branch width", "active branches", "branches", "blocks"]
    return pd.DataFrame(rows).astype(dict.fromkeys(counts, "Int64"))


def cost_table(records: Sequence[Record]) -> pd.DataFrame:
    """Table 4: what coding costs, counted."""
    rows = [
        {
            "network": record["name"],
            "image size": record["parameters"]["image_size"],
            "parameters": metric(record, "parameters"),
            "GFLOPs, plain": metric(record, "plain_multiply_adds") / 1e9,
            "GFLOPs, coded": metric(record, "coded_multiply_adds") / 1e9,
            "coded over plain": metric(record, "coded_multiply_adds") / metric(record, "plain_multiply_adds"),
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def kept_table(records: Sequence[Record]) -> pd.DataFrame:
    """What of each network the binary classifier of one class keeps, percent."""
    theirs = paper("kept-parameters").query("counted == 'as the text says'").set_index("data_set")["value"]
    rows = [
        {
            "network": record["name"],
            "parameters": metric(record, "kept_parameters"),
            "shortcuts aside": metric(record, "kept_parameters_without_shortcuts"),
            "paper": theirs[record["parameters"]["data_set"]],
            "multiply-adds": metric(record, "kept_multiply_adds"),
            "multiply-adds, energies aside": metric(record, "kept_multiply_adds_of_convolutions"),
        }
        for record in records
    ]
    return pd.DataFrame(rows)
