"""Train and evaluate many small runs on one card, several processes at a time, each of which takes what is next.

    python pool.py PROCESSES [-p KEY=VALUE ...] < LINES

A line is `train PRESET RUN`, which makes the records that take seconds, or `evaluate PRESET RUN`, which makes all of
them, of the weights that are shipped where nothing was trained; both file the run's weights. Everything is resumable:
the same lines go on where a pool was stopped. The processes are forked: they share the images, which are read once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback

import torch
import yaml
from shared import LIGHT, STAGES_HERE, evaluate_stages, read_images, same_forms

from coded_resnext.reproduction.measure.train import train
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training.parameters import TrainingParameters, build, to_plain

REHEARSAL = "-rehearsal"


def say(text: str) -> None:
    print(f"{time.perf_counter() - BEGUN:5.0f} s  {text}", flush=True)


def do(what: str, preset: str, run: str) -> None:
    """One line of the list."""
    torch._dynamo.reset()
    begun = time.perf_counter()
    if what == "train":
        parameters = {**to_plain(load_preset(preset).runs[run]), **CHANGES}
        if "epochs" in CHANGES:  # a rehearsal: then no run is the preset's own
            run = parameters["name"] = f"{run}{REHEARSAL}"
        record = train(build(TrainingParameters, parameters, run))
        numbers = ", ".join(f"{key} {value:.2f}" for key, value in record["metrics"].items())
        say(f"{preset}/{run}: {numbers}; {time.perf_counter() - begun:.0f} s")
    else:
        trained = f"train {preset} {run.removesuffix(REHEARSAL)}"
        while trained in LINES and not ENDED[LINES.index(trained)]:
            time.sleep(0.5)  # another process is at it
    many = load_preset(preset).data == "cifar100"  # classes, whose paths take minutes
    light = [stage for stage in LIGHT if not (many and stage == "binary")]
    for stage, seconds in evaluate_stages(preset, run, light if what == "train" else STAGES_HERE):
        say(f"{preset}/{run} {stage}: {seconds:.1f} s")


def work(number: int) -> None:
    """Take lines until there are none; a failed one is said, and another process goes on in this one's place."""
    log = os.open(f"{LOGS}/worker-{number}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 2)  # the tables of epochs
    while True:
        with NEXT.get_lock():
            i = NEXT.value
            NEXT.value += 1
        if i >= len(LINES):
            return
        try:
            do(*LINES[i].split())
        except Exception:
            say(f"{LINES[i]} failed: {traceback.format_exc()}")
            sys.exit(1)
        finally:
            ENDED[i] = True


if __name__ == "__main__":
    BEGUN = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processes", type=int)
    parser.add_argument("-p", action="append", default=[])
    asked = parser.parse_args()
    CHANGES = {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in asked.p)}
    LINES = [line for line in sys.stdin.read().splitlines() if line and line[0] != "#"]
    LOGS = os.environ.get("GPU_LOGS", ".")
    torch._inductor.config.triton.cudagraphs = bool(os.environ.get("GPU_GRAPHS"))
    torch.set_num_threads(1)  # a process that has computed on several must not be forked
    read_images({load_preset(line.split()[1]).data for line in LINES})
    same_forms()
    say(f"{len(LINES)} lines, images read")
    context = multiprocessing.get_context("fork")
    NEXT, ENDED = context.Value("i", 0), context.Array("b", len(LINES))
    failed, workers = 0, []
    for i in range(asked.processes):
        workers.append(context.Process(target=work, args=(i,)))
        workers[-1].start()
    while workers:
        time.sleep(0.2)
        for i, worker in enumerate(workers):
            if worker.exitcode not in (None, 0) and failed < len(LINES):
                failed += 1
                workers[i] = context.Process(target=work, args=(100 + failed,))
                workers[i].start()
        workers = [worker for worker in workers if worker.exitcode is None]
    say(f"ended, {failed} failed")
    sys.exit(failed > 0)
