"""Every number of the paper's results beside ours, one by one.

What is measured here is put under the keys of data/paper/*.csv, so that one join sets the two side by side and
whatever has no partner is seen to be missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from ...codes.scheme import first_stage, load_scheme
from ..records.intervals import error95, wilson
from ..records.paper import SAME_IN_PAPER, paper
from ..records.presets import is_own, load_preset
from ..records.records import metric, piece, read_stage
from .claims import claims
from .tables import accuracy_table, binary_table, early_table, removal_table

OF_NO_RUN = ("table-1", "table-3", "table-4", "kept-parameters", "computation", "published-schemes")
ITEMS = (*OF_NO_RUN, "table-2", "figure-2a", "figure-2b", "figure-2c", "figure-4", "figure-5", "figure-6", "figure-8",
         "exponent", "appendix-b")  # fmt: skip
BY_THE_CLOCK = ("samples per second", "memory in GB")  # of table 4; its other numbers are counted
ARITHMETIC, MEASUREMENT = "arithmetic", "measurement"
LESS = "coded less plain"
STAND_IN = "CIFAR-10"  # whose numbers stand beside ours on data that the paper has not
TEST_IMAGES = {"CIFAR-10": 10_000, "CIFAR-100": 10_000, "ImageNet": 50_000}
READ_BY_EYE = 0.5  # how far a number read off a plot may be from what was measured there
AGREES, DIFFERS, NOT_RUN = "agrees", "differs", "not run"
OTHER_DATA, OTHER_NETWORK = "other data", "other network"


class Ours(NamedTuple):
    """A number of ours under the paper's keys; error is the half width of its 95 % interval."""

    data_set: str
    item: str
    condition: str
    metric: str
    ours: float
    error: float = math.nan
    runs: int | None = None
    images: int | None = None


def comparison(preset: str) -> pd.DataFrame:
    """Every number of the paper, each with ours where there is one.

    What is counted (networks, schemes, costs) is kept apart from what is measured, and comes first. Of measurements, a
    preset has those on its data set; one with data of its own stands beside the paper's CIFAR-10. Runs of the preset's
    first coded kind and of the plain kind count, averaged over seeds, and its ablations where the paper has them.

    Returns:
        Columns part ("arithmetic" or "measurement"), item, data_set (the paper's), condition, metric, paper, read_from,
        ours, error (95 %), runs, images, difference (ours less the paper's), verdict: of arithmetic, and of what is
        measured with the paper's network on its data, "agrees" when the difference is within the 95 % error of both
        sides and what can be read off a plot, or "differs"; of other measurements "other network" or "other data";
        without a number of ours "not run".
    Raises:
        ValueError: an unknown preset, a record of another schema or without a metric.
    """
    loaded = load_preset(preset)
    data = loaded.data
    theirs = pd.concat([paper(item) for item in ITEMS], ignore_index=True).rename(columns={"value": "paper"})
    theirs = _whole_schemes(theirs[["item", "data_set", "condition", "metric", "paper", "read_from"]])
    beside = {item: paper(item, data)["data_set"].iloc[0] for item in ITEMS}
    measured = [Ours(beside[item], item, *rest) for _, item, *rest in _measured(preset)]
    ours = pd.DataFrame([*measured, *_schemes(theirs), *_networks()], columns=Ours._fields)
    table = theirs.merge(ours, on=["item", "data_set", "condition", "metric"], how="left")
    counted = table["item"].isin(OF_NO_RUN) & ~table["metric"].isin(BY_THE_CLOCK)
    table["part"] = counted.map({True: ARITHMETIC, False: MEASUREMENT})
    table["difference"] = table["ours"] - table["paper"]
    table["verdict"] = [_verdict(row, SAME_IN_PAPER.get(data), loaded.is_full) for _, row in table.iterrows()]
    order = ["part", "item", "data_set", "condition", "metric", "paper", "read_from", "ours", "error", "runs", "images"]
    table = table[[*order, "difference", "verdict"]].astype({"runs": "Int64", "images": "Int64"})
    return table.sort_values("part", kind="stable").reset_index(drop=True)


def table_2(preset: str) -> pd.DataFrame:
    """Table 2: coded, plain and their difference first, the paper's beside them; then every other kind of run.

    Returns:
        As `accuracy_table`, and a column of the paper's numbers on the preset's data or on CIFAR-10, but not beside
        images of one's own. The difference is in percentage points, its low and high the ends of its 95 % interval.
    """
    table = accuracy_table(read_stage(preset, "accuracy"))
    theirs = paper("table-2", load_preset(preset).data)
    numbers = theirs.set_index("network")["value"].to_dict()
    claim = claims(preset).set_index("claim").loc["coded is better than plain"]
    rows = [table[table["kind"] == "coded"], table[table["kind"] == "plain"]]
    if pd.notna(claim["ours"]):
        numbers[LESS] = numbers["coded"] - numbers["plain"]
        low, high = claim["ours"] - claim["error"], claim["ours"] + claim["error"]
        difference = {
            "data_set": table["data_set"].iloc[0], "kind": LESS, "runs": claim["runs"], "accuracy": claim["ours"],
            "low": low, "high": high, "images": claim["images"],
        }  # fmt: skip
        rows.append(pd.DataFrame([difference]))
    rows.append(table[~table["kind"].isin(["coded", "plain"])])
    whole = pd.concat([part for part in rows if not part.empty], ignore_index=True)
    if not is_own(preset):
        whole[f"paper, {theirs['data_set'].iloc[0]}"] = whole["kind"].map(numbers)
    return whole.astype({"runs": "Int64", "images": "Int64"})


def _verdict(row: pd.Series, data_set: str | None, same_network: bool) -> str:
    if pd.isna(row["ours"]):
        return NOT_RUN
    if row["part"] == MEASUREMENT and row["data_set"] != data_set:
        return OTHER_DATA
    if row["part"] == MEASUREMENT and not same_network:
        return OTHER_NETWORK
    return AGREES if abs(row["difference"]) <= _allowed(row) else DIFFERS


def _allowed(row: pd.Series) -> float:
    """Error of the difference, 95 %: both sides are measured on a draw of test images, and read with some care."""
    printed = f"{row['paper']:.12g}".partition(".")[2]
    reading = READ_BY_EYE if row["read_from"] == "plot" else 0.5 * 10.0 ** -len(printed)
    if row["metric"] != "accuracy":
        return reading
    low, high = wilson(row["paper"], TEST_IMAGES[row["data_set"]])
    return math.hypot(row["error"], (high - low) / 2) + reading


def _measured(preset: str) -> Iterator[Ours]:
    """On the preset's data: which of the paper's stands beside it is not said here."""
    accuracy, early = read_stage(preset, "accuracy"), read_stage(preset, "early")
    removal, binary = read_stage(preset, "specialisation"), read_stage(preset, "binary")
    for _, row in accuracy_table(accuracy).query("kind in ('coded', 'plain')").iterrows():
        yield _rate("table-2", f"network={row['kind']}", row)
        if row["kind"] == "plain":
            yield _rate("figure-5", "network=plain; decoder=softmax", row)
    for _, row in removal_table(removal).query("kind == 'coded'").iterrows():
        yield _rate("figure-2a", f"set={row['set']}; removed={row['removed']}", row)
    for _, row in accuracy_table(accuracy, "exponent").iterrows():
        yield _rate("exponent", f"exponent={row['exponent']:g}", row)
    for _, row in accuracy_table(accuracy, "drop_branch").iterrows():
        yield _rate("figure-6", f"p_drop={row['drop_branch']:g}", row)
    yield from _decoders(early_table(early, "mu"), load_preset(preset).data)
    for drop, rows in binary_table(binary, "drop_branch").groupby("drop_branch"):
        yield from _extremes("figure-6", f"p_drop={drop:g}", rows, "precision", "recall")
    yield from _binary(binary_table(binary).query("kind == 'coded'"))


def _decoders(table: pd.DataFrame, data: str) -> Iterator[Ours]:
    """Figures 4 and 5. Networks differ in depth: blocks are matched from the last one of the paper's network.

    Args:
        data: a data set of ours; the paper's network on it has 9 blocks on CIFAR, 16 on ImageNet.
    """
    numbers = paper("figure-4", data)["decoder"].str.extract(r"block (\d+)")[0].dropna().astype(int)
    number_of_last = numbers.max()
    for mu, rows in table.groupby("mu", sort=False):
        blocks = rows[rows["from_end"] > 0]
        early = blocks[blocks["decoder"].isin(first_stage(list(blocks["decoder"])))]["from_end"].min()
        for _, row in rows.iterrows():
            place = row["from_end"]
            decoder = f"block {number_of_last + 1 - place}" if place else "softmax"
            yield _rate("figure-4", f"mu={mu:g}; decoder={decoder}", row)
            if place in (0, 1):
                yield _rate("figure-5", f"network=coded; mu={mu:g}; decoder={decoder}", row)
            if place == early:
                yield _rate("figure-5", f"network=coded; mu={mu:g}; decoder=block 6", row)


def _binary(table: pd.DataFrame) -> Iterator[Ours]:
    if table.empty:
        return
    yield from _extremes("figure-2b", "negatives=in distribution", table, "precision", "recall")
    outside = table.dropna(subset="precision_out").rename(columns={"precision": "_", "precision_out": "precision"})
    if not outside.empty:
        yield from _extremes("figure-2b", "negatives=out of distribution", outside, "precision")
    for _, row in outside.iterrows():
        condition = f"negatives=out of distribution; class={row['class']}"
        yield Ours("", "figure-2b", condition, "precision", row["precision"], runs=row["runs"], images=row["images"])


def _extremes(item: str, condition: str, rows: pd.DataFrame, *columns: str) -> Iterator[Ours]:
    runs, images = rows["runs"].iloc[0], rows["images"].iloc[0]
    for column in columns:
        for which, value in (("lowest", rows[column].min()), ("highest", rows[column].max())):
            yield Ours("", item, condition, f"{which} {column}", value, runs=runs, images=images)


def _rate(item: str, condition: str, row: pd.Series) -> Ours:
    return Ours("", item, condition, "accuracy", row["accuracy"], error95(row), row["runs"], row["images"])


def _whole_schemes(theirs: pd.DataFrame) -> pd.DataFrame:
    """Table 3's two hundred digits as one row a scheme: the share of them that ours has."""
    digits = theirs["item"] == "table-3"
    ratios = theirs[digits]["condition"].str.partition(";")[0].unique()
    rows = [("table-3", STAND_IN, ratio, "digits as printed (%)", 100.0, "table") for ratio in ratios]
    schemes = pd.DataFrame(rows, columns=theirs.columns)
    return pd.concat([theirs[~digits], schemes], ignore_index=True)


def _schemes(theirs: pd.DataFrame) -> Iterator[Ours]:
    """What the shipped schemes are: it depends on no run."""
    printed = paper("table-3")
    for ratio, rows in printed.groupby("ratio"):
        words = rows["value"].to_numpy().reshape(10, 10)
        same = (load_scheme(10, 10, int(words[0].sum())).words == words).mean()
        yield Ours(STAND_IN, "table-3", f"ratio={ratio}", "digits as printed (%)", 100 * float(same))
    published = theirs[theirs["item"] == "published-schemes"]
    for data_set, condition in dict.fromkeys(zip(published["data_set"], published["condition"], strict=True)):
        sizes = [int(pair.partition("=")[2]) for pair in condition.split("; ")]
        certificate, columns = load_scheme(*sizes).certificate(), load_scheme(*sizes).column_sums
        for name, value in (
            ("minimum distance", certificate["distance"]),
            ("upper bound on the minimum distance", certificate["bound"]),
            ("smallest column sum", columns.min()),
            ("largest column sum", columns.max()),
        ):
            yield Ours(data_set, "published-schemes", condition, name, float(value))


def _networks() -> Iterator[Ours]:
    """What was counted of the networks, each under the data set that the paper trains it on."""
    for record in read_stage("architectures", "architecture"):
        data_set = record["parameters"]["data_set"]
        for row in piece(record, "points"):
            for key, value in row.items():
                if key != "stage" and value is not None:
                    yield Ours(data_set, "table-1", f"stage={row['stage']}", key, value)
        yield Ours(data_set, "table-1", "stage=all", "parameters", metric(record, "parameters"))
        for network in ("plain", "coded"):
            condition = f"network={network}"
            operations = metric(record, f"{network}_multiply_adds") / 1e9
            yield Ours(data_set, "table-4", condition, "GFLOPs at 160x160", operations)
            yield Ours(data_set, "table-4", condition, "parameters in millions", metric(record, "parameters") / 1e6)
        for counted, key in (
            ("as the text says", "kept_parameters_without_shortcuts"),
            ("everything", "kept_parameters"),
            ("without projection shortcuts", "kept_parameters_without_shortcuts"),
        ):
            share = metric(record, key)
            yield Ours(data_set, "kept-parameters", f"counted={counted}", "share of the parameters", share)
        share = metric(record, "kept_multiply_adds_of_convolutions")
        yield Ours(data_set, "kept-parameters", "counted=everything", "share of the multiply-adds", share)
        for row in piece(record, "curves"):
            for counted in ("whole block", "what the energies need"):
                condition = f"decoder=block {row['number']}; counted={counted}"
                yield Ours(data_set, "computation", condition, "share of the multiply-adds", row[counted])
