"""The paper's numbers, one row a number, from data/paper/*.csv; and the sizes of the schemes that its networks need."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from ... import paths
from ...errors import Refused, not_here, unknown


class Sizes(NamedTuple):
    """What a scheme is asked for."""

    num_classes: int
    num_branches: int
    num_active: int


SAME_IN_PAPER = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}
EXPECTED = "CIFAR-10"  # what stands beside data that the paper does not have: nearest in size to the small ones

SCHEME_RECORDS, DESIGN, SEARCH = "schemes", "design", "lexicographic"  # in data/results: they belong to no preset
TRANSCRIBED = (Sizes(10, 10, 5), Sizes(10, 10, 3))
NETWORK_SIZES = (*TRANSCRIBED, Sizes(100, 20, 8), Sizes(100, 20, 4), Sizes(1000, 32, 16), Sizes(1000, 32, 8))
ABLATION_SIZES = (Sizes(1000, 32, 24), Sizes(1000, 32, 4), Sizes(100, 20, 12), Sizes(10, 10, 7))


def paper(item: str, data: str | None = None) -> pd.DataFrame:
    """The paper's numbers of one table or figure, from data/paper/<item>.csv.

    Args:
        data: a data set of ours. Then only the paper's numbers on the same one; where it has none, on CIFAR-10, which
            is nearest in size to the small ones; where not even that, on the first that it has.
    Returns:
        Columns item, data_set, condition, metric, value, read_from, and one more for each key of the conditions
        ("set=active; removed=3" makes columns set and removed), NaN where a row does not have the key.
    Raises:
        ValueError: an unknown item, with the closest known names.
    """
    path = paths.PAPER / f"{item}.csv"
    if not path.is_file():
        known = sorted(file.stem for file in paths.PAPER.glob("*.csv"))
        raise Refused(unknown("item of the paper", item, known) if known else not_here("paper's numbers", paths.PAPER))
    frame = pd.read_csv(path)
    if data is not None:
        there = list(frame["data_set"])
        wanted = [SAME_IN_PAPER.get(data), EXPECTED, there[0]]
        frame = frame[frame["data_set"] == next(name for name in wanted if name in there)].reset_index(drop=True)
    conditions = [dict(pair.split("=", 1) for pair in text.split("; ")) for text in frame["condition"]]
    keys = dict.fromkeys(key for condition in conditions for key in condition)
    for key in keys:
        column = pd.Series([condition.get(key) for condition in conditions], index=frame.index, dtype=object)
        numbers = pd.to_numeric(column, errors="coerce")
        frame[key] = numbers if numbers.notna().eq(column.notna()).all() else column
    return frame


def compared_with(data: str) -> str:
    """The paper's data set whose numbers stand beside ours of a data set."""
    return SAME_IN_PAPER.get(data, EXPECTED)


def published() -> dict[Sizes, dict[str, int]]:
    """What the paper's published schemes reach: numbers by metric, for every network's sizes."""
    numbers = paper("published-schemes")
    table = numbers.pivot(index=["classes", "branches", "active"], columns="metric", values="value").astype(int)
    return {sizes: table.loc[tuple(sizes)].to_dict() for sizes in NETWORK_SIZES}
