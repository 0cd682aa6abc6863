"""Images/s of a run's training steps, as one of many processes on a card: rate.py PRESET RUN FOLDER SECONDS.

Compiles, says so by a file in FOLDER, begins when FOLDER/go is there, and prints its rate. GPU_GRAPHS: CUDA graphs.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from shared import same_forms

from coded_resnext.data.sets import CONSTANTS, ImageSet
from coded_resnext.network.devices import full_float32, tuned_convolutions
from coded_resnext.network.model import CodedResNeXt
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training.epochs import Epochs
from coded_resnext.training.ingredients import choose_schemes, network_options


@full_float32()
@tuned_convolutions()
def main(preset: str, run: str, folder: str, seconds: str) -> None:
    begun = time.perf_counter()
    torch._inductor.config.triton.cudagraphs = bool(os.environ.get("GPU_GRAPHS"))
    same_forms()
    parameters = load_preset(preset).runs[run]
    parameters = dataclasses.replace(parameters, compile=not os.environ.get("GPU_TINY"))
    classes = 100 if parameters.data == "cifar100" else 10
    pixels = torch.randint(0, 256, (5000, 3, 32, 32), dtype=torch.uint8)
    labels, names = torch.arange(5000) % classes, tuple(map(str, range(classes)))
    images = ImageSet(parameters.data, labels, names, *CONSTANTS[parameters.data], 32, pixels)
    torch.manual_seed(0)
    model = CodedResNeXt(**network_options(parameters, images), schemes=choose_schemes(parameters, images))
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    model.to(accelerator.device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), 0.01, 0.9, nesterov=True)
    runner = Epochs(parameters, model, optimiser, accelerator, images, range(10**6))
    model.train()

    def steps(count: int) -> float:
        total = torch.zeros(3, device=accelerator.device)
        for _ in range(count):
            total += runner._backward(*next(runner.batches))
            optimiser.step()
            optimiser.zero_grad()
        return float(total[0])  # waits for the device

    steps(1 if os.environ.get("GPU_TINY") else 6)
    (Path(folder) / f"ready-{os.getpid()}").touch()
    compiled = time.perf_counter() - begun
    while not (Path(folder) / "go").exists():
        time.sleep(0.05)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < float(seconds):
        loss = steps(10)
        count += 10
    rate = count * parameters.batch_size / (time.perf_counter() - begun)
    loss /= 10 * parameters.batch_size
    print(f"{preset}/{run}: {rate:.0f} images/s, compiled in {compiled:.0f} s, loss {loss:.3f}")


main(*sys.argv[1:])
