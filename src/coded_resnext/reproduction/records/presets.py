"""Presets: what is run, as YAML files, and the parameters of the notebooks that evaluate. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from ... import paths
from ...errors import Refused, not_here, unknown
from ...training.parameters import TrainingParameters, _require, build, differences, recipe, to_plain

T = TypeVar("T")
FULL, TOY = SCALES = ("full", "toy")


@dataclass(frozen=True)
class EvaluationParameters:
    """Parameters of the notebooks that evaluate.

    Attributes:
        preset: whose runs are evaluated.
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
        load_preset(self.preset)
        for key in ("batch_size", "repeats"):
            _require(getattr(self, key) > 0, key, "above 0", getattr(self, key))
        _require(self.seeds >= 0, "seeds", "at least 0", self.seeds)


@dataclass(frozen=True)
class Preset:
    """One YAML file of notebooks/presets.

    Attributes:
        name: of the file.
        about: one sentence.
        scale: "full" for the paper's network and data set, or "toy", and after it how much smaller.
        runs: training parameters of every run, by run name.
        notebooks: what `reproduce` runs, in order.
        settings: other parameters of single notebooks, by notebook name.
    """

    name: str
    about: str
    scale: str
    runs: dict[str, TrainingParameters]
    notebooks: tuple[str, ...]
    settings: dict[str, dict[str, Any]]

    @property
    def data(self) -> str:
        """The data set of its runs."""
        return next(iter(self.runs.values())).data


def preset_names() -> list[str]:
    return sorted(path.stem for path in paths.PRESETS.glob("*.yaml"))


def load_preset(name: str) -> Preset:
    """Read a preset.

    Raises:
        ValueError: an unknown preset, key or value, with the closest known names.
    """
    path = paths.PRESETS / f"{name}.yaml"
    if not path.is_file():
        names = preset_names()
        raise Refused(unknown("preset", name, names) if names else not_here("presets", paths.PRESETS))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {"about", "scale", "training", "runs", "notebooks", "settings"}
    for key in content:
        if key not in known:
            raise Refused(unknown("key", key, known, f"preset {name}"))
    runs = {
        run: build(TrainingParameters, {**content["training"], **(changes or {}), "preset": name, "name": run},
                   f"preset {name}, run {run}")
        for run, changes in content["runs"].items()
    }  # fmt: skip
    scale = content["scale"]
    if scale.split(",")[0] not in SCALES:
        raise Refused(f"scale of preset {name} must begin with {' or '.join(SCALES)}, got {scale!r}")
    return Preset(name, content["about"], scale, runs, tuple(content["notebooks"]), content.get("settings", {}))


def variant(preset: str, like: str, name: str, changes: Mapping[str, Any]) -> TrainingParameters:
    """A run of this name with the parameters of a listed one, but for some changes.

    Raises:
        ValueError: a run that the preset does not list, or an unknown parameter, with the closest known names.
    """
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
