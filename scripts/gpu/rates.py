"""Images/s of training steps when many processes train side by side, and of one alone with its kernels counted.

    python rates.py PROCESSES SECONDS PRESET/RUN ...

The first processes compile, one run each; the others take theirs from the compiler's cache. All begin together and are
counted for so many seconds. GPU_GRAPHS=yes: with CUDA graphs; one more process then says the last run's loss without.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback

import torch
from shared import same_forms
from steps import Training

from coded_resnext.network.devices import full_float32, tuned_convolutions

FIRST_STEPS = 6  # compile, warm up and record a graph
WAIT = 170.0  # seconds for a process that does not come


def say(text: str) -> None:
    print(text, flush=True)


@full_float32()
@tuned_convolutions()
def work(number: int) -> None:
    """One process: compile, begin with the others, count; the first one then goes on alone."""
    graphs = GRAPHS and number < PROCESSES
    torch._inductor.config.triton.cudagraphs = graphs
    name = RUNS[number % len(RUNS)] if number < PROCESSES else RUNS[-1]
    if len(RUNS) <= number < PROCESSES:
        COMPILED.wait(WAIT)
    begun = time.perf_counter()
    training = Training(*name.split("/"), compiled=not TINY)
    loss = training.steps(1 if TINY else FIRST_STEPS)
    say(f"{name}{' graphs' if graphs else ''}: ready in {time.perf_counter() - begun:.0f} s, loss {loss:.4f}")
    if number >= PROCESSES:
        return
    with LEFT.get_lock():
        LEFT.value -= number < len(RUNS)
        if not LEFT.value:
            COMPILED.set()
    TOGETHER.wait(WAIT)
    rate, busy = training.rate(SECONDS)
    say(f"{name}: {rate:.0f} images/s, {busy:.1f} ms of CPU time a step")
    with SUM.get_lock():
        SUM.value += rate
    TOGETHER.wait(WAIT)
    if number:
        return
    say(f"=== {'graphs' if GRAPHS else 'compile'}: {PROCESSES} processes, {SUM.value:.0f} images/s together")
    rate, busy = training.rate(SECONDS)
    say(f"=== alone: {name}, {rate:.0f} images/s, {busy:.1f} ms of CPU time a step")
    if torch.cuda.is_available():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            training.steps(10)
        rows = profile.key_averages()
        spent, count = sum(row.self_device_time_total for row in rows) / 1e4, sum(row.count for row in rows) / 10
        say(f"=== a step's kernels: {spent:.2f} ms in {count:.0f}")
        say(rows.table(sort_by="self_device_time_total", row_limit=14, max_name_column_width=60))


def guarded(number: int) -> None:
    """`work`; who fails lets nobody wait."""
    try:
        work(number)
    except Exception:
        traceback.print_exc()
        COMPILED.set()
        TOGETHER.abort()
        sys.exit(1)


if __name__ == "__main__":
    PROCESSES, SECONDS, RUNS = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    GRAPHS, TINY = bool(os.environ.get("GPU_GRAPHS")), bool(os.environ.get("GPU_TINY"))
    torch.set_num_threads(1)  # a process that has computed on several must not be forked
    same_forms()
    context = multiprocessing.get_context("fork")
    COMPILED, TOGETHER = context.Event(), context.Barrier(PROCESSES)
    LEFT, SUM = context.Value("i", min(PROCESSES, len(RUNS))), context.Value("d", 0.0)
    workers = [context.Process(target=guarded, args=(i,)) for i in range(PROCESSES + GRAPHS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(any(worker.exitcode for worker in workers))
