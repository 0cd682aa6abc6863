"""Command line: python -m coded_resnext --help lists what it can."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .errors import NotebookFailed, NotEqual, RunsFailed, TrainingDiverged
from .paths import RUNS
from .training.parameters import TrainingParameters, build, load_preset, preset_names, to_plain, unknown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 for an error that is the user's to mend."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (ValueError, TypeError, OSError, NotEqual, TrainingDiverged, NotebookFailed, RunsFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m coded_resnext", description="Coded ResNeXt, reproduced.")
    commands = parser.add_subparsers(required=True, metavar="command")

    reproduce = commands.add_parser("reproduce", help="run a preset: every notebook in order, then the claims")
    reproduce.add_argument("preset", nargs="?", default="digits", help=f"one of {', '.join(preset_names())}")
    reproduce.add_argument("--force", action="store_true", help="repeat what is done, trainings included")
    reproduce.set_defaults(command=_reproduce)

    figures = commands.add_parser("figures", help="redraw a preset's figures and tables from its records")
    figures.add_argument("preset", nargs="?", default="digits")
    figures.set_defaults(command=_figures)

    run = commands.add_parser("run", help="run one notebook")
    run.add_argument("notebook", help="its name, e.g. 04_accuracy")
    run.add_argument("-p", "--parameter", action="append", default=[], metavar="KEY=VALUE")
    run.set_defaults(command=_run)

    train = commands.add_parser("train", help="train one run without a notebook; works under torchrun")
    # no --preset or --run: torchrun would take some of them for its own
    train.add_argument("preset", nargs="?", default="digits")
    train.add_argument("run", nargs="?", default="coded-s0", help="a run that the preset lists, or a new name")
    train.add_argument("--like", help="for a new name: the listed run whose parameters it starts from")
    train.add_argument("-p", "--parameter", action="append", default=[], metavar="KEY=VALUE")
    train.add_argument("--force", action="store_true", help="train from the beginning whatever is there")
    train.set_defaults(command=_train)

    together = commands.add_parser("together", help="train several listed runs, or variants of them, side by side")
    together.add_argument("preset")
    together.add_argument("runs", nargs="+")
    together.add_argument("--suffix", default="", help="names the variants, e.g. 60-epochs for coded-60-epochs-s0")
    together.add_argument("-p", "--parameter", action="append", default=[], metavar="KEY=VALUE")
    together.set_defaults(command=_together)

    design = commands.add_parser("design", help="design a coding scheme and print it with its certificate")
    sizes = {"classes": "K, 2 to 2000", "branches": "N, at most 64", "active": "N_act, the ones of every codeword"}
    for option, meaning in sizes.items():
        design.add_argument(f"--{option}", type=int, required=True, help=meaning)
    design.add_argument("--seed", type=int, default=0, help="of all random choices")
    design.add_argument("--time-limit", type=float, default=60.0, help="seconds; the search may end before")
    design.add_argument("--output", help="a file for the scheme; printed otherwise")
    design.set_defaults(command=_design)

    schemes = commands.add_parser("schemes", help="make the shipped schemes again and compare; minutes")
    schemes.add_argument("--write", action="store_true", help="replace those that come out otherwise")
    schemes.set_defaults(command=_schemes)

    export = commands.add_parser("export", help="cut the paths of some classes out of a network, as a file")
    export.add_argument("--checkpoint", required=True, type=Path, help="a run's folder, data/runs/<preset>/<run>")
    export.add_argument("--classes", required=True, help="names with commas between: cat,dog")
    export.add_argument("--out", type=Path, help="a folder for model.safetensors and manifest.json")
    export.add_argument("--onnx", type=Path, help="an ONNX file")
    export.add_argument("--batch", type=int, help="the ONNX file takes so many images at once; any number otherwise")
    export.add_argument("--energies", action="store_true", help="the ONNX file gives the energies too")
    export.set_defaults(command=_export)

    predict = commands.add_parser("predict", help="classify image files")
    predict.add_argument("images", nargs="+", type=Path)
    predict.add_argument("--model", required=True, type=Path, help="a run's folder, a subnetwork's, or an .onnx file")
    predict.set_defaults(command=_predict)

    bench = commands.add_parser("bench", help="time and memory of a training step: plain, coded, written out")
    bench.add_argument("--rounds", type=int, default=9, help="alternations that are timed")
    bench.set_defaults(command=_bench)

    exits = commands.add_parser("bench-exits", help="time an image takes: whole network, early exit as calibrated")
    exits.add_argument("preset", nargs="?", default="digits")
    exits.add_argument("run", nargs="?", default="coded-s0", help="a coded run that 10_early_exit has calibrated")
    exits.add_argument("--rounds", type=int, default=9, help="alternations that are timed")
    exits.add_argument("--images", type=int, default=256, help="of the test set")
    exits.set_defaults(command=_bench_exits)

    weights = commands.add_parser("weights", help="put a finished run's weights and their card into data/weights")
    weights.add_argument("preset")
    weights.add_argument("run")
    weights.set_defaults(command=_weights)

    calibrate = commands.add_parser("calibrate", help="early-exit thresholds of shipped weights, kept beside them")
    calibrate.add_argument("weights", help="a name in data/weights, as for CodedResNeXt.from_pretrained")
    calibrate.set_defaults(command=_calibrate)

    latency = commands.add_parser("bench-subnetwork", help="time of one class's subnetwork, whole and by parts")
    latency.add_argument("--rounds", type=int, default=30, help="alternations that are timed")
    latency.set_defaults(command=_bench_subnetwork)

    publish = commands.add_parser("publish", help="copy a reproduction's outputs into the notebooks in git")
    publish.add_argument("preset", nargs="?", default="digits")
    publish.set_defaults(command=_publish)
    return parser


def _reproduce(options: argparse.Namespace) -> None:
    from .reproduction.notebooks.notebooks import reproduce

    reproduce(options.preset, force=options.force)


def _figures(options: argparse.Namespace) -> None:
    from .reproduction.figures.gallery import redraw

    redraw(options.preset)


def _run(options: argparse.Namespace) -> None:
    from .reproduction.notebooks.notebooks import run

    parameters = _values(options.parameter)
    preset = parameters.get("preset", "digits")
    output = RUNS / str(preset) / "notebooks" / f"{options.notebook}-by-hand.ipynb"
    run(options.notebook, parameters, output)
    print(f"executed copy: {output}")


def _train(options: argparse.Namespace) -> None:
    from .training.fit import fit

    listed = load_preset(options.preset).runs
    like = options.like or (options.run if options.run in listed else next(iter(listed)))
    if like not in listed:
        raise ValueError(unknown("run", like, listed, f"preset {options.preset}"))
    values = {**to_plain(listed[like]), "name": options.run, **_values(options.parameter)}
    record = fit(build(TrainingParameters, values, f"run {options.run}"), force=options.force)
    print(", ".join(f"{key} {value:.2f}" for key, value in record["metrics"].items()))


def _together(options: argparse.Namespace) -> None:
    from .reproduction.measure.side_by_side import train_together

    train_together(options.preset, options.runs, _values(options.parameter), options.suffix)


def _design(options: argparse.Namespace) -> None:
    from .codes.design import design_scheme

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    sizes = (options.classes, options.branches, options.active)
    scheme = design_scheme(*sizes, seed=options.seed, time_limit=options.time_limit)
    for key, value in scheme.certificate().items():
        print(f"{key}: {value}", file=sys.stderr)
    if options.output:
        scheme.save(options.output)
    else:
        print(scheme.to_text(**scheme.header()), end="")


def _schemes(options: argparse.Namespace) -> None:
    from .reproduction.measure.schemes import remake

    remake(write=options.write)


def _export(options: argparse.Namespace) -> None:
    from .subnetworks.export import export

    names = [name.strip() for name in options.classes.split(",") if name.strip()]
    print(
        export(
            options.checkpoint, names, out=options.out, onnx=options.onnx, batch=options.batch,
            energies=options.energies,
        )
    )  # fmt: skip


def _predict(options: argparse.Namespace) -> None:
    from .subnetworks.classify import load_classifier

    classifier = load_classifier(options.model)
    for image in options.images:
        print(f"{image}: {classifier.describe(image)}")


def _bench(options: argparse.Namespace) -> None:
    from .reproduction.measure.benchmark import bench

    print(bench(options.rounds))


def _bench_exits(options: argparse.Namespace) -> None:
    from .reproduction.measure.timing import time_exits

    print(time_exits(options.preset, options.run, options.rounds, options.images))


def _weights(options: argparse.Namespace) -> None:
    from .reproduction.measure.ship import file_weights

    card = file_weights(options.preset, options.run)
    accuracy = card["accuracy"]
    print(
        f"{card['name']}: {card['dtype']}, accuracy {accuracy['stored']:.2f} % on {accuracy['images']} images "
        f"(recorded {accuracy['recorded']:.2f} %)"
    )


def _calibrate(options: argparse.Namespace) -> None:
    from .reproduction.measure.ship import calibrate_shipped

    calibration = calibrate_shipped(options.weights)
    print(f"{len(calibration.targets)} targets from {calibration.images} held-out images")


def _bench_subnetwork(options: argparse.Namespace) -> None:
    from .reproduction.measure.latency import bench_subnetwork
    from .reproduction.measure.profiling import profile_subnetwork

    print(bench_subnetwork(options.rounds))
    print(profile_subnetwork(options.rounds))


def _publish(options: argparse.Namespace) -> None:
    from .reproduction.notebooks.notebooks import publish

    print("\n".join(publish(options.preset)))


def _values(pairs: Sequence[str]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"a parameter is given as KEY=VALUE, got {pair!r}")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{pair!r} is no value that YAML can read: {error}") from None
    return values


if __name__ == "__main__":
    sys.exit(main())
