"""One JSON file a run: what was computed, from what, where and when.

Records are results under version control. They are written to a temporary file and renamed, have sorted keys,
and hold no host name, user name or absolute path.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from ... import paths
from ...descriptions import read_json, to_json, typed_as
from ...errors import BadFile, Refused
from ...files import write_atomically

SCHEMA = 1
# Names the commit of which a copy is an unchanged export. Git is not asked then: the copy may lie in another checkout.
COMMIT = "CODED_RESNEXT_COMMIT"
GENERATED = (  # what the commands rewrite
    "data/results", "data/weights", "figures", "notebooks/*.ipynb", "README.md", "docs/claims", "docs/compute.md",
    "notebooks/presets/*.yaml",  # what of them matters is in a record's parameters
)  # fmt: skip
# What the package requires, see pyproject.toml; an environment has the versions of those that are installed.
PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "scikit-learn", "timm", "accelerate", "huggingface_hub", "safetensors",
    "pyyaml", "filelock", "tqdm",
)  # fmt: skip

Record = Mapping[str, Any]


CODEWORDS = "codewords"  # of a run that has others than the built-in ones: words by their weight, its blocks share them
SHOWN_DROP = 0.5  # percentage points: the target whose exits are shown


class Needed(TypedDict):
    """What every record has."""

    stage: str
    name: str
    parameters: dict[str, Any]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Beginning:
    """When a run began and what it ran on: read then, since the checkout may change before its record is written."""

    started: datetime
    clock: float
    environment: dict[str, Any]

    def on(self, device: str) -> Beginning:
        """The same, of a run that now knows what it runs on."""
        return replace(self, environment={**self.environment, "device": device})

    def elapsed(self) -> float:
        """Seconds since."""
        return time.perf_counter() - self.clock


def begin(device: str = "") -> Beginning:
    """To be called before a run computes anything.

    Args:
        device: what it runs on, in words without a host name; see also `Beginning.on`.
    """
    return Beginning(datetime.now(UTC), time.perf_counter(), environment(device))


def write_record(
    preset: str,
    stage: str,
    name: str,
    *,
    parameters: Mapping[str, Any],
    seed: int | None,
    checkpoint: str | None,
    metrics: Mapping[str, float],
    beginning: Beginning,
    seconds: float | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """Write data/results/<preset>/<stage>-<name>.json and return it as it will be read.

    Args:
        checkpoint: sha256 of the weights that the run made or used.
        metrics: numbers by name; accuracies in percent.
        beginning: of the run, see `begin`.
        seconds: that the run took, when it is not the time since then.
        history: one row an epoch, for training.
        more: what figures need beyond scalars: `curves`, `histograms`, `points`.
    Raises:
        ValueError: a metric that is not a finite number.
    """
    for key, value in metrics.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise Refused(f"metric {key!r} of {stage}-{name} must be a finite number, got {value!r}")
    content = {
        "schema": SCHEMA,
        "stage": stage,
        "name": name,
        "parameters": dict(parameters),
        "seed": seed,
        "checkpoint": checkpoint,
        "metrics": dict(metrics),
        "history": list(history),
        "environment": beginning.environment,
        "started": beginning.started.isoformat(timespec="seconds"),
        "seconds": round(beginning.elapsed() if seconds is None else seconds, 1),
        **more,
    }
    path = record_path(preset, stage, name)
    write_atomically(path, to_json(content).encode())
    return _read(path)


def record_path(preset: str, stage: str, name: str) -> Path:
    """Where a record is written."""
    return paths.RESULTS / preset / f"{stage}-{name}.json"


def read_record(preset: str, stage: str, name: str) -> dict[str, Any] | None:
    """A record of this checkout's own runs, else the committed one, else None.

    Raises:
        ValueError: a file that is no record of this schema.
    """
    for folder in (paths.RESULTS, paths.COMMITTED_RESULTS):
        path = folder / preset / f"{stage}-{name}.json"
        if path.is_file():
            return _read(path)
    return None


def read_stage(preset: str, stage: str) -> list[dict[str, Any]]:
    """All records of one stage, by name: this checkout's own where there are any, else the committed ones."""
    files = {}
    for folder in (paths.COMMITTED_RESULTS, paths.RESULTS):  # own records replace committed ones of the same name
        files.update({path.name: path for path in (folder / preset).glob(f"{stage}-*.json")})
    return [_read(files[name]) for name in sorted(files)]


def metric(record: Mapping[str, Any], key: str) -> float:
    """One number of a record.

    Raises:
        ValueError: naming the record and what it has instead.
    """
    if key not in record["metrics"]:
        there = ", ".join(sorted(record["metrics"]))
        which = f"{record['stage']}-{record['name']}"
        raise Refused(f"record {which} has no metric {key!r}, but {there}: repeat its stage")
    return record["metrics"][key]


def environment(device: str) -> dict[str, Any]:
    """What the numbers may depend on, and nothing about whose machine it was."""
    commit, dirty = os.environ.get(COMMIT), False
    if not commit:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--", ".", *(f":(exclude){folder}" for folder in GENERATED))
        dirty = None if changes is None else bool(changes)
    return {
        "device": device,
        "torch": metadata.version("torch"),
        "packages": _versions(),
        "python": platform.python_version(),
        "commit": commit,
        "dirty": dirty,
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this package is of; None where it is installed elsewhere, or git is not."""
    if not paths.IS_CHECKOUT:
        return None  # the folder it is used in may be another project's
    try:
        done = subprocess.run(["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _read(path: Path) -> dict[str, Any]:
    what = f"record {path.name}"
    content = read_json(path, "remove it and repeat its stage", source=what)
    if (has := content.get("schema")) != SCHEMA:
        raise BadFile(f"{what} has schema {has}, this version reads {SCHEMA}: repeat its stage")
    typed_as(Needed, content, what, "remove it and repeat its stage")
    return content


def piece(record: Record, key: str) -> Any:
    """What a record has beyond scalars: curves, points, histograms.

    Raises:
        ValueError: naming the record that lacks it.
    """
    if key not in record:
        raise Refused(f"record {record['stage']}-{record['name']} has no {key!r}: repeat its stage")
    return record[key]
