"""Several trainings side by side, each a process of its own, resumable like any other.

Small networks leave most of a CPU's cores idle, and keep a large GPU waiting. Stopping stops them all; starting them
again goes on.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from ...errors import CodedResNeXtError, RunsFailed
from ..records.presets import variant

ROW = re.compile(r"\s*(\d+)/(\d+)\s.*\s(\d+)\s+(\d+ (?:s|min))$")  # a line of the training log: epoch, speed, time left


def train_together(preset: str, runs: Sequence[str], changes: Mapping[str, Any], suffix: str) -> None:
    """Train variants of listed runs at once, and say after each one's second epoch here how long it will take.

    Args:
        preset: whose runs.
        runs: listed names; a variant is called <name>-<suffix>, with the seed at the end as in "coded-60-epochs-s0",
            or just <name> without a suffix.
        changes: parameters that all variants have otherwise than the listed runs.
    Raises:
        ValueError: a run that the preset does not list.
        RunsFailed: naming those that stopped with an error; the others were finished.
    """
    import torch  # here, since it takes seconds and `side_by_side` has no use for it

    from .train import train

    names = {run: variant_name(run, suffix) for run in runs}
    wanted = {name: variant(preset, run, name, changes) for run, name in names.items()}
    if len(wanted) > 1 and torch.cuda.is_available():
        print(f"{len(wanted)} runs share one CUDA card and take turns on it: each is slower than alone", flush=True)
    failed = side_by_side({name: functools.partial(train, values) for name, values in wanted.items()}, len(wanted))
    for error in failed.values():
        if not isinstance(error, CodedResNeXtError | OSError):
            raise error
    if failed:
        reasons = "\n".join(f"{name}: {error}" for name, error in failed.items())
        raise RunsFailed(f"{' and '.join(failed)} stopped with an error; start again to go on\n{reasons}")


def variant_name(run: str, suffix: str) -> str:
    """coded-s0 with the suffix 60-epochs is coded-60-epochs-s0."""
    kind, dash, seed = run.rpartition("-")
    return f"{kind}-{suffix}{dash}{seed}" if suffix else run


def side_by_side(jobs: Mapping[str, Callable[[], object]], at_once: int) -> dict[str, Exception]:
    """Run jobs as processes that share the cores, their log (stderr) line by line under their names.

    Args:
        jobs: by name; functions that can be pickled.
        at_once: how many run at a time.
    Returns:
        The errors of those that failed, when all have come to their end. A process that is killed fails alone.
    """
    width, threads = max(map(len, jobs)), max(1, (os.cpu_count() or 1) // at_once)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a KeyboardInterrupt, as Ctrl-C is
    with ThreadPoolExecutor(at_once) as pool:
        try:
            ends = {name: pool.submit(_in_process, name.ljust(width), job, threads) for name, job in jobs.items()}
            errors = {name: end.exception() for name, end in ends.items()}
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)
    return {name: error for name, error in errors.items() if error is not None}


def _in_process(name: str, job: Callable[[], object], threads: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(threads,)) as pool:
        pool.submit(_named, name, job).result()


def _begin(threads: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # torch reads it when it is imported; kernels inherit it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process would go on alone when the one that started it was killed, and then wait for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _named(name: str, job: Callable[[], object]) -> None:
    with contextlib.redirect_stderr(Log(name)):
        job()


class Log(io.TextIOBase):
    """A job's stderr: its name before every line, and after its second row of a training log what is left of it.

    The first epoch here has compilation in it, some 45 to 75 s on a GPU, which no other has.

    Args:
        name: of the job.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = ""  # of a line; print() writes its end by itself
        self.rows = 0

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            print(f"{self.name}  {line}", file=sys.__stderr__, flush=True)
            if row := ROW.match(line):
                self._project(*row.groups())
        return len(text)

    def _project(self, epoch: str, epochs: str, speed: str, left: str) -> None:
        self.rows += 1
        if self.rows == 2 and epoch != epochs:
            print(f"{self.name}  {int(epochs) - int(epoch)} epochs to go at {speed} images/s: {left}", flush=True)
