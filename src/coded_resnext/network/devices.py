"""Devices: what numbers they compute with, what they are called, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ContextDecorator, contextmanager

import torch


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; emulating it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


@contextmanager
def _cudnn(switch: str, value: bool) -> Iterator[None]:
    before = getattr(torch.backends.cudnn, switch)
    setattr(torch.backends.cudnn, switch, value)
    try:
        yield
    finally:
        setattr(torch.backends.cudnn, switch, before)


def full_float32() -> ContextDecorator:
    """Float32 in earnest: GPUs since Ampere otherwise round what convolutions read to TF32, 10 bits of mantissa.

    A masked network and the one cut out of it then differ by some 1e-4, and records that say float32 do not hold. Also
    a decorator.
    """
    return _cudnn("allow_tf32", value=False)


def tuned_convolutions() -> ContextDecorator:
    """Let cuDNN time its kernels for every shape it meets and keep the fastest: shapes are few. Also a decorator."""
    return _cudnn("benchmark", value=True)


def describe_device(device: torch.device, precision: torch.dtype, processes: int = 1) -> str:
    """For records: kind of device, how many, and the precision; no host name."""
    kind = f"CPU with {torch.get_num_threads()} threads"
    if device.type == "cuda":
        kind = torch.cuda.get_device_name(device)
    return f"{processes} x {kind}, {str(precision).removeprefix('torch.')}"


def alternate(
    contestants: Mapping[str, Callable[[], object]], rounds: int, *, rarely: Mapping[str, int] | None = None
) -> dict[str, list[float]]:
    """Seconds that each contestant takes, in rounds that alternate between them.

    Machines are shared and drift: what counts are ratios of medians. One round before, which chooses kernels and
    allocates, is not timed.

    Args:
        contestants: what is run, by name.
        rounds: that are timed.
        rarely: contestants that take part in every so manieth round only.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(-1, rounds):
        for name, run in contestants.items():
            if i > 0 and i % (rarely or {}).get(name, 1):
                continue
            begun = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if i >= 0:
                seconds[name].append(time.perf_counter() - begun)
    return seconds
