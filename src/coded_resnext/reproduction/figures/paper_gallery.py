"""The figures and tables of notebooks 02 and 04 to 08 and 11 by name, from records alone; gallery.py shows them with
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from . import paper as ablations
from . import diagrams
from . import style as figures
from .claims import claims
from .comparison import comparison
from ...errors import NothingToShow
from ...training.parameters import load_preset
from ..records.records import metric, read_stage
from .tables import (
    ablation_table,
    accuracy_table,
    binary_table,
    controls_table,
    early_table,
    piece,
    removal_table,
    run_kinds,
)
from ..records.paper import paper

ARCHITECTURES = "architectures"  # folder of records that belong to no preset
NAMED = 20  # so many classes can be named in one figure; more are drawn as a cloud

Records = Sequence[dict[str, Any]]


class Item(NamedTuple):
    """A figure or table: the notebook whose records it needs, and what makes it for a preset."""

    notebook: str
    make: Callable[[str], Any]


FIGURES: dict[str, Item] = {}
TABLES: dict[str, Item] = {}


def _figure(stem: str, notebook: str) -> Callable[[Callable[[str], Figure]], Callable[[str], Figure]]:
    return _register(FIGURES, stem, notebook)


def _table(stem: str, notebook: str) -> Callable[[Callable[[str], pd.DataFrame]], Callable[[str], pd.DataFrame]]:
    return _register(TABLES, stem, notebook)


def _register(items: dict[str, Item], stem: str, notebook: str) -> Callable[[Callable], Callable]:
    def register(make: Callable[[str], Any]) -> Callable[[str], Any]:
        items[stem] = Item(notebook, make)
        return make

    return register


def _records(preset: str, stage: str, notebook: str) -> Records:
    records = read_stage(preset, stage)
    if not records:
        raise NothingToShow(
            f"{preset} has no record of stage {stage}: {notebook} makes them"
        )
    return records


def _architectures() -> Records:
    return _records(ARCHITECTURES, "architecture", "02_architectures")


def _data(preset: str) -> str:
    return next(iter(load_preset(preset).runs.values())).data


def _of_kind(table: pd.DataFrame, kind: str, preset: str) -> pd.DataFrame:
    rows = table[table["kind"] == kind]
    if rows.empty:
        raise NothingToShow(f"none of preset {preset}'s records is of a {kind} run: notebook 03_train makes them")
    return rows


def _several(table: pd.DataFrame, parameter: str, preset: str) -> pd.DataFrame:
    """An ablation with one value is none."""
    if table[parameter].nunique() < 2:
        raise NothingToShow(f"preset {preset} has records of one value of {parameter} only: list more runs in it")
    return table


@_table("table-1-architectures", "02_architectures")
def _table_1(preset: str) -> pd.DataFrame:
    rows = []
    for record in _architectures():
        head = {"network": record["name"], "data_set": record["parameters"]["data_set"]}
        rows += [head | row for row in piece(record, "points")]
    counts = ["out channels", "branch width", "active branches", "branches", "blocks"]
    return pd.DataFrame(rows).astype(dict.fromkeys(counts, "Int64"))


@_table("table-4-cost", "02_architectures")
def _table_4(preset: str) -> pd.DataFrame:
    """What coding costs: counted for the three networks."""
    rows = [
        {
            "network": record["name"],
            "image size": record["parameters"]["image_size"],
            "parameters": metric(record, "parameters"),
            "GFLOPs, plain": metric(record, "plain_multiply_adds") / 1e9,
            "GFLOPs, coded": metric(record, "coded_multiply_adds") / 1e9,
            "coded over plain": metric(record, "coded_multiply_adds") / metric(record, "plain_multiply_adds"),
        }
        for record in _architectures()
    ]
    return pd.DataFrame(rows)


@_table("table-4-step", "02_architectures")
def _step(preset: str) -> pd.DataFrame:
    """What coding costs: measured by `make bench`."""
    record, *_ = _records("benchmark", "step", "make bench")
    rows = []
    for curve in piece(record, "curves"):
        seconds = pd.Series(curve["step_seconds"])
        rows.append({
            "network": curve["network"],
            "step, ms": 1e3 * seconds.median(),
            "lower quartile": 1e3 * seconds.quantile(0.25),
            "upper quartile": 1e3 * seconds.quantile(0.75),
            "peak memory, MB": curve["peak_megabytes"],
        })  # fmt: skip
    table = pd.DataFrame(rows).set_index("network")
    for column, name in (("step, ms", "time over plain"), ("peak memory, MB", "memory over plain")):
        table[name] = table[column] / table.loc["plain", column]
    return table.reset_index().assign(device=record["environment"]["device"])


@_table("kept-by-one-class", "02_architectures")
def _kept(preset: str) -> pd.DataFrame:
    """What of each network the binary classifier of one class keeps, percent."""
    theirs = paper("kept-parameters").query("counted == 'as the text says'").set_index("data_set")["value"]
    rows = [
        {
            "network": record["name"],
            "parameters": metric(record, "kept_parameters"),
            "shortcuts aside": metric(record, "kept_parameters_without_shortcuts"),
            "paper": theirs[record["parameters"]["data_set"]],
            "multiply-adds": metric(record, "kept_multiply_adds"),
        }
        for record in _architectures()
    ]
    return pd.DataFrame(rows)


@_figure("figure-1a-resnext-block", "02_architectures")
def _figure_1a(preset: str) -> Figure:
    return diagrams.plain_block()


@_figure("figure-1b-coded-block", "02_architectures")
def _figure_1b(preset: str) -> Figure:
    return diagrams.coded_block()


@_table("table-2-accuracy", "04_accuracy")
def _table_2(preset: str) -> pd.DataFrame:
    return accuracy_table(_records(preset, "accuracy", "04_accuracy"))


@_table("figure-2a-branch-removal", "05_specialisation")
def _removal(preset: str) -> pd.DataFrame:
    return _of_kind(removal_table(_records(preset, "specialisation", "05_specialisation")), "coded", preset)


@_figure("figure-2a-branch-removal", "05_specialisation")
def _figure_2a(preset: str) -> Figure:
    return figures.branch_removal(_removal(preset), paper("figure-2a", _data(preset)))


@_table("figure-2b-binary-classifiers", "06_binary_classifiers")
def _binary(preset: str) -> pd.DataFrame:
    return _of_kind(binary_table(_records(preset, "binary", "06_binary_classifiers")), "coded", preset)


@_figure("figure-2b-binary-classifiers", "06_binary_classifiers")
def _figure_2b(preset: str) -> Figure:
    table = _binary(preset)
    if len(table) > NAMED:
        raise NothingToShow(f"{len(table)} classes cannot be named in one figure: see figure-8-binary-classifiers")
    return figures.binary_classifiers(table, paper("figure-2b", _data(preset)))


@_figure("figure-8-binary-classifiers", "06_binary_classifiers")
def _figure_8(preset: str) -> Figure:
    table = _binary(preset)
    if len(table) <= NAMED:
        raise NothingToShow(f"{len(table)} classes are few enough for names: see figure-2b-binary-classifiers")
    return figures.many_binary_classifiers(table)


@_figure("figure-3-logit-histogram", "06_binary_classifiers")
def _figure_3(preset: str) -> Figure:
    return _histograms(preset, 1)


@_figure("figure-7-logit-histograms", "06_binary_classifiers")
def _figure_7(preset: str) -> Figure:
    return _histograms(preset, None)


def _histograms(preset: str, classes: int | None) -> Figure:
    """Of the preset's first coded run: histograms of several runs would have several edges."""
    records = _records(preset, "binary", "06_binary_classifiers")
    coded = [record for record, kind in zip(records, run_kinds(records), strict=True) if kind == "coded"]
    if not coded:
        raise NothingToShow(f"none of preset {preset}'s records is of a coded run: notebook 03_train makes them")
    thresholds = {point["name"]: point["threshold"] for point in piece(coded[0], "points")}
    return figures.logit_histograms(piece(coded[0], "histograms")[:classes], thresholds)


@_table("controls", "06_binary_classifiers")
def _controls(preset: str) -> pd.DataFrame:
    table = controls_table(_records(preset, "binary", "06_binary_classifiers"))
    return table[table["kind"].isin(["coded", "plain"])]


@_figure("controls", "06_binary_classifiers")
def _figure_of_controls(preset: str) -> Figure:
    return ablations.controls(_controls(preset))


@_table("figure-4-early-decoding", "07_early_decoding")
def _early(preset: str) -> pd.DataFrame:
    return _of_kind(early_table(_records(preset, "early", "07_early_decoding")), "coded", preset)


@_figure("figure-4-early-decoding", "07_early_decoding")
def _figure_4(preset: str) -> Figure:
    return figures.early_decoding(_early(preset), paper("figure-4", _data(preset)))


@_table("claims", "11_paper_vs_ours")
def _claims(preset: str) -> pd.DataFrame:
    return claims(preset)


@_table("comparison", "11_paper_vs_ours")
def _comparison(preset: str) -> pd.DataFrame:
    return comparison(preset)


@_table("ablations", "08_ablations")
def _ablations(preset: str) -> pd.DataFrame:
    return ablation_table(
        _records(preset, "accuracy", "04_accuracy"), read_stage(preset, "early"), read_stage(preset, "binary")
    )


@_figure("figure-5-coding-loss-weight", "08_ablations")
def _figure_5(preset: str) -> Figure:
    table = _several(early_table(_records(preset, "early", "07_early_decoding"), "mu"), "mu", preset)
    plain = accuracy_table(read_stage(preset, "accuracy")).query("kind == 'plain'")["accuracy"]
    theirs = paper("figure-5", _data(preset))
    return ablations.coding_loss_weight(table, None if plain.empty else plain.iloc[0], theirs)


@_figure("figure-6-branch-dropping", "08_ablations")
def _figure_6(preset: str) -> Figure:
    table = binary_table(_records(preset, "binary", "06_binary_classifiers"), "drop_branch")
    whole = accuracy_table(read_stage(preset, "accuracy"), "drop_branch")
    return ablations.branch_dropping(_several(table, "drop_branch", preset), whole, paper("figure-6", _data(preset)))


@_figure("exponent", "08_ablations")
def _exponent(preset: str) -> Figure:
    table = accuracy_table(_records(preset, "accuracy", "04_accuracy"), "exponent")
    return ablations.loss_exponent(_several(table, "exponent", preset), paper("exponent", _data(preset)))


@_figure("branch-sums", "08_ablations")
def _branch_sums(preset: str) -> Figure:
    table = binary_table(_records(preset, "binary", "06_binary_classifiers"), "branch_sum")
    whole = accuracy_table(read_stage(preset, "accuracy"), "branch_sum")
    return ablations.branch_sums(_several(table, "branch_sum", preset), whole)
