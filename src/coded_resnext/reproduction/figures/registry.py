"""What there is to see: every figure and table by name, with the notebook that shows it and what makes it from records.

Names are the stems of files in figures/<preset>/. A new figure or table is one function here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from ...codes.scheme import scheme_path
from ...errors import NothingToShow
from ..records.kinds import coded_records
from ..records.paper import NETWORK_SIZES, paper
from ..records.presets import load_preset
from ..records.records import SHOWN_DROP, metric, piece, read_record, read_stage
from . import codebooks, diagrams, exits, subnetworks
from . import paper as of_paper
from .claims import claims
from .comparison import comparison
from .tables import (
    ablation_table,
    accuracy_table,
    binary_table,
    controls_table,
    early_table,
    energy_table,
    path_table,
    probe_table,
    removal_by_block_table,
    removal_table,
    step_table,
)

CODES, EXITS, SUBNETWORKS = "01_code_design", "10_early_exit", "09_subnetworks"
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


def _exit_table(stem: str) -> Callable[[Callable[[str], pd.DataFrame]], Callable[[str], pd.DataFrame]]:
    """A table of early exit, shown without the columns that have no number: the spreads, where there is one run."""

    def register(make: Callable[[str], pd.DataFrame]) -> Callable[[str], pd.DataFrame]:
        _table(stem, EXITS)(lambda preset: make(preset).dropna(axis="columns", how="all"))
        return make

    return register


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


def _coded(preset: str, stage: str, notebook: str) -> Records:
    """Records of the preset's first coded kind."""
    records = coded_records(read_stage(preset, stage))
    if not records:
        raise NothingToShow(f"{preset} has no record of stage {stage} of a coded run: {notebook} makes them")
    return records


def _architectures() -> Records:
    return _records("architectures", "architecture", "02_architectures")


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
    return step_table(_records("benchmark", "step", "make bench")[0])


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
    return of_paper.branch_removal(_removal(preset), paper("figure-2a", load_preset(preset).data))


@_table("figure-2b-binary-classifiers", "06_binary_classifiers")
def _binary(preset: str) -> pd.DataFrame:
    return _of_kind(binary_table(_records(preset, "binary", "06_binary_classifiers")), "coded", preset)


@_figure("figure-2b-binary-classifiers", "06_binary_classifiers")
def _figure_2b(preset: str) -> Figure:
    table = _binary(preset)
    if len(table) > NAMED:
        raise NothingToShow(f"{len(table)} classes cannot be named in one figure: see figure-8-binary-classifiers")
    return of_paper.binary_classifiers(table, paper("figure-2b", load_preset(preset).data))


@_figure("figure-8-binary-classifiers", "06_binary_classifiers")
def _figure_8(preset: str) -> Figure:
    table = _binary(preset)
    if len(table) <= NAMED:
        raise NothingToShow(f"{len(table)} classes are few enough for names: see figure-2b-binary-classifiers")
    return of_paper.many_binary_classifiers(table)


@_figure("figure-3-logit-histogram", "06_binary_classifiers")
def _figure_3(preset: str) -> Figure:
    return _histograms(preset, 1)


@_figure("figure-7-logit-histograms", "06_binary_classifiers")
def _figure_7(preset: str) -> Figure:
    return _histograms(preset, None)


def _histograms(preset: str, classes: int | None) -> Figure:
    """Of the preset's first coded run: histograms of several runs would have several edges."""
    first, *_ = _coded(preset, "binary", "06_binary_classifiers")
    thresholds = {point["name"]: point["threshold"] for point in piece(first, "points")}
    return of_paper.logit_histograms(piece(first, "histograms")[:classes], thresholds)


@_table("controls", "06_binary_classifiers")
def _controls(preset: str) -> pd.DataFrame:
    table = controls_table(_records(preset, "binary", "06_binary_classifiers"))
    return table[table["kind"].isin(["coded", "plain"])]


@_table("paths-by-distance", "06_binary_classifiers")
def _paths(preset: str) -> pd.DataFrame:
    return _not_empty(path_table(_records(preset, "binary", "06_binary_classifiers")), preset)


@_table("branch-removal-by-block", "05_specialisation")
def _removal_by_block(preset: str) -> pd.DataFrame:
    return _not_empty(removal_by_block_table(_records(preset, "specialisation", "05_specialisation")), preset)


@_table("energies-by-block", "07_early_decoding")
def _energies(preset: str) -> pd.DataFrame:
    return _not_empty(energy_table(_records(preset, "early", "07_early_decoding")), preset)


@_table("decoding-and-probes", "07_early_decoding")
def _probes(preset: str) -> pd.DataFrame:
    return _not_empty(probe_table(read_stage(preset, "accuracy"), read_stage(preset, "early")), preset)


def _not_empty(table: pd.DataFrame, preset: str) -> pd.DataFrame:
    if table.empty:
        raise NothingToShow(f"the records of preset {preset} do not have it: repeat their stage")
    return table


@_figure("controls", "06_binary_classifiers")
def _figure_of_controls(preset: str) -> Figure:
    return of_paper.controls(_controls(preset))


@_table("figure-4-early-decoding", "07_early_decoding")
def _early(preset: str) -> pd.DataFrame:
    return _of_kind(early_table(_records(preset, "early", "07_early_decoding")), "coded", preset)


@_figure("figure-4-early-decoding", "07_early_decoding")
def _figure_4(preset: str) -> Figure:
    return of_paper.early_decoding(_early(preset), paper("figure-4", load_preset(preset).data))


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
    theirs = paper("figure-5", load_preset(preset).data)
    return of_paper.coding_loss_weight(table, None if plain.empty else plain.iloc[0], theirs)


@_figure("figure-6-branch-dropping", "08_ablations")
def _figure_6(preset: str) -> Figure:
    table = binary_table(_records(preset, "binary", "06_binary_classifiers"), "drop_branch")
    whole = accuracy_table(read_stage(preset, "accuracy"), "drop_branch")
    theirs = paper("figure-6", load_preset(preset).data)
    return of_paper.branch_dropping(_several(table, "drop_branch", preset), whole, theirs)


@_figure("exponent", "08_ablations")
def _exponent(preset: str) -> Figure:
    table = accuracy_table(_records(preset, "accuracy", "04_accuracy"), "exponent")
    return of_paper.loss_exponent(_several(table, "exponent", preset), paper("exponent", load_preset(preset).data))


@_figure("branch-sums", "08_ablations")
def _branch_sums(preset: str) -> Figure:
    table = binary_table(_records(preset, "binary", "06_binary_classifiers"), "branch_sum")
    whole = accuracy_table(read_stage(preset, "accuracy"), "branch_sum")
    return of_paper.branch_sums(_several(table, "branch_sum", preset), whole)


# Coding schemes: the same for every preset


@_table("table-3-schemes", CODES)
def _table_3(preset: str) -> pd.DataFrame:
    return codebooks.table_3()


@_table("schemes", CODES)
def _schemes(preset: str) -> pd.DataFrame:
    return codebooks.overview()


@_table("scheme-proofs", CODES)
def _proofs(preset: str) -> pd.DataFrame:
    return codebooks.proofs()


@_figure("figure-1c-coding-scheme", CODES)
def _figure_1c(preset: str) -> Figure:
    return codebooks.codebook(NETWORK_SIZES[1])


for _sizes in NETWORK_SIZES:
    if _sizes != NETWORK_SIZES[1]:
        _figure(f"codebook-{scheme_path(*_sizes).stem}", CODES)(lambda preset, sizes=_sizes: codebooks.codebook(sizes))


@_figure("scheme-distances", CODES)
def _scheme_distances(preset: str) -> Figure:
    return codebooks.distances()


@_figure("distance-bound-by-classes", CODES)
def _distance_bound(preset: str) -> Figure:
    return diagrams.distance_bound_by_classes(codebooks.bounds_by_classes())


# Subnetworks


@_table("subnetworks-size", SUBNETWORKS)
def _sizes_of_subnetworks(preset: str) -> pd.DataFrame:
    return subnetworks.size_table(_of_subnetworks(preset), paper("kept-parameters", load_preset(preset).data))


@_table("subnetworks-one-class", SUBNETWORKS)
def _single_classes(preset: str) -> pd.DataFrame:
    return subnetworks.single_table(_of_subnetworks(preset))


@_table("subnetworks-subsets", SUBNETWORKS)
def _subsets(preset: str) -> pd.DataFrame:
    return subnetworks.subset_table(_of_subnetworks(preset))


@_table("subnetworks-coupling", SUBNETWORKS)
def _coupling(preset: str) -> pd.DataFrame:
    return subnetworks.coupling_table(_of_subnetworks(preset))


@_table("subnetworks-surgery", SUBNETWORKS)
def _surgery(preset: str) -> pd.DataFrame:
    return subnetworks.surgery_table(_coded(preset, "surgery", SUBNETWORKS))


@_table("subnetworks-latency", SUBNETWORKS)
def _latency(preset: str) -> pd.DataFrame:
    return subnetworks.latency_table(_timed_subnetwork("latency"))


@_table("subnetworks-profile", SUBNETWORKS)
def _profile(preset: str) -> pd.DataFrame:
    return subnetworks.profile_table(_timed_subnetwork("profile"))


@_figure("subnetworks-subsets", SUBNETWORKS)
def _figure_of_subsets(preset: str) -> Figure:
    return subnetworks.subset_curves(_subsets(preset))


@_figure("subnetworks-coupling", SUBNETWORKS)
def _figure_of_coupling(preset: str) -> Figure:
    return subnetworks.coupling(_coupling(preset))


def _of_subnetworks(preset: str) -> Records:
    return _coded(preset, "subnetworks", SUBNETWORKS)


def _timed_subnetwork(stage: str) -> dict[str, Any]:
    record = read_record("benchmark", stage, "resnext29-10x11d")
    if record is None:
        raise NothingToShow("subnetworks were not timed: python -m coded_resnext bench-subnetwork")
    return record


# Early exit


@_exit_table("exit-networks")
def _exit_networks(preset: str) -> pd.DataFrame:
    return exits.static_table(_exits(preset))


@_exit_table("exit-targets")
def _exit_targets(preset: str) -> pd.DataFrame:
    return exits.target_table(_exits(preset), "drop")


@_exit_table("exit-budgets")
def _exit_budgets(preset: str) -> pd.DataFrame:
    return exits.target_table(_exits(preset), "budget")


@_exit_table("exit-anytime")
def _anytime(preset: str) -> pd.DataFrame:
    return exits.anytime_table(_exits(preset))


@_exit_table("exit-agreement")
def _agreement(preset: str) -> pd.DataFrame:
    return exits.agreement_table(_exits(preset))


@_exit_table("decoding-across-blocks")
def _decoders(preset: str) -> pd.DataFrame:
    return exits.decoder_table(_exits(preset))


@_exit_table("rejection")
def _rejection(preset: str) -> pd.DataFrame:
    table = exits.rejection_table(_exits(preset))
    if table.empty:
        raise NothingToShow(f"{preset} was not measured against foreign images: their data set was not there")
    return table


@_exit_table("decode-then-verify")
def _verification(preset: str) -> pd.DataFrame:
    return exits.verification_table(_exits(preset))


@_exit_table("exit-times")
def _exit_times(preset: str) -> pd.DataFrame:
    return exits.timing_table(_timing(preset))


@_figure("exit-tradeoff", EXITS)
def _tradeoff(preset: str) -> Figure:
    return exits.tradeoff(exits.curve_table(_exits(preset)), _exit_networks(preset))


@_figure("exit-shares", EXITS)
def _exit_shares(preset: str) -> Figure:
    return exits.exit_shares(exits.share_table(_exits(preset), SHOWN_DROP))


@_figure("decoding-across-blocks", EXITS)
def _figure_of_decoders(preset: str) -> Figure:
    return exits.decoding_across_blocks(_decoders(preset))


@_figure("rejection", EXITS)
def _figure_of_rejection(preset: str) -> Figure:
    return exits.rejection(_rejection(preset))


@_figure("decode-then-verify", EXITS)
def _figure_of_verification(preset: str) -> Figure:
    return exits.verification(_verification(preset))


@_figure("exit-times", EXITS)
def _figure_of_times(preset: str) -> Figure:
    """Times and accuracies of one coded run: others leave elsewhere. Plain networks stand beside it."""
    timed, every = _timing(preset), _exits(preset)
    others = {record["name"] for record in coded_records(every)} - {timed["name"]}
    records = [record for record in every if record["name"] not in others]
    return exits.time_tradeoff(
        exits.timing_table(timed), exits.target_table(records, "drop"), exits.static_table(records)
    )


def _exits(preset: str) -> Records:
    """Of coded runs, and of the plain ones that they are compared with."""
    _coded(preset, "exits", EXITS)
    return read_stage(preset, "exits")


def _timing(preset: str) -> dict[str, Any]:
    """Of the first coded run that was timed: times of several runs of one network tell nothing more.

    Only with the weights whose exits were measured: rounded for shipping they are calibrated anew and leave elsewhere.
    """
    weights = {record["name"]: _weights(record) for record in read_stage(preset, "exits")}
    timed = read_stage(preset, "timing")
    same = [record for record in timed if weights.get(record["name"]) == _weights(record)]
    if not same:
        why = "was not timed" if not timed else "was timed with other weights than its exits were measured with"
        raise NothingToShow(f"{preset} {why}: python -m coded_resnext bench-exits {preset}")
    return same[0]


def _weights(record: dict[str, Any]) -> tuple[str, bool]:
    return record["checkpoint"], record["parameters"].get("shipped_weights", False)
