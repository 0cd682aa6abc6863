"""A preset's notebooks in order.

What has been done before, from the same code, parameters and checkpoints, is not done again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from ... import paths
from ...descriptions import read_json, to_json, typed_as
from ...errors import BadFile
from ...files import forget_temporary, sha256, write_atomically
from ...locks import held
from ...training.parameters import to_plain
from ..measure.side_by_side import side_by_side
from ..records.presets import decisive_text, is_own, load_preset
from .strict import check_parameters, default_parameters, read_notebook, run

TRAIN = "03_train"
SHOWS = {  # the stages whose records a notebook shows; what it has not written itself may come from git
    "00_tour": (),
    "04_accuracy": ("accuracy",),
    "05_specialisation": ("specialisation",),
    "06_binary_classifiers": ("binary",),
    "07_early_decoding": ("early",),
    "08_ablations": ("accuracy", "early", "binary"),
    "09_subnetworks": ("subnetworks", "surgery"),
    "10_early_exit": ("exits", "early"),
    "10b_decoding_across_blocks": ("exits", "early"),
    "10c_rejection_and_verification": ("exits", "early"),
    "11_paper_vs_ours": ("accuracy", "specialisation", "binary", "early"),
}
REPEATED = "the notebook is run again"
MOST_AT_ONCE = 4  # trainings side by side on a CPU, each with its share of the cores: small networks use few well


class _Stamp(TypedDict):
    """What a unit read, as two hashes, and the hashes of what it wrote."""

    inputs: str
    records: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class Unit:
    """One execution of one notebook in a preset: `name` tells apart those of the same notebook."""

    preset: str
    notebook: str
    name: str
    parameters: dict[str, Any]

    @property
    def executed(self) -> Path:
        """Where the executed copy goes; the stamp lies beside it."""
        return paths.RUNS / self.preset / "notebooks" / f"{self.name}.ipynb"


def reproduce(preset: str, *, force: bool = False) -> None:
    """Run a preset's notebooks in order, skipping what is done, and print its claims beside the measurements.

    On a CPU the trainings run side by side, as processes that share the cores.

    Raises:
        ValueError: an unknown preset or notebook; images of one's own that cannot be trained on.
        InUse: another process reproduces this preset into this folder.
        NotebookFailed: a cell raised; what was finished before stays and is not repeated. The other trainings go on to
            their end first.
    """
    work = units(preset)
    if is_own(preset):
        from ..measure.own_images import look_through  # torch: seconds to import

        look_through(load_preset(preset).data)
    with held(paths.RUNS / preset / "notebooks"):
        forget_temporary(paths.RUNS / preset / "notebooks")
        for notebook, group in itertools.groupby(work, key=lambda unit: unit.notebook):
            _execute_all(notebook, list(group), force)
    from ..figures.claims import claims, without_paper
    from ..figures.text import as_text

    table = claims(preset)
    print(f"\n{as_text(without_paper(table) if is_own(preset) else table)}")


def _execute_all(notebook: str, work: list[Unit], force: bool) -> None:
    at_once = min(MOST_AT_ONCE, os.cpu_count() or 1, len(work)) if notebook == TRAIN and not _has_gpu() else 1
    if at_once == 1:
        for unit in work:
            _execute(unit, force)
        return
    jobs = {unit.name.removeprefix(f"{TRAIN}-"): functools.partial(_execute, unit, force) for unit in work}
    for error in side_by_side(jobs, at_once).values():
        raise error


def _execute(unit: Unit, force: bool) -> None:
    """Run one unit, unless it is done, and leave a stamp of what it read and wrote."""
    begun = time.perf_counter()
    if not force and is_done(unit):
        print(f"{unit.name:32}  done before", flush=True)
        return
    print(f"{unit.name:32}  …", flush=True)
    inputs, before = _inputs(unit), _state(unit)  # the code may change while it runs
    takes_force = force and "force" in default_parameters(unit.notebook)
    run(unit.notebook, unit.parameters | ({"force": True} if takes_force else {}), unit.executed)
    outputs = [path for path, when in _state(unit).items() if before.get(path) != when]
    stamp = {
        "inputs": inputs,
        "records": _records(unit),
        "outputs": {str(path.relative_to(paths.OUT)): sha256(path) for path in outputs},
    }
    write_atomically(unit.executed.with_suffix(".json"), to_json(stamp).encode())
    print(f"{unit.name:32}  {time.perf_counter() - begun:.0f} s", flush=True)


def _has_gpu() -> bool:
    import torch  # seconds to import

    return torch.cuda.is_available()


def units(preset: str) -> list[Unit]:
    """What `reproduce` executes: 03_train once for each run, every other notebook once."""
    content = load_preset(preset)
    work = []
    for notebook in content.notebooks:
        if notebook == TRAIN:
            work += [Unit(preset, TRAIN, f"{TRAIN}-{run}", to_plain(values)) for run, values in content.runs.items()]
        else:
            settings = {"preset": preset, **content.settings.get(notebook, {})}
            work.append(Unit(preset, notebook, notebook, check_parameters(notebook, settings)))
    return work


def is_done(unit: Unit) -> bool:
    """Whether the unit ran from the same inputs, and all it wrote is still there, unchanged."""
    path = unit.executed.with_suffix(".json")
    if not path.is_file():
        return False
    try:
        stamp = typed_as(_Stamp, read_json(path, REPEATED), str(path), REPEATED)
    except BadFile as error:
        print(f"note: {error}", file=sys.stderr, flush=True)
        return False
    if (stamp["inputs"], stamp["records"]) != (_inputs(unit), _records(unit)):
        return False
    outputs = {paths.OUT / name: known for name, known in stamp["outputs"].items()}
    return all(path.is_file() and sha256(path) == known for path, known in outputs.items())


def _inputs(unit: Unit) -> str:
    """A hash of all that decides what a unit shows, but for records that notebooks write: code, parameters, the
    checkpoints and shipped weights it would evaluate, and records that commands write.
    """
    parts = [cell.source for cell in read_notebook(unit.notebook).cells if cell.cell_type == "code"]
    parts.append(json.dumps(unit.parameters, sort_keys=True))
    files = [path for kind in ("*.py", "*.txt", "*.mplstyle") for path in sorted(paths.PACKAGE.rglob(kind))]
    parts.append(decisive_text(unit.preset))
    files += sorted(paths.PAPER.glob("*.csv"))
    if unit.notebook in SHOWS:
        files += sorted((paths.RUNS / unit.preset).glob("*/checkpoint.json"))
        files += sorted(paths.WEIGHTS.glob(f"{unit.preset}-*.json"))
    if unit.notebook != TRAIN:
        for measured in ("schemes/*.json", "benchmark/*.json", f"{unit.preset}/timing-*.json"):
            files += sorted(paths.RESULTS.glob(measured))
    return _hash(parts + [sha256(file) for file in files])


def _records(unit: Unit) -> str:
    """A hash of the records that a unit shows, which it may have written just now."""
    folders = dict.fromkeys((paths.COMMITTED_RESULTS, paths.RESULTS))
    patterns = [f"{unit.preset}/{stage}-*.json" for stage in SHOWS.get(unit.notebook, ())]
    files = [file for folder in folders for pattern in patterns for file in sorted(folder.glob(pattern))]
    return _hash([sha256(file) for file in files])


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _state(unit: Unit) -> dict[Path, int]:
    """Time of last change of everything a unit may write."""
    return dict(_written(unit))


def _written(unit: Unit) -> Iterator[tuple[Path, int]]:
    results, figures, runs = (folder / unit.preset for folder in (paths.RESULTS, paths.FIGURES, paths.RUNS))
    roots = [(results, "*.json"), (figures, "*"), (runs, "*/checkpoint.json")]
    if unit.notebook == TRAIN:  # beside others, whose files are theirs
        name = unit.parameters["name"]
        roots = [(results, f"training-{name}.json"), (runs, f"{name}/checkpoint.json")]
    for folder, pattern in roots:
        for path in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat().st_mtime_ns
