"""The stage "exits": early exit of one trained run, from calibration to rejection, as one record.

Thresholds, temperatures, likelihoods and the choice of a policy are made on the images held out of the training; the
test set is only measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import Tensor

from ... import paths
from ...codes.scheme import first_stage
from ...data.batches import eval_batches
from ...data.sets import load_images
from ...early_exit import measure as early
from ...early_exit.calibration import Calibration, Target, calibrate, save_calibration
from ...early_exit.guarantee import guarantees, tells_right_from_wrong
from ...early_exit.measure import SHOWN, shares
from ...early_exit.rejection import rejection
from ...early_exit.rivals import RIVALS, rival_answers, rival_costs
from ...early_exit.router import EarlyExit
from ...early_exit.stopping import STOPS_ABOVE, Exits, StoppingRule
from ...early_exit.targets import BUDGETS, DROPS, best_policy, fit_targets, what_it_says
from ...early_exit.thresholds import Answers, OperatingPoint, for_budget, operating_points
from ...early_exit.verification import decode_then_verify
from ...errors import Refused
from ...evaluation.prediction import Predictions, percent_equal, predict
from ...evaluation.probe import pooled_features
from ...network.cost import multiply_adds
from ...network.model import CodedResNeXt
from ...training.run import Run
from ..records.intervals import Z95
from ..records.records import SHOWN_DROP, Record


def measure_exits(run: Run) -> tuple[dict[str, float], dict[str, Any]]:
    """Early exit of a coded run; of a plain one the point that it has to be compared with, and its own early exits.

    The calibration is written beside the checkpoint; of shipped weights, to where all is written that is made here.

    Raises:
        ValueError: a coded run that held no images out.
    """
    labels, size = run.test.labels, run.test.image_size
    test = predict(run.model, run.test, run.batch_size, run.device)
    cost = multiply_adds(run.model, size)
    metrics = {"accuracy": test.accuracy(labels), "images": len(labels), "multiply_adds": cost.total}
    if not run.model.schemes:
        return metrics, {"rivals": rivals(run, test)} if run.training["holdout"] else {}

    shipped = run.checkpoint.folder.is_relative_to(paths.WEIGHTS)
    folder = paths.OWN_WEIGHTS / run.checkpoint.folder.name if shipped else run.checkpoint.folder
    calibration, points, held = calibrate_run(run, folder)
    rules = {name: StoppingRule(run.model.schemes, name, {}, calibration).everywhere() for name in STOPS_ABOVE}
    costs = {name: rule.costs(run.model, size) for name, rule in rules.items()}
    curves, certain, sureness = [], [], []
    for name, rule in rules.items():
        answers = what_it_says(rule, test, labels, costs[name])
        curves += [{"policy": name, **row} for row in early.tradeoff(points[name], answers)]
        chosen_on = what_it_says(rule, held, run.held.labels, costs[name])
        certain += [{"policy": name, **row} for row in guarantees(chosen_on, answers)]
        sureness += _sureness(name, list(run.model.schemes), answers)
    targets = [keeps(run.model, calibration, target, test, labels, size) for target in calibration.targets]
    for drop in DROPS:
        policy = best_policy(calibration, drop)
        row = next(row for row in targets if (row["policy"], row["kind"], row["value"]) == (policy, "drop", drop))
        metrics |= {f"saved_{drop:g}": 100 - row["multiply_adds"], f"drop_{drop:g}": row["drop"]}

    policy = best_policy(calibration, SHOWN_DROP)
    thresholds = calibration.thresholds(policy, "drop", SHOWN_DROP)
    shown = StoppingRule(run.model.schemes, policy, thresholds, calibration).simulate(test.energies, test.logits)
    foreign = None if run.foreign is None else predict(run.model, run.foreign, run.batch_size, run.device)
    return metrics, {
        "blocks": list(run.model.schemes),
        "exit_costs": (100 * costs["margin"]).tolist(),
        "curves": curves,
        "targets": targets,
        "guarantees": certain,
        "sureness": sureness,
        "anytime": early.anytime(rules["posterior"], test, labels, costs["posterior"]),
        "decoders": early.decoders(run.model, calibration, (held, run.held.labels), (test, labels)),
        "agreement": early.agreement(run.model, test, labels),
        "rejection": [] if foreign is None else rejection(test, foreign, run.model.schemes),
        "verification": verification(run),
        "examples": early.examples(shown, test.logits.argmax(1), labels),
        "routed": routed_differences(run, calibration, test),
    }


def _sureness(policy: str, blocks: Sequence[str], answers: Answers) -> list[dict[str, Any]]:
    """How well a policy's score tells right from wrong answers: a row a block, with the AUROC in percent."""
    values = tells_right_from_wrong(answers)
    return [{"policy": policy, "block": block, "auroc": value} for block, value in zip(blocks, values, strict=True)]


def rivals(run: Run, test: Predictions) -> dict[str, list[dict[str, Any]]]:
    """Early exit of a plain run by its own features: thresholds from held-out images, as those of the codes.

    Costs are percent of the coded network of the same size, so that both share one axis.

    Returns:
        curves and sureness, as of a coded run; budgets: policy, budget and, where the first exit is not dearer,
        accuracy and multiply_adds.
    """
    model, blocks, size = run.model, list(run.schemes), run.test.image_size
    coded = multiply_adds(CodedResNeXt(**model.options, schemes=run.schemes), size).total
    cost = rival_costs(model, blocks, size, coded)
    sets = {"train": run.train, "held": run.held, "test": run.test}
    features = {which: pooled_features(model, blocks, images, run.batch_size, run.device)
                for which, images in sets.items()}  # fmt: skip
    held = predict(model, run.held, run.batch_size, run.device)
    asked = (
        {block: torch.cat([features["held"][block], features["test"][block]]) for block in blocks},
        torch.cat([held.logits, test.logits]),
        torch.cat([run.held.labels, run.test.labels]),
    )
    found: dict[str, list[dict[str, Any]]] = {"curves": [], "sureness": [], "budgets": []}
    for name in RIVALS:
        both = rival_answers(name, (features["train"], run.train.labels), asked, cost)  # a head is fitted once
        chosen_on, answers = both.of(slice(len(run.held))), both.of(slice(len(run.held), None))
        points = operating_points(chosen_on)
        found["curves"] += [{"policy": name, **row} for row in early.tradeoff(points, answers)]
        found["sureness"] += _sureness(name, blocks, answers)
        for budget in BUDGETS:
            point = for_budget(points, budget / 100)
            measured = early.tradeoff([point], answers)[0] if point else {"accuracy": None, "multiply_adds": None}
            found["budgets"].append({"policy": name, "budget": budget, **measured})
    return found


def calibrate_run(run: Run, folder: Path) -> tuple[Calibration, dict[str, list[OperatingPoint]], Predictions]:
    """Calibrate a coded run and keep the calibration in a folder.

    Returns:
        The calibration, the thresholds on each policy's trade-off, and the predictions of the held-out images.
    Raises:
        ValueError: a plain run, or one that held no images out.
    """
    if not run.model.schemes:
        raise Refused(f"run {run.training['name']} is of a plain network: it decodes nothing, so it exits nowhere")
    held = predict(run.model, run.held, run.batch_size, run.device)
    calibration = calibrate(run.model, held, run.held.labels)
    calibration, points = fit_targets(
        run.model, calibration, held, run.held.labels, run.test.image_size
    )
    save_calibration(folder, calibration)
    return calibration, points, held


def verification(run: Run) -> list[dict[str, str | int | float]]:
    """Decode, then verify, by the first coded block and by the last of the same stage."""
    names = list(run.model.schemes)
    stage = first_stage(names)
    counts = candidate_counts(run.model.num_classes)
    rows = []
    for block in dict.fromkeys((stage[0], stage[-1])):
        rows += decode_then_verify(run.model, run.test, block, counts, run.batch_size, run.device)
    return rows


def example_pictures(record: Record) -> tuple[list[list[tuple[PIL.Image.Image, str]]], list[str]]:
    """The example images of a record, where its data set is there: those of each exit, and those answered differently.

    Returns:
        Rows of images with captions, and the rows' names; none where there is no data set.
    """
    training = record["parameters"]
    try:
        test = load_images(training["data"], "test", image_size=training["image_size"], seed=training["seed"])
    except FileNotFoundError:
        return [], []
    rows: dict[str, list[tuple[PIL.Image.Image, str]]] = {}
    places = [*record["blocks"], "softmax"]
    for example in record["examples"]:
        answer, whole, label = (test.classes[example[key]] for key in ("answer", "whole", "label"))
        if answer == whole:
            name, caption = places[example["exit"]], answer if answer == label else f"{answer}, is {label}"
        else:
            name, caption = "early ≠ late", f"{answer}/{whole}, is {label}"
        rows.setdefault(name, []).append((test.image(example["image"]), caption))
    names = [name for name in [*places, "early ≠ late"] if name in rows]
    return [rows[name][:SHOWN] for name in names], names


def candidate_counts(num_classes: int) -> list[int]:
    """1, 2, 3, 5 and on by the same steps of ten, and all."""
    steps = [m * 10**power for power in range(4) for m in (1, 2, 3, 5)]
    return [m for m in steps if m < num_classes] + [num_classes]


def routed_differences(run: Run, calibration: Calibration, test: Predictions) -> list[dict[str, str | int]]:
    """The network really routed over the test set beside what whole passes say: images that leave elsewhere.

    Rows of float32 differ by some 1e-7 with the size of the batch, so a score next to its threshold may fall otherwise.

    Returns:
        A row a policy: policy, images, other_exit, other_label.
    """
    rows = []
    for policy in STOPS_ABOVE:
        thresholds = calibration.thresholds(policy, "drop", SHOWN_DROP)
        router = EarlyExit(run.model, policy, thresholds, calibration)
        simulated = router.rule.simulate(test.energies, test.logits)
        parts = [router.predict(pixels) for pixels, _ in eval_batches(run.test, run.batch_size, run.device)]
        routed = Exits(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))
        rows.append({
            "policy": policy,
            "images": len(run.test),
            "other_exit": int((routed.exits != simulated.exits).sum()),
            "other_label": int((routed.labels != simulated.labels).sum()),
        })  # fmt: skip
    return rows


def keeps(
    model: CodedResNeXt, calibration: Calibration, target: Target, test: Predictions, labels: Tensor, image_size: int
) -> dict[str, Any]:
    """What the thresholds of a target bring on the test images, beside what was expected of them.

    Returns:
        policy, kind, value; expected_accuracy and expected_multiply_adds, of the held-out images; accuracy; drop,
        points below the whole network; multiply_adds; drop_error and multiply_adds_error, 95 %; exits, shares of the
        B + 1; percent. Both answer the same images, so drop_error is that of a paired difference, Wald's with half an
        image more in each cell (Agresti and Min, Statistics in Medicine 2005): it is not empty when both are right
        throughout.
    """
    rule = StoppingRule(model.schemes, target.policy, target.thresholds, calibration)
    answers = rule.simulate(test.energies, test.logits)
    early, late = answers.labels == labels, test.logits.argmax(1) == labels
    n = len(labels)
    lost, won = int((late & ~early).sum()), int((early & ~late).sum())
    spent = 100 * rule.costs(model, image_size)[answers.exits.numpy()]
    return {
        "policy": target.policy,
        "kind": target.kind,
        "value": target.value,
        "expected_accuracy": target.accuracy,
        "expected_multiply_adds": target.multiply_adds,
        "accuracy": percent_equal(answers.labels, labels),
        "drop": 100 * (lost - won) / n,
        "drop_error": 100 * Z95 * math.sqrt(lost + won + 1 - (lost - won) ** 2 / (n + 2)) / (n + 2),
        "multiply_adds": float(spent.mean()),
        "multiply_adds_error": round(Z95 * float(spent.std()) / math.sqrt(n), 9),  # 0 where all leave at one place
        "exits": shares(answers, len(model.schemes)),
    }
