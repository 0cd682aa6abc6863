"""Several runs side by side on one device: small networks leave most of a large card idle.

Each run is a process of its own, resumable like any other. Stopping this stops them all, and starting it again goes on.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ... import paths
from ...errors import Refused, RunsFailed, unknown
from ..records.presets import load_preset

ROW = re.compile(r"\s*(\d+)/(\d+)\s.*\s(\d+)\s+(\d+ (?:s|min))$")  # a line of the training log: epoch, speed, time left


def train_together(preset: str, runs: Sequence[str], changes: Mapping[str, Any], suffix: str) -> None:
    """Train variants of listed runs at once, and say after each one's first epoch here how long it will take.

    Args:
        preset: whose runs.
        runs: listed names; a variant is called <name>-<suffix>, with the seed at the end as in "coded-60-epochs-s0",
            or just <name> without a suffix.
        changes: parameters that all variants have otherwise than the listed runs.
    Raises:
        ValueError: a run that the preset does not list.
        RunsFailed: naming those that stopped with an error; the others were finished.
    """
    listed = load_preset(preset).runs
    for run in runs:
        if run not in listed:
            raise Refused(unknown("run", run, listed, f"preset {preset}"))
    names = {run: variant_name(run, suffix) for run in runs}
    width = max(map(len, names.values()))
    children = {name: _start(preset, name, run, changes) for run, name in names.items()}
    readers = [
        threading.Thread(target=_follow, args=(name.ljust(width), child.stderr)) for name, child in children.items()
    ]
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for reader in readers:
            reader.start()
        for child in children.values():
            child.wait()
    except KeyboardInterrupt:
        for child in children.values():
            child.terminate()
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        for reader in readers:
            reader.join()
    if failed := [name for name, child in children.items() if child.returncode]:
        raise RunsFailed(f"{' and '.join(failed)} stopped with an error, see above; start again to go on")


def variant_name(run: str, suffix: str) -> str:
    """coded-s0 with the suffix 60-epochs is coded-60-epochs-s0."""
    kind, dash, seed = run.rpartition("-")
    return f"{kind}-{suffix}{dash}{seed}" if suffix else run


def _start(preset: str, name: str, like: str, changes: Mapping[str, Any]) -> subprocess.Popen[str]:
    # As JSON, which YAML reads as the same values: 1e-05 without quotes would come back as text, and '' as nothing.
    options = [item for key, value in changes.items() for item in ("-p", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", paths.PACKAGE.name, "train", preset, name, "--like", like, *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _follow(name: str, lines: Any) -> None:
    projected = False
    for line in lines:
        print(f"{name}  {line.rstrip()}", file=sys.stderr, flush=True)
        row = ROW.match(line)
        if row and not projected:
            projected = True
            epoch, epochs, speed, left = row.groups()
            print(f"{name}  {int(epochs) - int(epoch)} epochs to go at {speed} images/s: {left}", flush=True)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
