"""What a card can do for this network, in a minute or two.

    python probe.py machine [--tiny]           ceilings, forms of the 3x3 convolution, agreement with float64, loader
    python probe.py step PRESET RUN [--tiny]   a training step as `fit` makes it: time, images/s, memory, profile

Everything is printed and written to $OUT/probe-*.json as it is found. --tiny is a rehearsal on a CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from filelock import FileLock

from coded_resnext import CodingLoss, coded_resnext29_10x11d, load_scheme
from coded_resnext.data.batches import Augmentation, train_batches
from coded_resnext.data.sets import CONSTANTS, ImageSet
from coded_resnext.network.block import CodedBottleneck
from coded_resnext.network.cost import block_sizes
from coded_resnext.network.devices import describe_device, full_float32, tuned_convolutions
from coded_resnext.network.model import CodedResNeXt
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.reproduction.records.records import environment
from coded_resnext.training.epochs import Epochs
from coded_resnext.training.ingredients import choose_schemes, network_options

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("what", choices=("machine", "step"))
parser.add_argument("preset", nargs="?")
parser.add_argument("run", nargs="?")
parser.add_argument("--tiny", action="store_true")
asked = parser.parse_args()
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
BATCH = 4 if asked.tiny else 512
NAME = "-".join(filter(None, (asked.what, asked.run)))
FOLDER = Path(os.environ.get("OUT", "."))
found: dict[str, Any] = {}


def say(key: str, value: object) -> None:
    found[key] = value
    print(f"{key}: {value}", flush=True)
    (FOLDER / f"probe-{NAME}.json").write_text(json.dumps(found, indent=1))


def network(**options: float) -> CodedResNeXt:
    """The paper's network for CIFAR-10, or one for a rehearsal."""
    if not asked.tiny:
        return coded_resnext29_10x11d(**options)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    return CodedResNeXt([1, 2, 2], 10, 10, 1, width=4, stem="3x3/2", schemes=schemes, **options)


def milliseconds(step: Callable[[], object], repeats: int = 12) -> float:
    """Median of a step, each timed on its own behind a warm-up."""
    times = []
    for i in range(-3, 2 if asked.tiny else repeats):
        begun = time.perf_counter()
        step()
        if GPU:
            torch.cuda.synchronize()
        if i >= 0:
            times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def ceilings() -> None:
    size = 2**20 if asked.tiny else 2**30
    a, b = torch.randn(size // 4, device=DEVICE), torch.empty(size // 4, device=DEVICE)
    say("copy, TB/s read and written", round(2 * size / milliseconds(lambda: b.copy_(a)) / 1e9, 3))
    m = 256 if asked.tiny else 8192
    p, q = (torch.randn(m, m, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    say("bfloat16 product, TFLOP/s", round(2 * m**3 / milliseconds(lambda: p @ q) / 1e9, 1))


def convolution(channels: int, groups: int, size: int, stride: int, dtype: torch.dtype) -> Callable[[], object]:
    """conv2 of a block, forward and backward, channels last."""
    x = torch.randn(BATCH, channels, size, size, device=DEVICE, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(channels, channels // groups, 3, 3, device=DEVICE, dtype=dtype).requires_grad_()

    def run() -> None:
        out = F.conv2d(x, weight, stride=stride, padding=1, groups=groups)
        torch.autograd.grad(out, (x, weight), out.detach())

    return run


def forms() -> None:
    """Microseconds an image of all conv2 of the network: grouped, dense, and dense padded to a multiple of 8."""
    blocks = [
        (block.conv2.weight.shape[0], before, block.conv2.stride[0])
        for _, block, before, _ in block_sizes(network(), 32)
    ]
    for tuned in (False, True):
        torch.backends.cudnn.benchmark = tuned
        for form, groups, multiple in (("grouped", 10, 1), ("dense", 1, 1), ("dense padded", 1, 8)):
            times = {}
            for shape in dict.fromkeys(blocks):
                channels = shape[0] + -shape[0] % multiple
                try:
                    times[shape] = milliseconds(convolution(channels, groups, *shape[1:], torch.bfloat16))
                except RuntimeError as error:  # no engine, or out of memory
                    say(f"conv2 {form}, tuned {tuned}", f"failed: {str(error)[:100]}")
                    break
            else:
                whole = round(1e3 * sum(times[shape] for shape in blocks) / BATCH, 2)
                rows = [round(value, 3) for value in times.values()]
                say(f"conv2 {form}, tuned {tuned}", {"ms": rows, "all blocks, us an image": whole})


def answers(device: torch.device, dtype: torch.dtype, dense: bool, autocast: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = network(drop_branch=0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)  # a block's last starts at 0 and would hide its branches
        if isinstance(module, CodedBottleneck):
            module.dense = dense
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8, device=device)
    model.to(device, dtype, memory_format=torch.channels_last).eval()  # statistics of 8 images amplify every rounding
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        logits, energies = model(images.to(device, dtype), return_energies=True)
    coding = CodingLoss(model.schemes).to(device)(energies, labels)
    (F.cross_entropy(logits.to(torch.float64), labels) + 6 * coding).backward()
    results = {
        "logits": logits, "energies": list(energies.values())[-1],
        "conv2's gradient": model.layer2[1].conv2.weight.grad, "conv3's gradient": model.layer3[1].conv3.weight.grad,
    }  # fmt: skip
    return {key: value.detach().double().cpu() for key, value in results.items()}


def agreement() -> None:
    expected = answers(torch.device("cpu"), torch.float64, dense=False)
    for name, *how in (
        ("float32 grouped", torch.float32, False), ("float32 dense", torch.float32, True),
        ("bfloat16 grouped", torch.float32, False, True), ("bfloat16 dense", torch.float32, True, True),
    ):  # fmt: skip
        with full_float32():
            got = answers(DEVICE, *how)
        errors = {key: float((got[key] - expected[key]).norm() / expected[key].norm()) for key in expected}
        say(f"relative error, {name}", {key: f"{value:.1e}" for key, value in errors.items()})


def random_images(count: int) -> ImageSet:
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    return ImageSet("cifar10", torch.arange(count) % 10, tuple("0123456789"), *CONSTANTS["cifar10"], 32, pixels)


def loader() -> None:
    images = random_images(64 if asked.tiny else 20_000)
    for workers in (2,) if asked.tiny else (6, 12):
        batches = train_batches(
            images, Augmentation("rand-m4-n3", 4, True), min(BATCH, 16 if asked.tiny else 512), seed=0,
            epochs=range(1), device=DEVICE, workers=workers,
        )  # fmt: skip
        begun = time.perf_counter()
        count = sum(len(labels) for _, labels in batches)
        say(f"loader, {workers} workers, images/s", round(count / (time.perf_counter() - begun)))


@tuned_convolutions()
def evaluation() -> None:
    model = network().to(DEVICE, memory_format=torch.channels_last).eval()
    x = torch.randn(min(500, 10 * BATCH), 3, 32, 32, device=DEVICE).contiguous(memory_format=torch.channels_last)
    for dense in (False, True):
        for name in model.block_names:
            model.get_submodule(name).dense = dense
        for autocast in (False, True):
            how = torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast)
            with torch.inference_mode(), full_float32(), how:
                rate = round(1e3 * len(x) / milliseconds(lambda: model(x), 5))
            precision, form = "bfloat16" if autocast else "float32", "dense" if dense else "grouped"
            say(f"evaluation, {precision} {form}, images/s", rate)


@full_float32()
@tuned_convolutions()
def step() -> None:
    """The network of a run, compiled as `fit` compiles it; timed while no other process is."""
    parameters = load_preset(asked.preset).runs[asked.run]
    small = {"layers": (1, 1, 1), "width": 8, "branch_width": 1, "compile": False, "batch_size": 8, "norm_batch": 8}
    small = small if asked.tiny else {}
    parameters = dataclasses.replace(parameters, workers=0, randaugment="", **small)
    images = random_images(4 * parameters.batch_size)
    torch.manual_seed(0)
    model = CodedResNeXt(**network_options(parameters, images), schemes=choose_schemes(parameters, images))
    accelerator = Accelerator(cpu=not GPU)
    model.to(accelerator.device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, 0.9, nesterov=True)
    epochs = Epochs(parameters, model, optimiser, accelerator, images, range(10**6))
    say("device", describe_device(DEVICE, epochs.precision) + epochs.form_in_words)
    model.train()

    def one() -> None:
        epochs._backward(*next(epochs.batches))
        optimiser.step()
        optimiser.zero_grad()

    begun = time.perf_counter()
    one()
    say("first step, s", round(time.perf_counter() - begun, 1))
    with FileLock(FOLDER / "probe.lock"):
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        took = milliseconds(one, 30)
        memory = torch.cuda.max_memory_allocated() / 1e9 if GPU else 0.0
        rate = 1e3 * parameters.batch_size / took
        say("step", {"ms": round(took, 3), "images/s": round(rate), "GB": round(memory, 2)})
        with torch.profiler.profile() as trace:
            one()
            if GPU:
                torch.cuda.synchronize()
        order = "cuda_time_total" if GPU else "cpu_time_total"
        table = trace.key_averages().table(sort_by=order, row_limit=60, max_name_column_width=110)
        (FOLDER / f"profile-{asked.run}.txt").write_text(table)


if asked.what == "step":
    step()
else:
    with contextlib.suppress(OSError):
        shell = "nvidia-smi; lscpu | grep -E 'Model name|Thread|^CPU'; df -h /dev/shm | tail -1; free -g | sed -n 2p"
        print(subprocess.run(shell, shell=True, capture_output=True, text=True).stdout)
    say("started", datetime.now(UTC).isoformat(timespec="seconds"))
    say("environment", environment(describe_device(DEVICE, torch.bfloat16)))
    say("versions", [torch.__version__, torch.version.cuda, torch.backends.cudnn.version()])
    for part in (ceilings, forms, agreement, evaluation, loader):
        begun = time.perf_counter()
        part()
        print(f"({part.__name__}: {time.perf_counter() - begun:.1f} s)", flush=True)
