"""Images/s of training steps when many processes train side by side, and of one alone with its kernels counted.

    python rates.py PROCESSES SECONDS PRESET/RUN ...

The first processes compile, one run each; the others take theirs from the compiler's cache. All begin together and are
counted for so many seconds. GPU_GRAPHS=yes: with CUDA graphs; one more process then says the last run's loss without.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import time
import traceback

import torch
from accelerate import Accelerator
from shared import same_forms

from coded_resnext.data.sets import CONSTANTS, ImageSet
from coded_resnext.network.devices import full_float32, tuned_convolutions
from coded_resnext.network.model import CodedResNeXt
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training.epochs import Epochs
from coded_resnext.training.ingredients import choose_schemes, network_options

FIRST_STEPS = 6  # compile, warm up and record a graph
WAIT = 170.0  # seconds for a process that does not come


def say(text: str) -> None:
    print(text, flush=True)


class Training:
    """The training steps of a preset's run as `fit` makes them, on random images."""

    def __init__(self, preset: str, run: str) -> None:
        parameters = load_preset(preset).runs[run]
        self.parameters = dataclasses.replace(parameters, compile=not os.environ.get("GPU_TINY"))
        classes = 100 if parameters.data == "cifar100" else 10
        pixels = torch.randint(0, 256, (5000, 3, 32, 32), dtype=torch.uint8)
        labels, names = torch.arange(5000) % classes, tuple(map(str, range(classes)))
        images = ImageSet(parameters.data, labels, names, *CONSTANTS[parameters.data], 32, pixels)
        torch.manual_seed(0)
        model = CodedResNeXt(**network_options(parameters, images), schemes=choose_schemes(parameters, images))
        accelerator = Accelerator(cpu=not torch.cuda.is_available())
        model.to(accelerator.device, memory_format=torch.channels_last).train()
        self.optimiser = torch.optim.SGD(model.parameters(), 0.01, 0.9, nesterov=True)
        self.runner = Epochs(self.parameters, model, self.optimiser, accelerator, images, range(10**6))

    def steps(self, count: int) -> float:
        """The mean cross entropy of so many steps."""
        total = torch.zeros(3, device=self.runner.device)
        for _ in range(count):
            total += self.runner._backward(*next(self.runner.batches))
            self.optimiser.step()
            self.optimiser.zero_grad()
        return float(total[0]) / count / self.parameters.batch_size  # waits for the device

    def rate(self, seconds: float) -> tuple[float, float]:
        """Images/s, and milliseconds of this process's CPU time a step."""
        begun, busy, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begun < seconds:
            self.steps(10)
            count += 10
        busy = 1000 * (time.process_time() - busy) / count
        return count * self.parameters.batch_size / (time.perf_counter() - begun), busy


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
    training = Training(*name.split("/"))
    loss = training.steps(1 if os.environ.get("GPU_TINY") else FIRST_STEPS)
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
    GRAPHS = bool(os.environ.get("GPU_GRAPHS"))
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
