"""Trainings killed at random moments and started again, and two at once: python -m faults.kills KILLS PAIRS SEED.

SIGKILL cannot be caught: the process has no chance to tidy up. Each training is forked from this interpreter, which has
imported torch and not used it. Every other kill comes while a checkpoint is being written.
"""

import dataclasses
import json
import os
import random
import select
import signal
import sys
import time

import sklearn.model_selection  # noqa: F401 before the fork, as the next two: else every process imports them
import torch._dynamo
import torch.utils.data

from coded_resnext.data.sets import load_images
from coded_resnext.files import sha256
from coded_resnext.reproduction.measure import train as measure
from coded_resnext.training import checkpoint
from coded_resnext.training import fit as training
from coded_resnext.training.parameters import TrainingParameters

BASE = TrainingParameters(
    layers=(1, 1, 1), width=4, branch_width=1, epochs=6, warmup_epochs=1, batch_size=64, norm_batch=64
)
SAVES = BASE.epochs + 1  # a checkpoint an epoch, and one with the metrics


def start(name: str, told: int) -> int:
    """A training in a process of its own; it tells when it begins and ends to write a checkpoint, a byte each."""
    pid = os.fork()
    if pid:
        return pid
    try:
        save = training.save_checkpoint

        def save_and_tell(*arguments):
            os.write(told, b"(")
            hashed = save(*arguments)
            os.write(told, b")")
            return hashed

        training.save_checkpoint = save_and_tell
        measure.train(dataclasses.replace(BASE, name=name))
        os._exit(0)
    finally:
        os._exit(1)


def end_of(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def kill_once(name: str, moment: float, writing: int, pipe: tuple[int, int]) -> str:
    """Train, and kill so many seconds later, or after the `writing`-th checkpoint was begun; says what it was doing."""
    pid = start(name, pipe[1])
    for _ in range(2 * writing - 1):  # beginnings and ends
        os.read(pipe[0], 1)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    killed = os.WIFSIGNALED(end_of(pid))
    told = 2 * writing - 1 if writing else 0
    while select.select([pipe[0]], [], [], 0)[0]:
        told += len(os.read(pipe[0], 100))
    return "had ended" if not killed else "writing" if told % 2 else "at work"


def results(name: str) -> list[str]:
    folder = checkpoint.run_folder(BASE.preset, name)
    return [sha256(folder / file) for file in ("model.safetensors", "optimiser.pt")]


def main(kills: int, pairs: int, seed: int) -> dict[str, int]:
    """Counts: kills, what they hit, restarts that ended as undisturbed; pairs of trainings at once that did as well."""
    torch.set_num_threads(1)
    splits = {split: load_images("digits", split) for split in ("train", "test")}  # read once, not by every process
    training.load_images = lambda name, split, image_size, seed: splits[split]
    training.SAVE_EVERY = 0.0  # a checkpoint every epoch
    pipe = os.pipe()
    begun = time.monotonic()
    pid, times = start("never", pipe[1]), []
    for _ in range(2 * SAVES):
        os.read(pipe[0], 1)
        times.append(time.monotonic())
    assert end_of(pid) == 0
    whole, writing = times[-1] - begun, sum(times[1::2]) - sum(times[::2])
    draw = random.Random(seed)
    counts = {"kills": kills, "at work": 0, "writing": 0, "had ended": 0, "same": 0, "pairs": 0, "pairs, same": 0}
    for i in range(kills):
        name = f"killed-{i}"
        if i % 2:
            where = kill_once(name, draw.uniform(0, writing / SAVES), draw.randint(1, SAVES), pipe)
        else:
            where = kill_once(name, draw.uniform(0, whole), 0, pipe)
        counts[where] += 1
        counts["same"] += end_of(start(name, pipe[1])) == 0 and results(name) == results("never")
        while select.select([pipe[0]], [], [], 0)[0]:
            os.read(pipe[0], 100)
    for i in range(pairs):
        name = f"pair-{i}"
        ends = [end_of(pid) for pid in [start(name, pipe[1]), start(name, pipe[1])]]
        counts["pairs"] += 1
        counts["pairs, same"] += 0 in ends and results(name) == results("never")
    return counts


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
