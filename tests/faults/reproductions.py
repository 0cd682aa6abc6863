"""Reproductions killed at random moments and started again: python -m faults.reproductions KILLS SEED.

The preset is as small as one can be and has all that a reproduction has: trainings side by side, each in a kernel below
a process of its own, and then another notebook. SIGKILL hits the process that was started, or all of its group; kernels
are in sessions of their own, and must find out by themselves.
"""

import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from faults.subreaper import subreaper

PRESET = "small"
CONTENT = """
training: {layers: [1, 1, 1], width: 4, branch_width: 1, epochs: 8, warmup_epochs: 1, evaluate_every: 4}
runs:
  coded-s0: {}
  plain-s0: {coded: false}
notebooks: [03_train, 04_accuracy]
"""
MOMENTS = (TRAININGS, INSIDE, BETWEEN) = ("in trainings side by side", "inside a notebook", "between notebooks")
TRAIN, LATER = "03_train", "04_accuracy"
GRACE = 20.0  # seconds until what was started must have ended; a kernel looks for its parent every second
# Of a record what differs from one time to the next, however nothing happened.
OF_THE_TIME = {"seal", "started", "seconds", "environment", "images_per_second"}


@dataclasses.dataclass(frozen=True)
class Kill:
    """When a reproduction is killed: so many seconds after a line of its log; and whether with its group.

    The line says of a unit that it begins ("…") or has ended ("s").
    """

    moment: str
    unit: str
    begins: bool
    seconds: float
    group: bool

    def is_heard(self, line: str) -> bool:
        return line.startswith(self.unit) and line.rstrip().endswith("…") == self.begins


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a kill left, and what came of the rerun.

    Attributes:
        killed: the reproduction had not ended before.
        orphans: command lines of processes that lived on.
        repeated: units that were done before and were done again, or were not and were skipped.
        different: records that are not the undisturbed ones'.
        failed: what the rerun said when it did not come to its end.
    """

    killed: bool
    orphans: list[str]
    repeated: list[str]
    different: list[str]
    failed: str


def main(kills: int, seed: int) -> dict[str, int]:
    """Counts: kills by moment, and those after which nothing was left, repeated, lost or different.

    And of two at once in two folders how many ended with the records of one that was alone.
    """
    counts = dict.fromkeys((*MOMENTS, "too late", "no orphan", "nothing repeated", "same records"), 0)
    with tempfile.TemporaryDirectory() as folder, subreaper():
        undisturbed, lasted = never_killed(Path(folder))
        for i, kill in enumerate(draw(kills, seed, lasted)):
            outcome = try_one(Path(folder) / str(i), kill, undisturbed)
            counts[kill.moment if outcome.killed else "too late"] += 1
            counts["no orphan"] += not outcome.orphans
            counts["nothing repeated"] += not outcome.repeated
            counts["same records"] += not outcome.different and not outcome.failed
            print(kill, outcome, file=sys.stderr, flush=True)
        beside = [Path(folder) / name for name in ("one", "other")]
        ends = [process.wait() for process in [start(out, subprocess.DEVNULL) for out in beside]]
        counts["beside"] = len(beside)
        counts["beside, same"] = sum(not e and records(b) == undisturbed for e, b in zip(ends, beside, strict=True))
    return counts


def never_killed(folder: Path) -> tuple[dict[str, object], dict[str, float]]:
    """The records, and how long the trainings and each notebook took."""
    process, begun, lasted = start(folder / "never"), {}, {}
    for line in process.stdout:
        unit, now = part(line), time.monotonic()
        if line.endswith("…\n"):
            begun.setdefault(unit, now)
        elif unit in begun:
            lasted[unit] = now - begun[unit]
    if process.wait():
        raise RuntimeError("the undisturbed reproduction failed")
    return records(folder / "never"), lasted


def part(line: str) -> str:
    """The notebook that a line of the log is of."""
    return re.match(r"[^\s-]*", line).group()


def draw(kills: int, seed: int, lasted: dict[str, float]) -> Iterator[Kill]:
    """Every moment in turn, and every other kill of the whole group."""
    rng = random.Random(seed)
    for i in range(kills):
        moment, group = MOMENTS[i % len(MOMENTS)], i // len(MOMENTS) % 2 == 1
        if moment == BETWEEN:  # the stamp is written before the line
            yield Kill(moment, rng.choice((TRAIN, LATER)), False, rng.uniform(0, 0.05), group)
        else:
            unit = TRAIN if moment == TRAININGS else LATER
            yield Kill(moment, unit, True, rng.uniform(0, lasted[unit]), group)


def try_one(out: Path, kill: Kill, undisturbed: dict[str, object]) -> Outcome:
    """Start a reproduction in a folder, kill it, start it again."""
    process = start(out)
    for line in process.stdout:
        if kill.is_heard(line):
            break
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(kill.seconds)
    killed = process.poll() is None
    if killed and kill.group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    orphans = left_of(out)
    process.stdout.close()  # not before: what lives on would die of it
    stamped = {path.stem for path in (out / "data/runs" / PRESET / "notebooks").glob("*.json")}
    again = start(out)
    said = again.stdout.read()
    status = again.wait()
    skipped = set(re.findall(r"^(\S+) +done before$", said, re.MULTILINE))
    orphans += left_of(out)
    found = records(out)
    names = sorted(found.keys() | undisturbed.keys())
    different = [name for name in names if found.get(name) != undisturbed.get(name)]
    return Outcome(killed, orphans, sorted(stamped ^ skipped), different, said if status else "")


def start(out: Path, said: int = subprocess.PIPE) -> subprocess.Popen:
    """A reproduction into a folder, in a session of its own: its group has no other process in it."""
    out.mkdir(exist_ok=True)
    (out / f"{PRESET}.yaml").write_text(CONTENT, encoding="utf-8")
    environment = os.environ | {"CODED_RESNEXT_OUT": str(out), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "coded_resnext", "reproduce", str(out / f"{PRESET}.yaml")]
    return subprocess.Popen(
        command, env=environment, stdout=said, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def left_of(out: Path) -> list[str]:
    """Processes that write into a folder and do not end; they are killed."""
    end = time.monotonic() + GRACE
    while (there := list(processes_of(out))) and time.monotonic() < end:
        time.sleep(0.1)
    names = []
    for process in there:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(" ".join(process.cmdline())[:100])
            process.kill()
    return names


def processes_of(out: Path) -> Iterator[psutil.Process]:
    """By what they inherited; a zombie has nothing any more."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("CODED_RESNEXT_OUT") == str(out):
                yield process


def records(out: Path) -> dict[str, object]:
    """All records of a folder, without what is of the time."""
    folder = out / "data/results"
    return {str(path.relative_to(folder)): timeless(json.loads(path.read_text())) for path in folder.rglob("*.json")}


def timeless(content: object) -> object:
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if key not in OF_THE_TIME}
    return [timeless(value) for value in content] if isinstance(content, list) else content


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
