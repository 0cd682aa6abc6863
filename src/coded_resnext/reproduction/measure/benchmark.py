"""What coding costs (section 4, table 4): training steps and memory of coded, plain and written-out networks.

Steps alternate between the networks in one process, since machines are shared and drift; what counts are ratios of
medians. Peak memory is the resident set of a fresh process each.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median, quantiles

import torch
import torch.nn.functional as F

from ...network.losses import CodingLoss
from ...network.model import CodedResNeXt, coded_resnext29_10x11d
from ...network.reference import write_out
from ...paths import PACKAGE
from ...training.fit import describe_device
from ..records.records import begin, write_record

KINDS = ("plain", "coded", "written out")
BATCH = 64
WRITTEN_OUT_EVERY = 3  # it takes several times as long: fewer repeats tell enough


def training_step(kind: str, batch: int = BATCH) -> Callable[[], None]:
    """A function that does one training step, forward and backward, of a whole ResNeXt-29 (10×11d) in float32."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: CodedResNeXt = coded_resnext29_10x11d(coded=kind != "plain")
    if kind == "written out":
        write_out(model)
    model.to(device, memory_format=torch.channels_last).train()
    coding_loss = CodingLoss(model.schemes).to(device)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, 0.9, nesterov=True)
    images = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), device=device)

    def step() -> None:
        logits, energies = model(images, return_energies=True)
        (F.cross_entropy(logits, labels) + 6 * coding_loss(energies, labels)).backward()
        optimiser.step()
        optimiser.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def time_steps(rounds: int) -> dict[str, list[float]]:
    """Seconds of alternating training steps, by kind."""
    steps = {kind: training_step(kind) for kind in KINDS}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for step in steps.values():
        step()  # the first one also chooses kernels and allocates
    for i in range(rounds):
        for kind, step in steps.items():
            if kind == "written out" and i % WRITTEN_OUT_EVERY:
                continue
            begun = time.perf_counter()
            step()
            seconds[kind].append(time.perf_counter() - begun)
    return seconds


def peak_memory(kind: str) -> float:
    """Most memory that a fresh process with two training steps needs, MB: of the GPU, else its resident set."""
    command = [sys.executable, "-c", f"from {PACKAGE.name}.reproduction.measure.benchmark import report_peak; report_peak({kind!r})"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report_peak(kind: str) -> None:
    """Do two training steps and print what `peak_memory` returns."""
    step = training_step(kind)
    step()
    step()
    if torch.cuda.is_available():
        print(torch.cuda.max_memory_allocated() / 1e6)
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB, but bytes on macOS
    print(peak / (1e6 if sys.platform == "darwin" else 1e3))


def bench(rounds: int) -> str:
    """Measure, write data/results/benchmark/step-resnext29-10x11d.json, and return a table as text."""
    where = describe_device(torch.device("cuda" if torch.cuda.is_available() else "cpu"), torch.float32)
    beginning = begin(where)
    # Memory first: on Linux a child's peak starts at its parent's, which is small only before it trains itself.
    memory = {kind: peak_memory(kind) for kind in KINDS}
    seconds = time_steps(rounds)
    metrics = {}
    for kind in KINDS[1:]:
        key = kind.replace(" ", "_")
        metrics[f"step_{key}_over_plain"] = median(seconds[kind]) / median(seconds["plain"])
        metrics[f"memory_{key}_over_plain"] = memory[kind] / memory["plain"]
    write_record(
        "benchmark", "step", "resnext29-10x11d",
        parameters={"batch_size": BATCH, "rounds": rounds}, seed=0, checkpoint=None, metrics=metrics,
        beginning=beginning,
        curves=[{"network": kind, "step_seconds": seconds[kind], "peak_megabytes": memory[kind]} for kind in KINDS],
    )  # fmt: skip
    lines = [
        f"ResNeXt-29 (10×11d), batch {BATCH}, training step, {where}",
        f"{'':12} {'ms':>8} {'quartiles':>15} {'x plain':>8} {'peak MB':>8} {'x plain':>8}",
    ]
    plain, plain_memory = median(seconds["plain"]), memory["plain"]
    for kind, values in seconds.items():
        low, middle, high = (1e3 * q for q in quantiles(values, n=4, method="inclusive"))
        lines.append(
            f"{kind:12} {middle:8.0f} {low:7.0f}{high:8.0f} {middle / 1e3 / plain:8.2f} {memory[kind]:8.0f} "
            f"{memory[kind] / plain_memory:8.2f}"
        )
    return "\n".join(lines)
