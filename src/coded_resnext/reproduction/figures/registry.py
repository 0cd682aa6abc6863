"""What there is to see: every figure and table by name, under the notebook that shows it, with what makes it.

Names are the stems of files in figures/<preset>/. A new figure or table is one line here: from the name of a preset, by
its records and the paper's numbers, to a Figure or a DataFrame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from ...codes.scheme import CodingScheme, scheme_path
from ...errors import NothingToShow
from ..records.kinds import coded_records, run_kinds
from ..records.paper import NETWORK_SIZES, paper
from ..records.presets import is_own, load_preset
from ..records.records import SHOWN_DROP, Record, piece, read_record, read_stage
from . import (
    architectures,
    by_images,
    codebooks,
    diagrams,
    energies,
    exits,
    forest,
    learning,
    networks,
    regimes,
    subnetworks,
    tables,
)
from . import paper as of_paper
from .claims import claims
from .codewords import schemes_of
from .comparison import comparison, table_2

MAKERS = {  # of the records of each stage
    "architecture": "02_architectures",
    "step": "make bench",
    "accuracy": "04_accuracy",
    "specialisation": "05_specialisation",
    "binary": "06_binary_classifiers",
    "early": "07_early_decoding",
    "subnetworks": "09_subnetworks",
    "surgery": "09_subnetworks",
    "exits": "10_early_exit",
    "timing": "python -m coded_resnext bench-exits",
    "latency": "python -m coded_resnext bench-subnetwork",
    "profile": "python -m coded_resnext bench-subnetwork",
    "design": "make schemes",
    "lexicographic": "make schemes",
    "training": "03_train",
}
PAPERS_WIDTH = 64  # channels of c1 in all of the paper's networks
NAMED = 20  # so many classes can be named in one figure; more are drawn as a cloud


class Item(NamedTuple):
    """A figure or table: the notebook whose records it needs, and what makes it for a preset."""

    notebook: str
    make: Callable[[str], Any]


# Records and numbers that several items start from


def _records(preset: str, stage: str) -> list[Record]:
    records = read_stage(preset, stage)
    if not records:
        raise NothingToShow(f"{preset} has no record of stage {stage}: {MAKERS[stage]} makes them")
    return records


def _coded(preset: str, stage: str) -> list[Record]:
    """Records of the preset's first coded kind."""
    records = coded_records(read_stage(preset, stage))
    if not records:
        raise NothingToShow(f"{preset} has no record of stage {stage} of a coded run: {MAKERS[stage]} makes them")
    return records


def _architectures() -> list[Record]:
    return _records("architectures", "architecture")


def _theirs(item: str, preset: str) -> pd.DataFrame | None:
    """The paper's numbers on the preset's data set, or on what is nearest to it; None of images of one's own."""
    return None if is_own(preset) else paper(item, load_preset(preset).data)


def _only_coded(table: pd.DataFrame, preset: str) -> pd.DataFrame:
    rows = table[table["kind"] == "coded"]
    if rows.empty:
        raise NothingToShow(f"none of preset {preset}'s records is of a coded run: notebook 03_train makes them")
    return rows


def _several(table: pd.DataFrame, parameter: str, preset: str) -> pd.DataFrame:
    """An ablation with one value is none."""
    if table[parameter].nunique() < 2:
        raise NothingToShow(f"preset {preset} has records of one value of {parameter} only: list more runs in it")
    return table


def _timed_subnetwork(stage: str) -> Record:
    record = read_record("benchmark", stage, "resnext29-10x11d")
    if record is None:
        raise NothingToShow("subnetworks were not timed: python -m coded_resnext bench-subnetwork")
    return record


def _exits(preset: str) -> list[Record]:
    """Of coded runs, and of the plain ones that they are compared with."""
    _coded(preset, "exits")
    return read_stage(preset, "exits")


def _timing(preset: str) -> Record:
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


def _weights(record: Record) -> tuple[str, bool]:
    return record["checkpoint"], record["parameters"].get("shipped_weights", False)


# Tables that figures are drawn from


def _removal(preset: str) -> pd.DataFrame:
    return _only_coded(tables.removal_table(_records(preset, "specialisation")), preset)


def _binary(preset: str) -> pd.DataFrame:
    return _only_coded(tables.binary_table(_records(preset, "binary")), preset)


def _controls(preset: str) -> pd.DataFrame:
    table = tables.controls_table(_records(preset, "binary"))
    return table[table["kind"].isin(["coded", "plain"])]


def _early(preset: str) -> pd.DataFrame:
    return _only_coded(tables.early_table(_records(preset, "early")), preset)


def _ablations(preset: str) -> pd.DataFrame:
    return tables.ablation_table(
        _records(preset, "accuracy"), read_stage(preset, "early"), read_stage(preset, "binary")
    )


def _choice_of_dropping(preset: str) -> pd.DataFrame:
    table = tables.dropping_table(_records(preset, "accuracy"))
    if (table["kind"] != "plain").sum() < 2:
        raise NothingToShow(f"{preset} has records of one way of dropping with images held out: list more runs in it")
    return table


def _not_empty(table: pd.DataFrame, preset: str) -> pd.DataFrame:
    if table.empty:
        raise NothingToShow(f"the records of preset {preset} do not have it: repeat their stage")
    return table


def _rejection(preset: str) -> pd.DataFrame:
    table = exits.mean_table(_exits(preset), "rejection")
    if table.empty:
        raise NothingToShow(f"{preset} was not measured against foreign images: their data set was not there")
    return table


def _table_2(preset: str) -> pd.DataFrame:
    _records(preset, "accuracy")
    return table_2(preset)


def _gain_by_images(preset: str) -> pd.DataFrame:
    if not by_images.is_of_family(load_preset(preset)):
        raise NothingToShow(f"{preset} trains another network than those of several numbers of images")
    table = by_images.images_table()
    if len(table) < 2:
        raise NothingToShow("one number of training images was run only: make reproduce PRESET=cifar10-few-1000")
    return table


# Figures that need more than a table and the paper's numbers


def _few_binary_classifiers(preset: str) -> Figure:
    table = _binary(preset)
    if len(table) > NAMED:
        raise NothingToShow(f"{len(table)} classes cannot be named in one figure: see figure-8-binary-classifiers")
    return of_paper.binary_classifiers(table, _theirs("figure-2b", preset))


def _many_binary_classifiers(preset: str) -> Figure:
    table = _binary(preset)
    if len(table) <= NAMED:
        raise NothingToShow(f"{len(table)} classes are few enough for names: see figure-2b-binary-classifiers")
    return of_paper.many_binary_classifiers(table)


def _histograms(preset: str, classes: int | None) -> Figure:
    """Of the preset's first coded run: histograms of several runs would have several edges."""
    first, *_ = _coded(preset, "binary")
    thresholds = {point["name"]: point["threshold"] for point in piece(first, "points")}
    return of_paper.logit_histograms(piece(first, "histograms")[:classes], thresholds, first["seed"])


def _coding_loss_weight(preset: str) -> Figure:
    table = _several(tables.early_table(_records(preset, "early"), "mu"), "mu", preset)
    plain = tables.accuracy_table(read_stage(preset, "accuracy")).query("kind == 'plain'")["accuracy"]
    return of_paper.coding_loss_weight(
        table, None if plain.empty else plain.iloc[0], _theirs("figure-5", preset)
    )


def _binary_by(parameter: str, preset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Binary classifiers and whole networks of the runs that differ in one parameter."""
    table = tables.binary_table(_records(preset, "binary"), parameter)
    whole = tables.accuracy_table(read_stage(preset, "accuracy"), parameter)
    return _several(table, parameter, preset), whole


def _loss_exponent(preset: str) -> Figure:
    table = tables.accuracy_table(_records(preset, "accuracy"), "exponent")
    return of_paper.loss_exponent(_several(table, "exponent", preset), _theirs("exponent", preset))


def _of_kind(preset: str, stage: str, kind: str) -> list[Record]:
    records = read_stage(preset, stage)
    return [record for record, its in zip(records, run_kinds(records), strict=True) if its == kind]


def _own_schemes(preset: str) -> tuple[list[CodingScheme], list[str]]:
    """Of the first coded run of one's own images: the scheme of each coded stage, and the names of the classes."""
    record = _coded(preset, "training")[0]
    names = piece(record, "classes")
    return list(schemes_of(record, list(record["parameters"]["active"]), len(names)).values()), names


def _codewords(preset: str) -> pd.DataFrame:
    return codebooks.codewords(*_own_schemes(preset)) if is_own(preset) else codebooks.table_3()


def _last_codebook(preset: str) -> Figure:
    """Figure 1c shows the last coded stage."""
    if not is_own(preset):
        return codebooks.codebook(NETWORK_SIZES[1])
    schemes, names = _own_schemes(preset)
    return diagrams.codebook(schemes[-1], names)


def _energies_by_class(preset: str) -> Figure:
    coded, without = _coded(preset, "early"), _of_kind(preset, "early", "coded, mu=0.0")
    rows = {"coded": energies.mean_energies(coded)}
    if any("energies" in record for record in without):
        rows["μ = 0"] = energies.mean_energies(without)
    names = next((record["classes"] for record in coded if "classes" in record), [])
    return energies.energies_by_class(rows, _schemes(coded[0], rows["coded"]), names)


def _schemes(record: Record, blocks: list[energies.BlockEnergies]) -> dict[str, CodingScheme]:
    return schemes_of(record, [block.block for block in blocks], len(blocks[0].energies))


def _with_examples(preset: str) -> Record:
    for record in _coded(preset, "early"):
        if "examples" in record:
            return record
    raise NothingToShow(f"the records of preset {preset} have no example images: repeat stage early")


def _energies_of_images(preset: str) -> Figure:
    record = _with_examples(preset)
    return energies.energies_of_images(record, _schemes(record, energies.mean_energies([record])))


def _worth_of_branches(preset: str) -> Figure:
    records = [record for record in _coded(preset, "specialisation") if "by_class" in record]
    if not records:
        raise NothingToShow(f"the records of preset {preset} do not have it: repeat stage specialisation")
    block = piece(records[0], "block")
    schemes = schemes_of(records[0], [block], len(records[0]["by_class"]["classes"]))
    return energies.worth_of_branches(records, schemes[block], block)


def _class_paths(preset: str) -> Figure:
    """Named by the classes of the stage that drew them; their network is that of every coded run."""
    records = _coded(preset, "subnetworks")
    names = [row["class"] for row in piece(records[0], "singles")]
    blocks = list(dict.fromkeys(row["block"] for row in piece(records[0], "coupling")))
    schemes = schemes_of(records[0], blocks, len(names))
    return networks.class_paths(records[0], schemes, names, *networks.kept_shares(records))


def _early_decoding(preset: str) -> Figure:
    table = _early(preset)
    costs = _costs(preset, _coded(preset, "early")[0], list(table["decoder"]))
    return of_paper.early_decoding(table, _theirs("figure-4", preset), None if costs.isna().any() else costs)


def _decoders(preset: str) -> Figure:
    """What is spent is of the record of early exit or, for a network of the paper's, of what was counted."""
    records = _coded(preset, "early")
    blocks = energies.mean_energies(records)
    accuracy = _early(preset).set_index("decoder")["accuracy"]
    table = pd.DataFrame({"accuracy": accuracy, "cost": _costs(preset, records[0], list(accuracy.index))})
    first = next((record["classes"][0] for record in records if "classes" in record), "the first class")
    return networks.decoders(records[0], _schemes(records[0], blocks), table, first)


def _costs(preset: str, record: Record, decoders: list[str]) -> pd.Series:
    measured = coded_records(read_stage(preset, "exits"))
    if measured:
        return pd.Series(piece(measured[0], "exit_costs"), index=decoders)
    has = record["parameters"]
    name = f"resnext{3 * sum(has['layers']) + 2}-{has['num_branches']}x{has['branch_width']}d"
    counted = read_record("architectures", "architecture", name) if has["width"] == PAPERS_WIDTH else None
    rows = [] if counted is None else [row["what the energies need"] for row in piece(counted, "curves")]
    return pd.Series([*rows, 100.0] if rows else float("nan"), index=decoders)


def _learning_curves(preset: str) -> Figure:
    return learning.learning_curves(learning.history_table(_records(preset, "training")))


def _exit_times(preset: str) -> Figure:
    """Times and accuracies of the coded run that was timed, and of the plain one of its seed."""
    timed = _timing(preset)
    records = [record for record in _exits(preset) if record["seed"] == timed["seed"]]
    return exits.time_tradeoff(
        exits.timing_table(timed), exits.target_table(records, "drop"), exits.static_table(records)
    )


# What there is


def _by_stem(notebooks: Mapping[str, Mapping[str, Callable[[str], Any]]]) -> dict[str, Item]:
    return {stem: Item(notebook, make) for notebook, items in notebooks.items() for stem, make in items.items()}


def _of_exits(tables: Mapping[str, Callable[[str], pd.DataFrame]]) -> dict[str, Callable[[str], pd.DataFrame]]:
    """Tables of early exit without the columns that have no number: the spreads, where there is one run."""
    return {
        stem: lambda preset, make=make: make(preset).dropna(axis="columns", how="all") for stem, make in tables.items()
    }


TABLES = _by_stem({
    "01_code_design": {
        "table-3-schemes": _codewords,
        "schemes": lambda preset: codebooks.overview(),
        "scheme-proofs": lambda preset: codebooks.proofs(),
    },
    "02_architectures": {
        "table-1-architectures": lambda preset: architectures.layer_table(_architectures()),
        "table-4-cost": lambda preset: architectures.cost_table(_architectures()),
        "table-4-step": lambda preset: tables.step_table(_records("benchmark", "step")[0]),
        "kept-by-one-class": lambda preset: architectures.kept_table(_architectures()),
    },
    "04_accuracy": {"table-2-accuracy": _table_2},
    "05_specialisation": {
        "figure-2a-branch-removal": _removal,
        "branch-removal-by-block": lambda preset: _not_empty(
            tables.removal_by_block_table(_records(preset, "specialisation")), preset
        ),
    },
    "06_binary_classifiers": {
        "figure-2b-binary-classifiers": _binary,
        "controls": _controls,
        "paths-by-distance": lambda preset: _not_empty(tables.path_table(_records(preset, "binary")), preset),
    },
    "07_early_decoding": {
        "figure-4-early-decoding": _early,
        "energies-by-block": lambda preset: _not_empty(tables.energy_table(_records(preset, "early")), preset),
        "decoding-and-probes": lambda preset: _not_empty(
            tables.probe_table(read_stage(preset, "accuracy"), read_stage(preset, "early")), preset
        ),
    },
    "08_ablations": {"ablations": _ablations, "choice-of-dropping": _choice_of_dropping},
    "09_subnetworks": {
        "subnetworks-size": lambda preset: subnetworks.size_table(
            _coded(preset, "subnetworks"), _theirs("kept-parameters", preset)
        ),
        "subnetworks-one-class": lambda preset: subnetworks.single_table(_coded(preset, "subnetworks")),
        "subnetworks-subsets": lambda preset: subnetworks.subset_table(_coded(preset, "subnetworks")),
        "subnetworks-coupling": lambda preset: subnetworks.coupling_table(_coded(preset, "subnetworks")),
        "subnetworks-cohesion": lambda preset: _not_empty(
            subnetworks.cohesion_table(_coded(preset, "subnetworks")), preset
        ),
        "subnetworks-surgery": lambda preset: _not_empty(
            subnetworks.surgery_table(_coded(preset, "surgery")), preset
        ),
        "subnetworks-latency": lambda preset: subnetworks.latency_table(_timed_subnetwork("latency")),
        "subnetworks-profile": lambda preset: subnetworks.profile_table(_timed_subnetwork("profile")),
    },
    "10_early_exit": _of_exits({
        "exit-networks": lambda preset: exits.static_table(_exits(preset)),
        "exit-targets": lambda preset: exits.target_table(_exits(preset), "drop"),
        "exit-budgets": lambda preset: exits.target_table(_exits(preset), "budget"),
        "exit-rivals": lambda preset: exits.rival_table(_exits(preset)),
        "exit-sureness": lambda preset: _not_empty(exits.sureness_table(_exits(preset)), preset),
        "exit-guarantees": lambda preset: _not_empty(exits.guarantee_table(_exits(preset)), preset),
        "exit-anytime": lambda preset: exits.mean_table(_exits(preset), "anytime"),
        "exit-times": lambda preset: exits.timing_table(_timing(preset)),
    }),
    "10b_decoding_across_blocks": _of_exits({
        "exit-agreement": lambda preset: exits.mean_table(_exits(preset), "agreement"),
        "decoding-across-blocks": lambda preset: exits.mean_table(_exits(preset), "decoders"),
    }),
    "10c_rejection_and_verification": _of_exits({
        "rejection": _rejection,
        "decode-then-verify": lambda preset: exits.mean_table(_exits(preset), "verification"),
    }),
    "11_paper_vs_ours": {
        "claims": claims,
        "comparison": comparison,
        "regimes": lambda preset: regimes.regime_table(),
        "energy-and-removal": lambda preset: _not_empty(regimes.energy_and_removal_table(), preset),
        "gain-by-images": _gain_by_images,
    },
})  # fmt: skip

FIGURES = _by_stem({
    "01_code_design": {
        "figure-1c-coding-scheme": _last_codebook,
        **{
            f"codebook-{scheme_path(*sizes).stem}": lambda preset, sizes=sizes: codebooks.codebook(sizes)
            for sizes in NETWORK_SIZES if sizes != NETWORK_SIZES[1]
        },
        "scheme-distances": lambda preset: codebooks.distances(),
        "distance-bound-by-classes": lambda preset: diagrams.distance_bound_by_classes(codebooks.bounds_by_classes()),
    },
    "02_architectures": {
        "figure-1a-resnext-block": lambda preset: diagrams.plain_block(),
        "figure-1b-coded-block": lambda preset: diagrams.coded_block(),
    },
    "03_train": {"learning-curves": _learning_curves},
    "05_specialisation": {
        "figure-2a-branch-removal": lambda preset: of_paper.branch_removal(
            _removal(preset), _theirs("figure-2a", preset)
        ),
        "worth-of-branches": _worth_of_branches,
    },
    "06_binary_classifiers": {
        "figure-2b-binary-classifiers": _few_binary_classifiers,
        "figure-8-binary-classifiers": _many_binary_classifiers,
        "figure-3-logit-histogram": lambda preset: _histograms(preset, 1),
        "figure-7-logit-histograms": lambda preset: _histograms(preset, None),
        "controls": lambda preset: of_paper.controls(_controls(preset)),
    },
    "07_early_decoding": {
        "figure-4-early-decoding": _early_decoding,
        "network-and-decoders": _decoders,
        "energies-by-class": _energies_by_class,
        "energies-of-images": _energies_of_images,
    },
    "08_ablations": {
        "figure-5-coding-loss-weight": _coding_loss_weight,
        "figure-6-branch-dropping": lambda preset: of_paper.branch_dropping(
            *_binary_by("drop_branch", preset), _theirs("figure-6", preset)
        ),
        "exponent": _loss_exponent,
        "branch-sums": lambda preset: of_paper.branch_sums(*_binary_by("branch_sum", preset)),
    },
    "09_subnetworks": {
        "paths-of-classes": _class_paths,
        "forget-and-relearn": lambda preset: subnetworks.surgery(
            _not_empty(subnetworks.surgery_table(_coded(preset, "surgery")), preset)
        ),
        "subnetworks-subsets": lambda preset: subnetworks.subset_curves(
            subnetworks.subset_table(_coded(preset, "subnetworks"))
        ),
        "subnetworks-coupling": lambda preset: subnetworks.coupling(
            subnetworks.coupling_table(_coded(preset, "subnetworks"))
        ),
    },
    "10_early_exit": {
        "exit-tradeoff": lambda preset: exits.tradeoff(
            exits.curve_table(_exits(preset)), exits.static_table(_exits(preset))
        ),
        "exit-shares": lambda preset: exits.exit_shares(exits.share_table(_exits(preset), SHOWN_DROP)),
        "exit-times": _exit_times,
    },
    "10b_decoding_across_blocks": {
        "decoding-across-blocks": lambda preset: exits.decoding_across_blocks(
            exits.decoder_gains(_exits(preset))
        ),
    },
    "10c_rejection_and_verification": {
        "rejection": lambda preset: exits.rejection(_rejection(preset)),
        "decode-then-verify": lambda preset: exits.verification(exits.verification_losses(_exits(preset))),
    },
    "11_paper_vs_ours": {
        "claims": lambda preset: forest.forest(claims(preset)),
        "gain-by-images": lambda preset: by_images.by_images(_gain_by_images(preset)),
    },
})  # fmt: skip
