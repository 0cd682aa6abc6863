"""What notebook 01 shows: table 3, figure 1c, the shipped schemes beside the paper's, and how far apart words can be.

Nothing of the paper's depends on a run; seconds and its search run again come from the records of `make schemes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan

import pandas as pd
from matplotlib.figure import Figure

from ...codes.bounds import distance_bound
from ...codes.scheme import CodingScheme, load_scheme, scheme_path
from ...errors import NothingToShow
from ..records.paper import ABLATION_SIZES, DESIGN, NETWORK_SIZES, SCHEME_RECORDS, SEARCH, Sizes, paper, published
from ..records.records import metric, read_record
from . import diagrams

PUBLISHED, AGAIN, OURS = "published", "its search again", "ours"
MOST_CLASSES = 2_000


def table_3() -> pd.DataFrame:
    """A row a class of CIFAR-10: its codewords of both ratios."""
    names = list(dict.fromkeys(paper("table-3")["class"]))
    return codewords([load_scheme(10, 10, active) for active in (5, 3)], names)


def codewords(schemes: Iterable[CodingScheme], names: Sequence[str]) -> pd.DataFrame:
    """A row a class: its codeword in each scheme, under N_act/N."""
    words = {f"{scheme.num_active}/{scheme.num_branches}": scheme.to_text().split() for scheme in schemes}
    return pd.DataFrame({"class": names} | words)


def overview() -> pd.DataFrame:
    """Three rows a network: the published scheme, the paper's search run again at its distance, and the designer's.

    Columns: sizes, scheme, distance, bound, spread (fullest column less emptiest), pairs (at that distance), seconds
    (of processor time). What was not published is NaN.

    Raises:
        NothingToShow: a network has no record of `make schemes`.
    """
    rows = []
    for sizes, reached in published().items():
        theirs = {
            "distance": reached["minimum distance"],
            "bound": reached["upper bound on the minimum distance"],
            "spread": reached["largest column sum"] - reached["smallest column sum"],
            "pairs": _pairs_of_table_3(sizes),
            "seconds": nan,
        }
        searched = {PUBLISHED: theirs, AGAIN: _recorded(SEARCH, sizes), OURS: _recorded(DESIGN, sizes)}
        rows += [{"(K, N, N_act)": _title(sizes), "scheme": scheme, **values} for scheme, values in searched.items()]
    return pd.DataFrame(rows).astype({"pairs": "Int64"})


def proofs() -> pd.DataFrame:
    """Why no scheme of a network's sizes, or of an ablation's, has a larger distance."""
    rows = [(_title(sizes), *distance_bound(*sizes)) for sizes in (*NETWORK_SIZES, *ABLATION_SIZES)]
    return pd.DataFrame(rows, columns=["(K, N, N_act)", "largest distance", "proof"])


def bounds_by_classes(num_branches: int = 32, weights: tuple[int, ...] = (4, 8, 16)) -> pd.DataFrame:
    """The proven bound for every number of classes at which it changes, and what the shipped schemes reach."""
    rows: list[dict[str, float]] = []
    for active in weights:
        last = 0
        for classes in range(2, MOST_CLASSES + 1):
            sizes = (classes, num_branches, active)
            there = scheme_path(*sizes).is_file()
            bound = distance_bound(*sizes).value
            if bound != last or there or classes == MOST_CLASSES:
                reached = load_scheme(*sizes).min_distance if there else nan
                rows.append({"classes": classes, "active": active, "bound": bound, "reached": reached})
            last = bound
    return pd.DataFrame(rows)


def distances() -> Figure:
    titles = {sizes: f"$K$ = {sizes[0]}, $N$ = {sizes[1]}, $N_\\mathrm{{act}}$ = {sizes[2]}" for sizes in NETWORK_SIZES}
    return diagrams.distances(
        {titles[sizes]: load_scheme(*sizes) for sizes in NETWORK_SIZES},
        {titles[sizes]: distance_bound(*sizes).value for sizes in NETWORK_SIZES},
        {titles[sizes]: reached["minimum distance"] for sizes, reached in published().items()},
    )


def codebook(sizes: Sizes) -> Figure:
    names = list(table_3()["class"]) if sizes.num_classes == 10 else None
    return diagrams.codebook(load_scheme(*sizes), names)


def _pairs_of_table_3(sizes: Sizes) -> float:
    """Pairs at the minimum distance where the published words are at hand."""
    digits = paper("table-3").query(f"ratio == '{sizes.num_active}/{sizes.num_branches}'")["value"].to_numpy()
    if sizes.num_classes * sizes.num_branches != len(digits):
        return nan
    scheme = CodingScheme(digits.reshape(sizes.num_classes, sizes.num_branches))
    return scheme.distance_distribution()[scheme.min_distance]


def _recorded(stage: str, sizes: Sizes) -> dict[str, float]:
    record = read_record(SCHEME_RECORDS, stage, scheme_path(*sizes).stem)
    if record is None:
        raise NothingToShow(f"there is no {stage} record of {_title(sizes)}: make schemes makes it")
    columns = {"distance": "distance", "bound": "bound", "spread": "column_spread", "pairs": "close_pairs"}
    return {name: metric(record, key) for name, key in columns.items()} | {"seconds": record["seconds"]}


def _title(sizes: Sizes) -> str:
    return str(tuple(sizes))
