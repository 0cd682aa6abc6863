"""Training steps of a preset's run without its images, for a clock."""

from __future__ import annotations

import dataclasses
import time

import torch
from accelerate import Accelerator

from coded_resnext.data.sets import CONSTANTS, ImageSet
from coded_resnext.network.model import CodedResNeXt
from coded_resnext.reproduction.records.presets import load_preset
from coded_resnext.training.epochs import Epochs
from coded_resnext.training.ingredients import choose_schemes, network_options


class Training:
    """The training steps of a preset's run as `fit` makes them, on random images."""

    def __init__(self, preset: str, run: str, *, compiled: bool) -> None:
        parameters = load_preset(preset).runs[run]
        self.parameters = dataclasses.replace(parameters, compile=compiled)
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
