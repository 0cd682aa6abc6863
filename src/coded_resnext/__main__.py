"""Command line: python -m coded_resnext --help lists what it can."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import paths
from .descriptions import from_yaml
from .errors import BadFile, CodedResNeXtError, Missing, Refused, on_one_line, unknown

if TYPE_CHECKING:
    from .network.model import CodedResNeXt

OF_THE_EXTRA = ("pandas", "matplotlib", "papermill", "nbformat")  # "reproduction": what commands import of it

Argument = tuple[tuple[str, ...], dict[str, Any]]


def _argument(*flags: str, **options: Any) -> Argument:
    return flags, options


def _whole(least: int) -> Callable[[str], int]:
    """An argument's type: whole numbers from one on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return int(text)

    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, got {text!r}")
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, 1 for an error that is the user's to mend."""
    options = _parser().parse_args(_as_pairs(sys.argv[1:] if arguments is None else arguments))
    try:
        options.command(options)
    except (CodedResNeXtError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in OF_THE_EXTRA:
            raise
        print(f"error: this needs {error.name}: make installs it, or pip install '.[reproduction]'", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m coded_resnext", description="Coded ResNeXt, reproduced.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=_epilog(name, command), formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        for flags, options in command.arguments:
            sub.add_argument(*flags, **options)
        sub.set_defaults(command=command.run)
    return parser


def _epilog(name: str, command: Command) -> str:
    """An example; and of a command that takes any of TrainingParameters' keys, which these are."""
    lines = [f"example:\n  python -m coded_resnext {name} {command.example}".rstrip()]
    if PARAMETER in command.arguments:
        from .training.parameters import TrainingParameters, to_plain

        keys = [f"  {key}={json.dumps(value)}" for key, value in to_plain(TrainingParameters()).items()]
        lines += ["", "keys of a training, with their defaults (TrainingParameters says what they mean):", *keys]
    return "\n".join(lines)


# What each command runs. Modules are imported by the command that needs them: most want torch, which takes seconds.


def _reproduce(options: argparse.Namespace) -> None:
    from .reproduction.notebooks.reproduce import reproduce

    reproduce(_preset(options.preset), force=options.force)


def _figures(options: argparse.Namespace) -> None:
    from .reproduction.figures.gallery import redraw

    redraw(_preset(options.preset))


def _run(options: argparse.Namespace) -> None:
    from .reproduction.notebooks.strict import check_parameters, run
    from .reproduction.records.presets import load_preset

    parameters = check_parameters(options.notebook, _values(options.parameter))
    preset = load_preset(_preset(parameters.get("preset", "digits"))).name
    output = paths.RUNS / preset / "notebooks" / f"{options.notebook}-by-hand.ipynb"
    run(options.notebook, parameters, output)
    print(f"executed copy: {output}")


def _train(options: argparse.Namespace) -> None:
    from .reproduction.measure.train import train
    from .reproduction.records.presets import load_preset, variant

    preset, run = options.preset or "digits", options.run
    if options.data is not None:  # the preset is made of it, and what may follow is the run
        if options.run:
            raise Refused(f"--data makes the preset: leave out {options.preset!r}, and give the run's name alone")
        preset, run = str(options.data), options.preset
        if not options.data.is_dir():
            raise Missing(f"there is no folder {options.data}")
    values = _values(options.parameter)
    preset = _preset(preset, values if options.data is not None else {})
    listed = load_preset(preset)
    run = run or listed.default
    like = options.like or (run if run in listed.runs else listed.default)
    record = train(variant(preset, like, run, values), force=options.force)
    print(", ".join(f"{key} {value:.2f}" for key, value in record["metrics"].items()))


def _evaluate(options: argparse.Namespace) -> None:
    from .reproduction.measure.stages import STAGES, evaluate
    from .reproduction.records.presets import EvaluationParameters

    for stage in options.stages or STAGES:
        if stage not in STAGES:
            raise Refused(unknown("stage", stage, STAGES))
        records = evaluate(stage, EvaluationParameters(_preset(options.preset), force=options.force))
        print(f"{stage}: {', '.join(record['name'] for record in records)}", flush=True)


def _together(options: argparse.Namespace) -> None:
    from .reproduction.measure.side_by_side import train_together

    train_together(_preset(options.preset), options.runs, _values(options.parameter), options.suffix)


def _design(options: argparse.Namespace) -> None:
    from .codes.design import design_scheme

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    sizes = (options.classes, options.branches, options.active)
    scheme = design_scheme(*sizes, seed=options.seed, time_limit=options.time_limit)
    for key, value in scheme.certificate().items():
        print(f"{key}: {value}", file=sys.stderr)
    try:
        if options.output:
            scheme.save(options.output)
            return
    except OSError:  # the search is not lost
        print(scheme.to_text(**scheme.header()), end="")
        raise
    print(scheme.to_text(**scheme.header()), end="")


def _schemes(options: argparse.Namespace) -> None:
    from .reproduction.measure.schemes import remake

    remake(write=options.write)


def _export(options: argparse.Namespace) -> None:
    from .reproduction.measure.stages import recorded_threshold
    from .subnetworks.export import export

    names = _class_names(options.classes)
    print(
        export(
            options.checkpoint, names, out=options.out, onnx=options.onnx, batch=options.batch,
            energies=options.energies, threshold=recorded_threshold(options.checkpoint, names),
        )
    )  # fmt: skip


def _predict(options: argparse.Namespace) -> None:
    from .subnetworks.classify import classify_files, load_classifier

    classifier = load_classifier(options.model)
    stops = _stops(classifier.model, classifier.checkpoint.folder) if classifier.checkpoint else None
    bad, resized = [], False
    for path, answer in classify_files(classifier, options.images, stops):
        if isinstance(answer, CodedResNeXtError):
            bad.append(answer)
            if options.json:
                print(_json_line({"file": str(path), "error": str(answer)}), flush=True)
            continue
        if not resized and not classifier.fits(answer.size):
            resized, size = True, classifier.preparation.image_size
            print(f"note: images are cropped to their middle and resized to {size}x{size}, as {path} of "
                  f"{answer.size[0]}x{answer.size[1]}", file=sys.stderr)  # fmt: skip
        said = _json_line({"file": str(path)} | answer.as_json()) if options.json else None
        print(said or f"{on_one_line(str(path))}: {answer.in_words()}", flush=True)
    for error in bad[:-1]:
        print(f"error: {on_one_line(str(error))}", file=sys.stderr)
    if bad:
        raise bad[-1]


def _json_line(content: Mapping[str, Any]) -> str:
    """As JSON; what of a file's name is no Unicode is escaped, and a reader gets it back."""
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace").decode()


def _stops(model: CodedResNeXt, folder: Path) -> Callable[..., str] | None:
    """Where early exit would have left with one image, by the calibration in a network's folder; None without one.

    One of other weights, from before a run was trained again, is none: what the image shows is known without it.
    """
    from .early_exit.targets import calibrated_rule

    try:
        rule = calibrated_rule(model, folder)
    except BadFile:
        raise
    except Refused as error:
        print(f"note: without early exit: {error}", file=sys.stderr)
        return None
    if rule is None:
        return None
    places = [*model.schemes, "softmax"]
    return lambda energies, logits: places[int(rule.simulate(energies, logits).exits[0])]


def _explore(options: argparse.Namespace) -> None:
    from .explorer.page import explorer_page

    path = explorer_page(options.model, options.images).save(options.out)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, open it in a browser")


def _bench(options: argparse.Namespace) -> None:
    from .reproduction.figures.tables import step_table
    from .reproduction.figures.text import as_text
    from .reproduction.measure.timing import bench

    print(as_text(step_table(bench(options.rounds))))


def _bench_exits(options: argparse.Namespace) -> None:
    from .reproduction.figures.exits import timing_table
    from .reproduction.figures.text import as_text
    from .reproduction.measure.timing import time_exits

    print(as_text(timing_table(time_exits(*_run_of(options), options.rounds, options.images))))


def _run_of(options: argparse.Namespace) -> tuple[str, str]:
    """The preset and the run of a network: both given, or one name that `find_model` knows."""
    from .network.weights import RUN, find_model
    from .reproduction.records.presets import preset_names
    from .training.checkpoint import named_checkpoint

    given = options.preset
    if given not in preset_names() and Path(given).suffix not in (".yaml", ".yml"):
        training = named_checkpoint(given).description.parameters
        if find_model(given).kind == RUN and not (paths.RUNS / training["preset"] / training["name"]).is_dir():
            raise Missing(f"{given} is not in {paths.RUNS}: set CODED_RESNEXT_OUT to where it was trained")
        return training["preset"], training["name"]
    return _preset(given), options.run


def _bench_subnetwork(options: argparse.Namespace) -> None:
    from .reproduction.figures.subnetworks import latency_table, profile_table
    from .reproduction.figures.text import as_text
    from .reproduction.measure.timing import bench_subnetwork, profile_subnetwork

    print(as_text(latency_table(bench_subnetwork(options.rounds))))
    print(as_text(profile_table(profile_subnetwork(options.rounds))))


def _weights(options: argparse.Namespace) -> None:
    from .reproduction.measure.ship import file_weights

    card = file_weights(_preset(options.preset), options.run)
    accuracy = card["accuracy"]
    print(
        f"{card['name']}: {card['dtype']}, accuracy {accuracy['stored']:.2f} % on {accuracy['images']} images "
        f"(recorded {accuracy['recorded']:.2f} %)"
    )


def _calibrate(options: argparse.Namespace) -> None:
    from .reproduction.measure.ship import calibrate_named

    calibration, path = calibrate_named(options.weights)
    print(f"{len(calibration.targets)} targets from {calibration.images} held-out images: {path}")


def _publish(options: argparse.Namespace) -> None:
    from .reproduction.notebooks.publish import publish

    print("\n".join(publish(_preset(options.preset))))


def _pages(options: argparse.Namespace) -> None:
    from .reproduction.figures.documents import write_documents

    print("\n".join(map(str, write_documents())))


class Command(NamedTuple):
    """A command: what --help says of it, what it runs, its arguments as argparse takes them, and an example of them."""

    help: str
    run: Callable[[argparse.Namespace], None]
    arguments: tuple[Argument, ...]
    example: str


PRESET = _argument(
    "preset", nargs="?", default="digits",
    help="a name in notebooks/presets, the path of a preset file, or a folder of images, which gets one",
)  # fmt: skip
PARAMETER = _argument(
    "-p", "--parameter", action="append", default=[], metavar="KEY=VALUE",
    help="or KEY VALUE, as papermill has it; a key of TrainingParameters or of the notebook's first cell",
)  # fmt: skip
NETWORK = "shipped weights (cifar10-small) or a run's folder (data/runs/<preset>/<run>)"
ROUNDS = _argument("--rounds", type=_whole(2), default=9, help="alternations that are timed, 2 at least")

COMMANDS = {
    "reproduce": Command("run a preset: every notebook in order, then the claims", _reproduce, (
        PRESET,
        _argument("--force", action="store_true", help="repeat what is done, trainings included"),
    ), "digits"),
    "figures": Command("redraw a preset's figures and tables from its records", _figures, (PRESET,), "cifar10-small"),
    "run": Command("run one notebook", _run, (
        _argument("notebook", help="its name, e.g. 04_accuracy"),
        PARAMETER,
    ), "04_accuracy -p preset=digits"),
    # no --preset or --run: torchrun would take some of them for its own
    "train": Command("train one run without a notebook; works under torchrun", _train, (
        _argument("preset", nargs="?", help="as for reproduce; digits by default"),
        _argument("run", nargs="?", help="a run that the preset lists, or a new name; else the preset's default"),
        _argument("--data", type=Path, metavar="FOLDER", help="a folder of images: a preset is made for it"),
        _argument("--like", help="for a new name: the listed run whose parameters it starts from"),
        PARAMETER,
        _argument("--force", action="store_true", help="train from the beginning whatever is there"),
    ), "digits mine --like coded-s0 -p mu=4 -p epochs=60"),
    "evaluate": Command("evaluate a preset's trained runs into records, without notebooks", _evaluate, (
        PRESET,
        _argument("stages", nargs="*", help="accuracy, early, …; all by default"),
        _argument("--force", action="store_true", help="evaluate again what has a record"),
    ), "cifar10-small accuracy early"),
    "together": Command("train several listed runs, or variants of them, side by side", _together, (
        _argument("preset"),
        _argument("runs", nargs="+"),
        _argument("--suffix", default="", help="names the variants, e.g. 60-epochs for coded-60-epochs-s0"),
        PARAMETER,
    ), "cifar10 coded-s0 plain-s0 --suffix 60-epochs -p epochs=60"),
    "design": Command("design a coding scheme and print it with its certificate", _design, (
        _argument("--classes", type=int, required=True, help="K, 2 to 2000"),
        _argument("--branches", type=int, required=True, help="N, at most 64"),
        _argument("--active", type=int, required=True, help="N_act, the ones of every codeword"),
        _argument("--seed", type=_whole(0), default=0, help="of all random choices"),
        _argument("--time-limit", type=_seconds, default=60.0, help="seconds; the search may end before"),
        _argument("--output", help="a file for the scheme; printed otherwise"),
    ), "--classes 43 --branches 12 --active 6 --output signs.txt"),
    "schemes": Command("make the built-in schemes again and compare; minutes", _schemes, (
        _argument("--write", action="store_true", help="replace those that come out otherwise"),
    ), ""),
    "export": Command("cut the paths of some classes out of a network, as a file", _export, (
        _argument("--checkpoint", "--model", required=True, dest="checkpoint", help=NETWORK),
        _argument("--classes", required=True, action="append",
                  help="names with commas between: cat,dog; or one name each time, for names that have commas"),
        _argument("--out", type=Path, help="a folder for model.safetensors and manifest.json"),
        _argument("--onnx", type=Path, help="an ONNX file"),
        _argument("--batch", type=_whole(1), help="the ONNX file takes so many images at once; any number otherwise"),
        _argument("--energies", action="store_true", help="the ONNX file gives the energies too"),
    ), "--model cifar10-small --classes cat,dog --out pets --onnx pets.onnx"),
    "predict": Command("classify image files", _predict, (
        _argument("images", nargs="+", type=Path, help="files, or folders that are walked"),
        _argument("--model", required=True, help=f"{NETWORK}; also a subnetwork's folder or an .onnx file"),
        _argument("--json", action="store_true", help="one JSON object a line"),
    ), "photo.jpg holiday/ --model cifar10-small"),
    "explore": Command("a page that looks into a network, as one HTML file", _explore, (
        _argument("--model", required=True, help="a name in data/weights, or a run's folder"),
        _argument("--images", type=Path, help="a folder <class>/<image>; the network's own test images by default"),
        _argument("--out", type=Path, default=Path("explorer.html"), help="the file; explorer.html by default"),
    ), "--model cifar10-small --images photos --out page.html"),
    "bench": Command("time and memory of a training step: plain, coded, written out", _bench, (ROUNDS,), "--rounds 9"),
    "bench-exits": Command("time an image takes: whole network, early exit as calibrated", _bench_exits, (
        PRESET,
        _argument("run", nargs="?", default="coded-s0", help="a coded run that 10_early_exit has calibrated"),
        ROUNDS,
        _argument("--images", type=_whole(1), default=256, help="of the test set"),
    ), "cifar10-small coded-s0"),
    "weights": Command("put a finished run's weights and their card into data/weights", _weights, (
        _argument("preset"),
        _argument("run"),
    ), "cifar10-small coded-s0"),
    "calibrate": Command("early-exit thresholds of a network, from its held-out images; kept beside it", _calibrate, (
        _argument("weights", help=NETWORK),
    ), "cifar10-small"),
    "bench-subnetwork": Command("time of one class's subnetwork, whole and by parts", _bench_subnetwork, (
        _argument("--rounds", type=_whole(2), default=30, help="alternations that are timed, 2 at least"),
    ), "--rounds 30"),
    "pages": Command("write the README's results and the pages of docs/ from the records", _pages, (), ""),
    "publish": Command("copy a reproduction's outputs into the notebooks in git", _publish, (PRESET,), "digits"),
}  # fmt: skip


def _preset(given: str, changes: Mapping[str, Any] | None = None) -> str:
    """A preset's name, whatever it is given by: its name, its file, or a folder of images.

    `changes` go into the preset that is made for a folder; with `init` among them it is another than that without.
    """
    from .reproduction.records.presets import own_preset, preset_name, preset_names

    folder = Path(given).expanduser()
    if folder.is_dir() and (given not in preset_names() or (changes or {}).get("init")):
        given = str(own_preset(folder, changes))
    return preset_name(given)


def _class_names(given: Sequence[str]) -> list[str]:
    """Of --classes given once, what stands between commas; given several times, each as it is."""
    names = given if len(given) > 1 else given[0].split(",")
    return [name.strip() for name in names if name.strip()]


def _as_pairs(arguments: Sequence[str]) -> list[str]:
    """papermill's -p KEY VALUE as -p KEY=VALUE."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument in ("-p", "--parameter"):
            key = next(rest, None)
            value = next(rest, None) if key is not None and key.isidentifier() else None
            joined += [] if key is None else [key if value is None else f"{key}={value}"]
    return joined


def _values(pairs: Sequence[str]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise Refused(f"a parameter is given as KEY=VALUE, got {pair!r}")
        values[key] = from_yaml(value, repr(pair))
    return values


if __name__ == "__main__":
    sys.exit(main())
