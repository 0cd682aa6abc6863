"""Where a network's time goes: how long its parts take beside their multiply-adds, whole and cut to one class.

A subnetwork has fewer multiply-adds than the full network, but the time does not shrink by as much. The parts tell why:
the first stage and the projection shortcuts keep their size whatever is cut, and they wait for memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch
from torch import nn

from ...network.cost import multiply_adds
from ...network.model import CodedResNeXt
from ...subnetworks.folding import FoldedBottleneck
from ...training.fit import describe_device
from ..records.records import begin, write_record
from .latency import (
    IMAGE_SIZE,
    channels_last,
    full_and_one_class,
    in_pieces,
    in_pytorch,
    random_images,
    rounds_at,
    splits,
    spread,
)

STEM = "stem"
UNCODED = "blocks without codewords"
PROJECTIONS = "projection shortcuts"
CONVOLUTIONS = "conv1 to conv3"
REST = "energies, sums, ReLU"
HEAD = "pooling and fc"
PARTS = (STEM, UNCODED, PROJECTIONS, CONVOLUTIONS, REST, HEAD)
UNCUT = (STEM, UNCODED, PROJECTIONS)  # the same in every subnetwork


def costs_by_part(model: CodedResNeXt) -> dict[str, int]:
    """Multiply-adds of one image by part; they sum to those of the network."""
    cost = multiply_adds(model, IMAGE_SIZE)
    parts = dict.fromkeys(PARTS, 0) | {STEM: cost.stem, HEAD: cost.head}
    for name, block in cost.blocks.items():
        if model.get_submodule(name).coded:
            parts[PROJECTIONS] += block.projection
            parts[CONVOLUTIONS] += block.convolutions - block.projection
            parts[REST] += block.energies + block.normaliser
        else:
            parts[UNCODED] += block.total
    return parts


@contextmanager
def timed_parts(folded: CodedResNeXt) -> Iterator[dict[str, float]]:
    """Seconds that the parts of a folded network take, added up over all runs inside the context."""
    seconds = dict.fromkeys(PARTS, 0.0)
    handles = []

    def watch(module: nn.Module, part: str, within: str | None = None) -> None:
        begun = 0.0

        def enter(*_: object) -> None:
            nonlocal begun
            begun = time.perf_counter()

        def leave(*_: object) -> None:
            took = time.perf_counter() - begun
            seconds[part] += took
            if within is not None:
                seconds[within] -= took

        handles.extend((module.register_forward_pre_hook(enter), module.register_forward_hook(leave)))

    for module in (folded.conv1, folded.bn1, folded.relu, folded.maxpool):
        watch(module, STEM)
    for block in (folded.get_submodule(name) for name in folded.block_names):
        _watch_block(block, watch)
    for module in (folded.avgpool, folded.fc):
        watch(module, HEAD)
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()


def _watch_block(block: FoldedBottleneck, watch: Callable[..., None]) -> None:
    if block.gram is None:
        watch(block, UNCODED)
        return
    watch(block, REST)  # less what is watched inside it
    for convolution in (block.conv1, block.conv2, block.conv3):
        watch(convolution, CONVOLUTIONS, within=REST)
    if block.downsample is not None:
        watch(block.downsample, PROJECTIONS, within=REST)


def profile_subnetwork(rounds: int) -> str:
    """Time the parts of ResNeXt-29 (10×11d), whole and cut to one class, in PyTorch; write profile-….json.

    Args:
        rounds: alternations of the two that are timed at batch 1; a third of them at batch 64.
    Returns:
        A table as text.
    """
    where = describe_device(torch.device("cpu"), torch.float32)
    beginning = begin(where)
    models = full_and_one_class()
    folded = {name: channels_last(model) for name, model in models.items()}
    costs = {name: costs_by_part(model) for name, model in models.items()}
    rows, metrics, lines = [], {}, [f"ResNeXt-29 (10×11d), folded, PyTorch, {where}: ms by part, full and one class"]
    for batch, at_once in splits(models["full"]):
        seconds = _alternate(folded, batch, at_once, rounds_at(batch, rounds))
        medians = {name: {part: median(run[part] for run in runs) for part in PARTS} for name, runs in seconds.items()}
        for name, runs in seconds.items():
            for part in PARTS:
                row = {"batch": batch, "at_once": at_once, "network": name, "part": part}
                cost = {"multiply_adds": batch * costs[name][part]}
                rows.append(row | spread([run[part] for run in runs]) | cost)
        full, one = medians["full"], medians["one class"]
        suffix = f"{batch}_whole" if at_once == batch > 1 else str(batch)
        metrics[f"uncut_percent_{suffix}"] = 100 * sum(full[part] for part in UNCUT) / sum(full.values())
        lines.append(f"batch {batch}, {at_once} at once; {metrics[f'uncut_percent_{suffix}']:.1f} % cannot be cut")
        lines += [f"  {part:26} {1e3 * full[part]:8.2f} {1e3 * one[part]:8.2f}" for part in PARTS]
    whole = costs["full"]
    metrics["uncut_percent_multiply_adds"] = 100 * sum(whole[part] for part in UNCUT) / sum(whole.values())
    lines.append(f"of multiply-adds {metrics['uncut_percent_multiply_adds']:.1f} % cannot be cut")
    write_record(
        "benchmark", "profile", "resnext29-10x11d",
        parameters={"rounds": rounds}, seed=0, checkpoint=None, metrics=metrics, beginning=beginning, points=rows,
    )  # fmt: skip
    return "\n".join(lines)


def _alternate(
    folded: dict[str, CodedResNeXt], batch: int, at_once: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Seconds by part of every run, by network, after one run each that is not timed."""
    images = random_images(batch)
    networks = {name: in_pieces(in_pytorch(model), at_once) for name, model in folded.items()}
    for network in networks.values():
        network(images)
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            with timed_parts(folded[name]) as parts:
                network(images)
            seconds[name].append(parts)
    return seconds
