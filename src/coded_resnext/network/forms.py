"""Which form of the 3×3 convolutions is faster on a device: grouped as the equations have it, or dense.

Both are timed on the network's own shapes, in a fraction of a second, before a GPU trains or evaluates.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable

import torch
import torch.nn.functional as F

from .cost import block_sizes
from .dense import MULTIPLE
from .devices import alternate
from .model import CodedResNeXt

ROUNDS = 5


def use_faster_form(
    model: CodedResNeXt, image_size: int, batch_size: int, precision: torch.dtype, *, backward: bool
) -> str:
    """Time conv2 of every block in both forms on the model's device and let all blocks use the faster one.

    On a CPU the grouped form is as fast and needs no measurement.

    Args:
        image_size: height and width of the images.
        batch_size: images at once.
        precision: what convolutions compute with.
        backward: time the gradients too, as training needs them.
    Returns:
        "grouped" or "dense".
    """
    device = model.conv1.weight.device
    form = "grouped"
    if device.type == "cuda":
        shapes = Counter(
            (block.conv2.weight.shape[0], block.kept, before, block.conv2.stride[0])
            for _, block, before, _ in block_sizes(model, image_size)
        )
        seconds = {"grouped": 0.0, "dense": 0.0}
        for shape, count in shapes.items():
            for name, times in _time_forms(*shape, batch_size, precision, device, backward).items():
                seconds[name] += count * statistics.median(times)
        form = min(seconds, key=seconds.__getitem__)
    use_form(model, form)
    return form


def use_form(model: CodedResNeXt, form: str) -> None:
    """Let all blocks compute conv2 as "grouped" or "dense"."""
    for name in model.block_names:
        model.get_submodule(name).dense = form == "dense"


def _time_forms(
    channels: int,
    groups: int,
    size: int,
    stride: int,
    batch_size: int,
    precision: torch.dtype,
    device: torch.device,
    backward: bool,
) -> dict[str, list[float]]:
    padded = channels + -channels % MULTIPLE

    def contestant(channels: int, groups: int) -> Callable[[], None]:
        options = {"device": device, "dtype": precision}
        x = torch.randn(batch_size, channels, size, size, **options)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_(backward)
        weight = torch.randn(channels, channels // groups, 3, 3, **options).requires_grad_(backward)

        def run() -> None:
            out = F.conv2d(x, weight, stride=stride, padding=1, groups=groups)
            if backward:
                torch.autograd.grad(out, (x, weight), out.detach())

        return run

    with torch.set_grad_enabled(backward):
        return alternate({"grouped": contestant(channels, groups), "dense": contestant(padded, 1)}, ROUNDS)
