"""The stages between a checkpoint and a figure: evaluate the runs of a preset, once each, into records.

Where a run's checkpoint is there it is evaluated, unless its record names that checkpoint already. Where it is
not, the committed record stands for it: a fresh clone shows results without training. Where there is neither, the
weights in data/weights are evaluated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import paths
from ...codes.scheme import first_stage
from ...data.sets import ImageSet, has_partner, images_drawn_to_test
from ...errors import Missing, Refused, unknown
from ...evaluation.binary import (
    FEW_CLASSES,
    average_precisions,
    binary_classifiers,
    binary_logits,
    codeword_distances,
    logit_histograms,
    path_logits,
    training_thresholds,
)
from ...evaluation.prediction import class_energies, confusion_counts, early_decoding, full_accuracy, predict
from ...evaluation.probe import linear_probes
from ...evaluation.removal import branch_removal, removal_by_block, removal_by_class
from ...network.cost import multiply_adds
from ...network.decoding import decode
from ...network.devices import describe_device, full_float32
from ...network.weights import is_shipped
from ...subnetworks.measure import cohesion, coupling, single_classes, size, subset_curves
from ...subnetworks.surgery import forget_and_learn
from ...training.checkpoint import (
    Checkpoint,
    ShippedCheckpoint,
    load_checkpoint,
    named_checkpoint,
    run_folder,
    shipped_checkpoint,
)
from ...training.run import Run
from ..records.answers import SOFTMAX, TESTED, pack, removal_condition
from ..records.kinds import run_kinds
from ..records.presets import EvaluationParameters, load_preset
from ..records.records import Record, begin, read_record, write_record
from .codewords import not_built_in
from .examples import examples
from .exits import measure_exits

MOST_AT_ONCE = 4  # evaluations side by side on a CPU: each holds a network and its images
MOST_CONFUSED = 100  # classes whose confusion table a record holds

Measured = tuple[dict[str, float], dict[str, Any]]  # metrics; what figures need beyond them


def measure_accuracy(run: Run) -> Measured:
    """Table 2; of a plain network what linear probes answer at the blocks where a coded one decodes.

    And of the images held out what a choice may go by: accuracy, of few classes the mean average precision of their
    paths, and what is taken for what, by which words may be dealt to classes, see `assign_classes`. How well the
    training images are fitted is measured where the training's record is older than that number.
    """
    predictions = predict(run.model, run.test, run.batch_size, run.device)
    metrics = full_accuracy(predictions, run.test.labels) | {"images": len(run.test)}
    training = read_record(run.training["preset"], "training", run.training["name"])
    if training and "clean_train_accuracy" not in training["metrics"]:
        of_train = predict(run.model, run.train, run.batch_size, run.device)
        metrics["clean_train_accuracy"] = of_train.accuracy(run.train.labels)
    right = {SOFTMAX: pack(predictions.logits.argmax(1) == run.test.labels)}
    probes = []
    if not run.model.schemes:
        probes = linear_probes(
            run.model, list(run.schemes), run.train, run.test, batch_size=run.batch_size, device=run.device
        )
        right |= {row["block"]: pack(row.pop("right")) for row in probes}
    held: dict[str, Any] = {}
    if run.training["holdout"]:
        of_held = predict(run.model, run.held, run.batch_size, run.device)
        held["held"] = {"accuracy": of_held.accuracy(run.held.labels), "images": len(run.held)}
        if run.model.num_classes <= MOST_CONFUSED:
            held["confusion"] = confusion_counts(of_held, run.held.labels).tolist()
        all_there = len(run.held.labels.unique()) == run.model.num_classes
        if run.model.schemes and run.model.num_classes <= FEW_CLASSES and all_there:
            logits, _ = binary_logits(run.model, run.schemes, run.held, run.batch_size, run.device)
            held["held"]["average_precision"] = fmean(average_precisions(logits, run.held))
    return metrics, {
        **({"probes": probes} if probes else {}),
        **held,
        "right": right,
        **_tested(run),
    }


def _tested(run: Run) -> dict[str, str]:
    """Which images of the data set those are whose answers a record has as bits, where the seed draws them."""
    drawn = images_drawn_to_test(run.training["data"], run.training["seed"])
    return {} if drawn is None else {TESTED: pack(drawn)}


def measure_early_decoding(run: Run) -> Measured:
    """Figure 4; and of the preset's first coded run energies of example images."""
    predictions = predict(run.model, run.test, run.batch_size, run.device)
    labels, schemes = run.test.labels, run.model.schemes
    curve = early_decoding(predictions, schemes, labels)
    answers = {name: decode(predictions.energies[name], scheme) for name, scheme in schemes.items()}
    answers[SOFTMAX] = predictions.logits.argmax(1)
    return {f"accuracy_{row['block']}": row["accuracy"] for row in curve} | {"images": len(run.test)}, {
        "curves": curve,
        "energies": class_energies(predictions, schemes, labels),
        **(examples(run, predictions) if run.training["seed"] == 0 and _of_first_kind(run) else {}),
        "right": {name: pack(answer == labels) for name, answer in answers.items()},
        **_tested(run),
    }


def _of_first_kind(run: Run) -> bool:
    return run_kinds([{"parameters": run.training}]) == ["coded"]


def measure_specialisation(run: Run, *, repeats: int, block: str) -> Measured:
    """Figure 2a, unless told otherwise in the block that the paper takes on CIFAR: the last of the first coded stage.

    Of runs of the preset's first coded kind also what each branch of the block is worth to each class.

    Args:
        repeats: random removals that are averaged.
        block: whose branches are removed; empty for that of the paper.
    Raises:
        ValueError: a block that is not coded.
    """
    names = list(run.model.schemes)
    block = block or first_stage(names)[-1]
    if block not in names:
        raise Refused(unknown("block", block, names, "figure 2a"))
    curve = branch_removal(
        run.model, run.test, block, repeats=repeats, seed=0, batch_size=run.batch_size, device=run.device
    )
    metrics = {"accuracy": curve[0]["accuracy"], "images": len(run.test)}
    for which in ("active", "inactive"):
        rows = [row for row in curve if row["set"] == which]
        last = max(row["removed"] for row in rows)
        metrics[f"accuracy_without_{which}"] = fmean(row["accuracy"] for row in rows if row["removed"] == last)
    right = {
        removal_condition(row["set"], row["removed"]): pack(row["right"]) for row in curve if row["repeat"] == 0
    }
    curve = [{key: value for key, value in row.items() if key != "right"} for row in curve]
    blocks = removal_by_block(run.model, run.test, batch_size=run.batch_size, device=run.device)
    by_class = {}
    if _of_first_kind(run):
        whole, without = removal_by_class(
            run.model, run.test, block, batch_size=run.batch_size, device=run.device
        )
        by_class = {"by_class": {"classes": list(run.test.classes), "whole": whole, "without": without}}
    return metrics, {"curves": curve, "block": block, "blocks": blocks, "right": right, **by_class, **_tested(run)}


def measure_binary_classifiers(run: Run) -> Measured:
    """Figures 2b, 2c, 3, 7 and 8, and controls: classes cut out by other codewords, and not cut out at all.

    Of few classes also how each does on every path: `paths` [j][k] is class k's average precision on that of class j.

    A plain network is cut by the codewords that a coded one would have: what that leaves is no merit of coding.
    """

    def on_paths(images: ImageSet) -> tuple[Tensor, Tensor]:
        return binary_logits(run.model, run.schemes, images, run.batch_size, run.device)

    seed = run.training["seed"]
    thresholds = training_thresholds(
        run.model, run.schemes, run.train, seed=seed, batch_size=run.batch_size, device=run.device
    )
    classes, few = range(run.model.num_classes), run.model.num_classes <= FEW_CLASSES
    every = None  # (n, K, K)
    if few:
        every = path_logits(run.model, run.schemes, run.test, run.batch_size, run.device)
        test = torch.stack([every[:, k, k] for k in classes], 1)
        another = torch.stack([every[:, (k + 1) % len(classes), k] for k in classes], 1)
    else:
        test, another = on_paths(run.test)
    foreign = None if run.foreign is None else on_paths(run.foreign)[0]
    cuts = {
        "own codeword": test,
        "another codeword": another,
        "whole network": predict(run.model, run.test, run.batch_size, run.device).logits,
    }
    points = binary_classifiers(thresholds, (test, run.test), foreign, seed=seed)
    metrics = {"images": len(run.test), "shared_passes_cost": 100 * _share_of_passes(run)}
    for key in ("recall", "precision", "average_precision", "precision_out", "average_precision_out"):
        values = [getattr(point, key) for point in points]
        if None not in values:
            metrics[f"mean_{key}"] = fmean(values)
    controls = []
    for cut, values in cuts.items():
        precisions = average_precisions(values, run.test)
        metrics[f"mean_average_precision_{cut.replace(' ', '_')}"] = fmean(precisions)
        controls += [
            {"cut": cut, "class": name, "average_precision": value}
            for name, value in zip(run.test.classes, precisions, strict=True)
        ]
    crossed = {}
    if few:
        crossed = {
            "paths": [average_precisions(every[:, j], run.test) for j in classes],
            "distances": codeword_distances(run.schemes).tolist(),
        }
    return metrics, {
        "points": [dataclasses.asdict(point) for point in points],
        "controls": controls,
        **crossed,
        "histograms": logit_histograms((test, run.test), foreign, classes=10),
    }


def _share_of_passes(run: Run) -> float:
    """Multiply-adds of all classes' masked passes with their common beginning run once, over K whole passes."""
    cost = multiply_adds(run.model, run.test.image_size)
    names = list(cost.blocks)
    common = names[: min(names.index(name) for name in run.schemes)]
    once = (cost.stem + sum(cost.blocks[name].total for name in common)) / cost.total
    return 1 - once + once / run.model.num_classes


def measure_subnetworks(run: Run) -> Measured:
    """Notebook 09: what subnetworks keep, how well they answer, and how far class paths overlap."""
    full = predict(run.model, run.test, run.batch_size, run.device)
    among = (run.model, full, run.test, run.batch_size, run.device)
    singles, curves = single_classes(*among), subset_curves(*among, seed=0)
    whole = size(run.model, run.test.image_size)
    metrics = {"images": len(run.test)}
    for key, of_all in whole.items():
        metrics[f"{key}_percent_of_one"] = 100 * fmean(row[key] for row in singles) / of_all
    for key in ("average_precision", "average_precision_full"):
        metrics[f"mean_{key}"] = fmean(row[key] for row in singles)
    return metrics, {
        "full": whole,
        "singles": singles,
        "curves": curves,
        "coupling": coupling(run.model.schemes, full.energies, run.test.labels),
        "cohesion": cohesion(full.energies, run.test.labels),
    }


def measure_surgery(run: Run) -> Measured:
    """Notebook 09: every class forgotten and taught anew, and what the others lose by it; of two classes nothing."""
    if run.model.num_classes < 3:  # one that is left alone has nothing to be told from
        return {"images": len(run.test)}, {"points": []}
    rows = forget_and_learn(
        run.model, run.train, run.test,
        mu=run.training["mu"], seed=run.training["seed"], batch_size=run.batch_size, device=run.device,
    )  # fmt: skip
    means = {f"mean_{key}": fmean(row[key] for row in rows) for key in rows[0] if key != "class"}
    return means | {"images": len(run.test)}, {"points": rows}


class Stage(NamedTuple):
    """What measures, and whether it does runs of a kind, see `run_kinds`."""

    measure: Callable[..., Measured]
    takes: Callable[[str], bool]


def _all(kind: str) -> bool:
    return True


def _coded(kind: str) -> bool:
    return kind.startswith("coded")


def _first(kind: str) -> bool:
    """The preset's first coded run and its seeds: ablations are not cut up or stopped early."""
    return kind == "coded"


def _first_or_plain(kind: str) -> bool:
    return _first(kind) or not _coded(kind)


STAGES = {
    "accuracy": Stage(measure_accuracy, _all),
    "specialisation": Stage(measure_specialisation, _coded),  # with and without a coding loss: the control
    "binary": Stage(measure_binary_classifiers, _all),
    "early": Stage(measure_early_decoding, _coded),
    "subnetworks": Stage(measure_subnetworks, _first),
    "surgery": Stage(measure_surgery, _first),
    "exits": Stage(measure_exits, _first_or_plain),  # plain networks of any width, to compare with
}


def run_names(preset: str) -> list[str]:
    """The runs that the preset lists, then others that have a checkpoint here."""
    listed = list(load_preset(preset).runs)
    found = sorted(path.parent.name for path in (paths.RUNS / preset).glob("*/checkpoint.json"))
    return listed + [name for name in found if name not in listed]


def evaluate(stage: str, parameters: EvaluationParameters) -> list[dict[str, Any]]:
    """The records of one stage for every run of a preset, evaluating what has a checkpoint and no record of it.

    Weights in data/weights stand for a checkpoint where there is neither checkpoint nor record.

    Raises:
        FileNotFoundError: no run has a checkpoint or a record, saying which notebook makes them.
    """
    found = _side_by_side(lambda name: _newest_record(stage, name, parameters), run_names(parameters.preset))
    records = [record for record in found if record is not None]
    if not records:
        raise Missing(
            f"preset {parameters.preset} has no trained run and no record of stage {stage}: "
            f"run 03_train first, or make reproduce PRESET={parameters.preset}"
        )
    return records


def _newest_record(stage: str, name: str, parameters: EvaluationParameters) -> Record | None:
    checkpoint = load_checkpoint(run_folder(parameters.preset, name))
    record = read_record(parameters.preset, stage, name)
    if checkpoint is not None and checkpoint.finished:
        return evaluate_run(stage, name, checkpoint, parameters, record)
    if record is not None:
        print(f"{name}: the committed record, since its checkpoint is not here")
    elif is_shipped(f"{parameters.preset}-{name}"):
        checkpoint = shipped_checkpoint(f"{parameters.preset}-{name}")
        try:
            return evaluate_run(stage, name, checkpoint, parameters)
        except FileNotFoundError as missing:  # the data set: a notebook shows what there is without it
            print(f"{name}: its weights in data/weights were not evaluated: {missing}")
    return record


def _side_by_side(do: Callable[[str], Record | None], names: Sequence[str]) -> list[Record | None]:
    """Several runs at a time on a CPU, each in a thread that computes on one core.

    A small network gains little from a second core: two of them side by side make 1.4 times as much.
    """
    cores = 1 if torch.cuda.is_available() else min(MOST_AT_ONCE, torch.get_num_threads(), len(names))
    if cores == 1:
        return [do(name) for name in names]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(before // cores,)) as pool:
            return list(pool.map(do, names))
    finally:
        torch.set_num_threads(before)


def evaluate_run(
    stage: str,
    name: str,
    checkpoint: Checkpoint,
    parameters: EvaluationParameters,
    record: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """One run's record of a stage, made and written; None if no run of its kind or seed is evaluated.

    Args:
        stage: of STAGES.
        name: of the run in its preset.
        checkpoint: its weights, finished.
        parameters: of the notebook.
        record: what is on disk: returned as it is where it is of these weights, parameters and data sets.
    """
    (kind,) = run_kinds([{"parameters": checkpoint.description.parameters}])
    beyond = parameters.seeds and checkpoint.description.parameters["seed"] >= parameters.seeds
    if beyond or not STAGES[stage].takes(kind):
        return None
    settings = dict(checkpoint.description.parameters)
    if isinstance(checkpoint, ShippedCheckpoint):
        settings |= {"shipped_weights": True}
    options = {}
    if stage == "specialisation":  # ablations are compared at both ends, which do not depend on the order
        options = {"repeats": parameters.repeats if _first(kind) else 1, "block": parameters.block}
    settings |= options
    current = record and record["checkpoint"] == checkpoint.weights_hash and record["parameters"] == settings
    if current and not parameters.force and not _foreign_came(record):
        return record
    return _measure(stage, name, Run(checkpoint, parameters.batch_size), settings, options)


def _foreign_came(record: dict[str, Any]) -> bool:
    """Whether a record was made without the foreign images that are there now."""
    numbers = {"binary": record["metrics"].get("mean_precision_out")}
    if record["parameters"]["coded"]:  # a plain network rejects nothing by its energies
        numbers["exits"] = record.get("rejection")
    missing = record["stage"] in numbers and not numbers[record["stage"]]
    return missing and has_partner(record["parameters"]["data"])


def _measure(
    stage: str, name: str, run: Run, settings: dict[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    beginning = begin(describe_device(run.device, torch.float32))
    with full_float32():
        metrics, more = STAGES[stage].measure(run, **options)
    return write_record(
        run.training["preset"], stage, name,
        parameters=settings,
        seed=run.training["seed"],
        checkpoint=run.checkpoint.weights_hash,
        metrics=metrics,
        beginning=beginning,
        **not_built_in(run.checkpoint.description.schemes),
        **more,
    )  # fmt: skip


def recorded_threshold(network: str | Path, names: Sequence[str]) -> float | None:
    """The threshold of a single class, from the binary record of a run's weights; None for several, or without one."""
    if len(names) != 1:
        return None
    checkpoint = named_checkpoint(network)
    training = checkpoint.description.parameters
    record = read_record(training["preset"], "binary", training["name"])
    if record is None or record["checkpoint"] != checkpoint.weights_hash:
        return None
    return next((point["threshold"] for point in record["points"] if point["name"] == names[0]), None)
