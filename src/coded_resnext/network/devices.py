"""What numbers a device computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; emulating it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


@contextmanager
def full_float32() -> Iterator[None]:
    """Float32 in earnest: GPUs since Ampere otherwise round what convolutions read to TF32, 10 bits of mantissa.

    A masked network and the one cut out of it then differ by some 1e-4, and records that say float32 do not hold. Also
    a decorator.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
