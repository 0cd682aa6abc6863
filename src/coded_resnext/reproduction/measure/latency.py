"""How much faster a subnetwork is: one class against the full network, in PyTorch and in ONNX Runtime.

Both are folded, in float32. Runs of the two alternate in one process, since machines are shared and drift; what counts
are ratios of medians. profiling.py says where the time goes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch

from ...network.cost import multiply_adds
from ...network.model import CodedResNeXt, coded_resnext29_10x11d
from ...subnetworks.extract import extract_subnetwork
from ...subnetworks.folding import fold, images_at_once
from ...subnetworks.onnx_file import INPUT, LOGITS, export_onnx, session
from ...training.fit import describe_device
from ..records.records import begin, write_record

IMAGE_SIZE = 32
BATCH = 64
ROUNDS_AT_64 = 3  # that many times fewer rounds at batch 64, which takes some 30 times as long
NETWORKS = ("full", "one class")
RUNTIMES = ("PyTorch", "ONNX Runtime")

Network = Callable[[np.ndarray], object]


def channels_last(model: CodedResNeXt) -> CodedResNeXt:
    """The network folded, in the layout in which grouped convolutions are fast."""
    return fold(model).to(memory_format=torch.channels_last)


def in_pytorch(folded: CodedResNeXt) -> Network:
    """A network from `channels_last` as a function of images."""

    @torch.inference_mode()
    def answer(images: np.ndarray) -> torch.Tensor:
        return folded(torch.from_numpy(images).contiguous(memory_format=torch.channels_last))

    return answer


def in_onnx_runtime(model: CodedResNeXt) -> Network:
    """The same network as an ONNX file with any batch, on as many threads as PyTorch has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_onnx(model, path, None, IMAGE_SIZE)
        runner = session(path.read_bytes(), path.name, threads=torch.get_num_threads())
    return lambda images: runner.run([LOGITS], {INPUT: images})


def time_alternating(networks: Mapping[str, Network], images: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Seconds of every run, by network; the networks take turns, after one run each that is not timed."""
    for network in networks.values():
        network(images)
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            begun = time.perf_counter()
            network(images)
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def splits(model: CodedResNeXt) -> tuple[tuple[int, int], ...]:
    """What is timed, as (batch, images at once): one image, and a batch in pieces that fit into a cache and whole."""
    return (1, 1), (BATCH, images_at_once(model, IMAGE_SIZE)), (BATCH, BATCH)


def rounds_at(batch: int, rounds: int) -> int:
    """How many alternations are timed at a batch."""
    return rounds if batch == 1 else max(2, rounds // ROUNDS_AT_64)


def random_images(batch: int) -> np.ndarray:
    """(batch, 3, IMAGE_SIZE, IMAGE_SIZE); no time depends on what they show."""
    return np.random.default_rng(0).standard_normal((batch, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The columns of a record's row that say how long something took: median and quartiles over runs."""
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    return {"seconds": middle, "lower_quartile": low, "upper_quartile": high, "runs": len(seconds)}


def in_pieces(network: Network, at_once: int) -> Network:
    """The same network, given `at_once` images of a batch at a time."""
    return lambda images: [network(images[i : i + at_once]) for i in range(0, len(images), at_once)]


def full_and_one_class() -> dict[str, CodedResNeXt]:
    """ResNeXt-29 (10×11d) with random weights, on which no time depends, and its first class cut out."""
    torch.manual_seed(0)
    full = coded_resnext29_10x11d().eval()
    return dict(zip(NETWORKS, (full, extract_subnetwork(full, [0])), strict=True))


def bench_subnetwork(rounds: int) -> str:
    """Time ResNeXt-29 (10×11d) whole and cut to one class, and write data/results/benchmark/latency-….json.

    Args:
        rounds: alternations that are timed at batch 1; a third of them at batch 64.
    Returns:
        A table as text.
    Raises:
        ValueError: the packages of the extra [export] are not installed.
    """
    where = describe_device(torch.device("cpu"), torch.float32)
    beginning = begin(where)
    models = full_and_one_class()
    makers = dict(zip(RUNTIMES, (lambda model: in_pytorch(channels_last(model)), in_onnx_runtime), strict=True))
    rows, metrics = [], {}
    lines = [
        f"ResNeXt-29 (10×11d), folded, {where}",
        f"{'':14} {'batch':>5} {'at once':>7} {'network':>10} {'ms':>8} {'quartiles':>16} {'images/s':>9} "
        f"{'speed-up':>9}",
    ]
    for runtime, make in makers.items():
        networks = {name: make(model) for name, model in models.items()}
        for batch, at_once in splits(models["full"]):
            pieces = {name: in_pieces(network, at_once) for name, network in networks.items()}
            seconds = time_alternating(pieces, random_images(batch), rounds_at(batch, rounds))
            speedup = median(seconds["full"]) / median(seconds["one class"])
            whole = "_whole" if at_once == batch > 1 else ""
            metrics[f"speedup_{runtime.lower().replace(' ', '_')}_{batch}{whole}"] = speedup
            for name, values in seconds.items():
                row = {"runtime": runtime, "batch": batch, "at_once": at_once, "network": name} | spread(values)
                rows.append(row)
                low, middle, high = (1e3 * row[key] for key in ("lower_quartile", "seconds", "upper_quartile"))
                lines.append(
                    f"{runtime:14} {batch:5} {at_once:7} {name:>10} {middle:8.1f} {low:7.1f} {high:8.1f} "
                    f"{1e3 * batch / middle:9.1f}" + (f" {speedup:9.2f}" if name == "one class" else "")
                )
    costs = [multiply_adds(model, IMAGE_SIZE).total for model in models.values()]
    metrics["fewer_multiply_adds"] = costs[0] / costs[1]
    lines.append(f"multiply-adds allow {metrics['fewer_multiply_adds']:.2f}")
    write_record(
        "benchmark", "latency", "resnext29-10x11d",
        parameters={"rounds": rounds}, seed=0, checkpoint=None, metrics=metrics, beginning=beginning, points=rows,
    )  # fmt: skip
    return "\n".join(lines)
