"""Presets: what is run, as YAML files, and the parameters of the notebooks that evaluate. No torch."""

from __future__ import annotations

import json
import os
import re
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ... import paths
from ...descriptions import from_yaml
from ...errors import BadFile, Missing, Refused, not_here, unknown
from ...files import write_atomically
from ...training.parameters import TrainingParameters, _require, build, differences, recipe, to_plain

T = TypeVar("T")
FULL, TOY = SCALES = ("full", "toy")
EASY = "digits"  # data of which almost every image is named right: little is left to differ
REFERENCES = ("cifar10-few", "cifar10-small")  # whose figures stand beside those of the easy data, the first that has
OWN_SCALE = "toy, data of one's own"
KEYS = {
    "title": str, "about": str, "scale": str, "folder": str,
    "training": dict, "runs": dict, "default": str, "notebooks": list, "settings": dict,
    "command": str, "time": str, "expect": str, "weights": dict,  # see FOR_READERS
}  # fmt: skip
FOR_READERS = ("command", "time", "expect", "weights")  # made from records; nothing that is run depends on them
OWN_NOTEBOOKS = (  # those that say something of any images, without the paper's numbers
    "03_train", "01_code_design", "04_accuracy", "05_specialisation", "06_binary_classifiers", "07_early_decoding",
    "09_subnetworks", "10_early_exit", "10b_decoding_across_blocks", "10c_rejection_and_verification",
)  # fmt: skip
WHY = {
    "image_size": "  # 0: images of one size, kept in memory; else what is cropped out of their files",
    "holdout": "  # training images set aside, for early exit and thresholds",
    "active": "  # branches a class uses, by stage",
    "flip": "  # true where a mirrored image is one of the same class: not for text or signs",
}


@dataclass(frozen=True)
class EvaluationParameters:
    """Parameters of the notebooks that evaluate.

    Attributes:
        preset: whose runs are evaluated; a name, or the path of a preset file.
        batch_size: images at once, on a CPU fewer where a cache holds fewer; no result depends on it.
        repeats: random removals averaged in figure 2a.
        block: whose branches figure 2a removes; empty for the last of the first coded stage, as on CIFAR.
        seeds: how many of them are evaluated, from seed 0 on; 0 for all. For what is no claim and takes long.
        force: evaluate again what has a record.
    """

    preset: str = "digits"
    batch_size: int = 500
    repeats: int = 5
    block: str = ""
    seeds: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "preset", load_preset(self.preset).name)
        for key in ("batch_size", "repeats"):
            _require(getattr(self, key) > 0, key, "above 0", getattr(self, key))
        _require(self.seeds >= 0, "seeds", "at least 0", self.seeds)


@dataclass(frozen=True)
class Preset:
    """One YAML file of notebooks/presets.

    Attributes:
        name: of the file.
        title: what captions and legends call it; its name where the file gives none.
        about: one sentence.
        scale: "full" for the paper's network and data set, or "toy", and after it how much smaller.
        runs: training parameters of every run, by run name. Figures compare the others with the first coded one.
        default: the run whose recipe is to be used: what is trained where no run is named. The first, unless images
            held out chose another.
        notebooks: what `reproduce` runs, in order.
        settings: other parameters of single notebooks, by notebook name.
    """

    name: str
    title: str
    about: str
    scale: str
    runs: dict[str, TrainingParameters]
    default: str
    notebooks: tuple[str, ...]
    settings: dict[str, dict[str, Any]]

    @property
    def is_full(self) -> bool:
        """Whether it trains the paper's network on the paper's data, be it for fewer epochs."""
        return self.scale.split(",")[0] == FULL

    @property
    def first(self) -> TrainingParameters:
        """Those of its first run, of which the others are variations."""
        return next(iter(self.runs.values()))

    @property
    def data(self) -> str:
        """The data set of its runs."""
        return self.first.data


def preset_names() -> list[str]:
    """Those of the repository, then those of one's own that were used here."""
    return shipped_presets() + [name for name in paths.remembered("preset") if paths.recall("preset", name).is_file()]


def shipped_presets() -> list[str]:
    return sorted(path.stem for path in paths.PRESETS.glob("*.yaml"))


def is_own(name: str) -> bool:
    """Whether a preset is of a user's images: the paper's numbers do not stand beside them."""
    return name not in shipped_presets()


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises:
        ValueError: an unknown preset, with the closest known names.
    """
    path = paths.PRESETS / f"{name}.yaml" if paths.is_plain(name) else None
    if path is not None and not path.is_file():
        path = paths.recall("preset", name)
    if path is None or not path.is_file():
        names = preset_names()
        raise Refused(unknown("preset", name, names) if names else not_here("presets", paths.PRESETS))
    return path


def preset_name(given: str) -> str:
    """The name of a preset that is given by its name or its path; by its path it is known by its name from then on.

    Raises:
        ValueError: no such file, one whose name is no plain name, or a name that stands for another file.
        FileNotFoundError: the folder of images that the file names is gone.
    """
    path = Path(given)
    if path.suffix not in (".yaml", ".yml"):
        return given
    if not path.is_file():
        raise Missing(f"there is no preset file {path}")
    if path.resolve().parent == paths.PRESETS.resolve():
        return path.stem
    if not paths.is_plain(path.stem):
        raise Refused(f"{path}: runs are filed under a preset's name, so it must be plain: letters, digits, . _ -")
    if path.stem in shipped_presets():
        raise Refused(f"{path}: the repository has a preset {path.stem!r}: give the file another name")
    content = _read(path)
    if folder := content.get("folder"):
        place = path.parent / folder
        if not place.is_dir():
            raise Missing(f"{path} names the folder {folder}, which is not there")
        paths.remember("data", str(content["training"].get("data", path.stem)), place)
    paths.remember("preset", path.stem, path)
    return path.stem


def _read(path: Path) -> dict[str, Any]:
    """A preset file's content, whose keys and notebooks are known.

    Raises:
        BadFile: broken YAML, an unknown key or a missing one, a value of another type, an unknown notebook.
    """
    content = from_yaml(path.read_bytes(), str(path))
    where = f"preset {path.stem}"
    if not isinstance(content, dict):
        raise BadFile(f"{path} is no preset: expected the keys {', '.join(KEYS)}")
    for key in content:
        if key not in KEYS:
            raise BadFile(unknown("key", str(key), KEYS, where))
    for key, kind in KEYS.items():
        if key not in content and key in ("training", "runs"):
            raise BadFile(f"{where} has no {key!r}: {path}")
        if key in content and not isinstance(content[key], kind):
            raise BadFile(f"{where}: {key!r} must be a {kind.__name__}, got {reprlib.repr(content[key])}")
    of_runs, of_notebooks = content["runs"], content.get("settings", {})
    for name, changes in (*of_runs.items(), *of_notebooks.items()):
        if not isinstance(name, str) or not paths.is_plain(name) or not isinstance(changes, dict | None):
            raise BadFile(f"{where}: {name!r} must be a plain name, and have parameters, got {reprlib.repr(changes)}")
    known = notebook_names()  # none where the package was installed without its repository
    for name in (*content.get("notebooks", ()), *of_notebooks):
        if not isinstance(name, str) or (known and name not in known):
            raise BadFile(unknown("notebook", str(name), known, where))
    if not content["runs"]:
        raise BadFile(f"{where} lists no run: {path}")
    if content.get("default", "") not in ("", *content["runs"]):
        raise BadFile(unknown("run", content["default"], content["runs"], f"{where}, default"))
    return content


def notebook_names() -> list[str]:
    """Those of the repository."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("*.ipynb"))


def own_preset(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """The preset file of an image folder: written beside it by the rules of `training.own`, unless it is there already.

    What is in `changes` goes before the rules. A network that starts from another has a preset of its own, since its
    recipe is another. Where the folder lies in the repository or its parent cannot be written, the file goes to the
    runs.

    Raises:
        FileNotFoundError, ValueError: what cannot be trained on, see `survey`.
    """
    folder = folder.resolve()
    name = re.sub(r"[^\w.-]+", "-", folder.name).strip("-.") or "own"
    taken = (paths.RAW / name).is_dir() and (paths.RAW / name).resolve() != folder
    if taken or name in (*shipped_presets(), "digits", "cifar10", "cifar100", "imagenet"):
        name += "-own"
    if init := str((changes or {}).get("init", "")):
        name += f"-from-{Path(init).name}"
    beside = folder.parent
    inside = paths.IS_CHECKOUT and beside.is_relative_to(paths.ROOT)
    if inside or not os.access(beside, os.W_OK):
        beside = paths.RUNS / ".own" / "presets"
    path = beside / f"{name}.yaml"
    if path.is_file():
        print(f"{path}: the preset that is there is used; remove it to have it made anew", file=sys.stderr)
        return path
    from ...training.own import plain_init, recipe_for, survey

    seen = survey(folder)
    recipe, notes = recipe_for(seen, init)
    recipe |= changes or {}
    build(TrainingParameters, recipe, f"preset {name}")  # refuses what cannot be before a file is written
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    about = f"{folder.name}, {len(seen.classes)} classes, {seen.train} images to train on; chosen by rules: edit it"
    lines = [
        f"about: {json.dumps(about, ensure_ascii=False)}",
        f"folder: {json.dumps(str(folder), ensure_ascii=False)}",
        "training:",
        f"  data: {json.dumps(name)}",  # in quotes, for 2024-05-01 and no are names too
        *(f"  {key}: {json.dumps(value)}{WHY.get(key, '')}" for key, value in recipe.items()),
        "runs:",
        "  coded-s0: {}",
        f"  plain-s0: {json.dumps({'coded': False, **plain_init(recipe)})}",
        "notebooks:",
        *(f"  - {notebook}" for notebook in OWN_NOTEBOOKS),
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    print(f"{path}: the preset, to be edited and passed by its path or as {name}", file=sys.stderr)
    return path


def decisive_text(name: str) -> str:
    """What of a preset's file decides anything, in one canonical text."""
    content = _read(preset_path(name))
    return json.dumps({key: content[key] for key in content if key not in FOR_READERS}, sort_keys=True)


def load_preset(name: str) -> Preset:
    """Read a preset, by its name or the path of its file.

    Raises:
        ValueError: an unknown preset, key or value, with the closest known names.
    """
    name = preset_name(name)
    content = _read(preset_path(name))
    runs = {
        run: build(TrainingParameters, {**content["training"], **(changes or {}), "preset": name, "name": run},
                   f"preset {name}, run {run}")
        for run, changes in content["runs"].items()
    }  # fmt: skip
    scale = content.get("scale", OWN_SCALE)
    if scale.split(",")[0] not in SCALES:
        raise Refused(f"scale of preset {name} must begin with {' or '.join(SCALES)}, got {scale!r}")
    notebooks = tuple(content.get("notebooks", OWN_NOTEBOOKS))
    title, about = (content.get(key, name) for key in ("title", "about"))
    default = content.get("default") or next(iter(runs))
    return Preset(name, title, about, scale, runs, default, notebooks, content.get("settings", {}))


def variant(preset: str, like: str, name: str, changes: Mapping[str, Any]) -> TrainingParameters:
    """A run of this name with the parameters of a listed one, but for some changes.

    Raises:
        ValueError: a run that the preset does not list, or an unknown parameter, with the closest known names.
    """
    if not paths.is_plain(name):
        raise Refused(f"the name of a run must be a plain file name: letters, digits, . _ -, got {name!r}")
    listed = load_preset(preset).runs
    if like not in listed:
        raise Refused(unknown("run", like, listed, f"preset {preset}"))
    return build(TrainingParameters, {**to_plain(listed[like]), "name": name, **changes}, f"run {name}")


def check_against_preset(parameters: TrainingParameters) -> None:
    """Refuse a run that bears a preset's name but not its parameters: its record would be taken for the preset's.

    Raises:
        ValueError: naming the differences.
    """
    if parameters.preset not in preset_names():
        raise Refused(unknown("preset", parameters.preset, preset_names()))
    listed = load_preset(parameters.preset).runs.get(parameters.name)
    if listed is None:
        return
    lists, has = recipe(to_plain(listed)), recipe(to_plain(parameters))
    if lists != has:
        raise Refused(
            f"run {parameters.name!r} of preset {parameters.preset} is listed with other parameters: "
            f"{differences(lists, has)}. Give this run a name of its own"
        )


def from_notebook(kind: type[T], variables: Mapping[str, Any], where: str) -> T:
    """A parameter dataclass from a notebook's variables, right after its parameters cell.

    papermill injects what it is given, known or not: every public variable that holds a plain value is a
    parameter, or a mistake. When the cell is run again, later cells have made variables of their own, and only
    known names are read.
    """
    if any(isinstance(value, kind) for value in variables.values()):
        return build(kind, {key: variables[key] for key in to_plain(kind()) if key in variables}, where)
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    shell = {"In", "Out"}  # IPython's own history
    given = {
        key: value
        for key, value in variables.items()
        if not key.startswith("_") and key not in shell and isinstance(value, plain)
    }
    return build(kind, given, where)
