"""What things take, by the clock: training steps, subnetworks whole and by parts, early exits.

Contestants alternate in one process, since machines are shared and drift; what counts are ratios of medians. Peak
memory is of a fresh process each. A subnetwork has fewer multiply-adds than the full network, but its time does not
shrink by as much: the parts tell why. The first stage and the projection shortcuts keep their size whatever is cut, and
they wait for memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import paths
from ...data.batches import eval_batches
from ...early_exit.calibration import calibration_in
from ...early_exit.measure import shares
from ...early_exit.router import EarlyExit
from ...early_exit.stopping import Exits
from ...errors import Missing
from ...network.cost import images_at_once, multiply_adds
from ...network.devices import alternate, describe_device, full_float32, tuned_convolutions
from ...network.forms import use_faster_form
from ...network.losses import CodingLoss, total_loss
from ...network.model import CodedResNeXt, coded_resnext29_10x11d
from ...network.reference import write_out
from ...subnetworks.extract import extract_subnetwork
from ...subnetworks.folding import FoldedBottleneck, fold
from ...subnetworks.onnx_file import INPUT, LOGITS, export_onnx, session
from ...training.checkpoint import (
    ShippedCheckpoint,
    trained_checkpoint,
)
from ...training.run import Run
from ..records.kinds import run_kinds
from ..records.records import begin, write_record
from .stages import run_names

BENCHMARK, NETWORK = "benchmark", "resnext29-10x11d"  # of records that belong to no preset
BATCH = 64

# Training steps

KINDS = ("plain", "coded", "written out")
RARELY = {"written out": 3}  # it takes several times as long: fewer repeats tell enough
GPU_BATCH = 512

def training_step(kind: str, batch: int = BATCH, *, fast: bool = False) -> Callable[[], None]:
    """A function that does one training step, forward and backward, of a whole ResNeXt-29 (10×11d) in float32.

    Args:
        kind: of `KINDS`.
        batch: images in the step.
        fast: as a GPU trains instead: in bfloat16, compiled, with the faster form of its 3×3 convolutions.
    """
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
    forward = model
    if fast:
        use_faster_form(model, IMAGE_SIZE, batch, torch.bfloat16, backward=True)
        forward = torch.compile(model)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            logits, energies = forward(images, return_energies=True)
        total_loss(logits.float(), energies, labels, coding_loss, mu=6)[0].backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def peak_memory(kind: str) -> float:
    """Most memory that a fresh process with two training steps needs, MB: of the GPU, else its resident set."""
    script = f"from {paths.PACKAGE.name}.reproduction.measure.timing import report_peak; report_peak({kind!r})"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


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


@full_float32()
def bench(rounds: int) -> dict[str, Any]:
    """Time training steps (section 4, table 4) and write data/results/benchmark/step-resnext29-10x11d.json.

    A GPU's record has besides, as `points`, the steps of batch 512 that it trains with: bfloat16, compiled.
    """
    beginning = begin(describe_device(torch.device("cuda" if torch.cuda.is_available() else "cpu"), torch.float32))
    # Memory first: on Linux a child's peak starts at its parent's, which is small only before it trains itself.
    memory = {kind: peak_memory(kind) for kind in KINDS}
    seconds = alternate({kind: training_step(kind) for kind in KINDS}, rounds, rarely=RARELY)
    metrics = {}
    for kind in KINDS[1:]:
        key = kind.replace(" ", "_")
        metrics[f"step_{key}_over_plain"] = median(seconds[kind]) / median(seconds["plain"])
        metrics[f"memory_{key}_over_plain"] = memory[kind] / memory["plain"]
    return write_record(
        BENCHMARK, "step", NETWORK,
        parameters={"batch_size": BATCH, "rounds": rounds}, seed=0, checkpoint=None, metrics=metrics,
        beginning=beginning,
        curves=[{"network": kind, "step_seconds": seconds[kind], "peak_megabytes": memory[kind]} for kind in KINDS],
        **({"points": _fast_steps(rounds)} if torch.cuda.is_available() else {}),
    )  # fmt: skip


@tuned_convolutions()
def _fast_steps(rounds: int) -> list[dict[str, Any]]:
    """Rows of the coded and the plain step as a GPU trains them."""
    seconds = alternate({kind: training_step(kind, GPU_BATCH, fast=True) for kind in ("plain", "coded")}, rounds)
    about = {"batch": GPU_BATCH, "precision": "bfloat16", "compiled": True}
    return [{"network": kind, **about, **spread(values)} for kind, values in seconds.items()]


# Subnetworks

IMAGE_SIZE = 32
ROUNDS_AT_64 = 3  # that many times fewer rounds at batch 64, which takes some 30 times as long
WHOLE_AND_CUT = ("full", "one class")
RUNTIMES = ("PyTorch", "ONNX Runtime")

STEM = "stem"
UNCODED = "blocks without codewords"
PROJECTIONS = "projection shortcuts"
CONVOLUTIONS = "conv1 to conv3"
REST = "energies, sums, ReLU"
HEAD = "pooling and fc"
PARTS = (STEM, UNCODED, PROJECTIONS, CONVOLUTIONS, REST, HEAD)
UNCUT = (STEM, UNCODED, PROJECTIONS)  # the same in every subnetwork

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


def in_pieces(network: Network, at_once: int, images: np.ndarray) -> Callable[[], object]:
    """A function that gives a network `at_once` of the images at a time."""
    return lambda: [network(images[i : i + at_once]) for i in range(0, len(images), at_once)]


def full_and_one_class() -> dict[str, CodedResNeXt]:
    """ResNeXt-29 (10×11d) with random weights, on which no time depends, and its first class cut out."""
    torch.manual_seed(0)
    full = coded_resnext29_10x11d().eval()
    return dict(zip(WHOLE_AND_CUT, (full, extract_subnetwork(full, [0])), strict=True))


def bench_subnetwork(rounds: int) -> dict[str, Any]:
    """Time ResNeXt-29 (10×11d) whole and cut to one class, and write data/results/benchmark/latency-….json.

    Args:
        rounds: alternations that are timed at batch 1; a third of them at batch 64.
    Raises:
        ValueError: the packages of the extra [export] are not installed.
    """
    beginning = begin(describe_device(torch.device("cpu"), torch.float32))
    models = full_and_one_class()
    makers = dict(zip(RUNTIMES, (lambda model: in_pytorch(channels_last(model)), in_onnx_runtime), strict=True))
    rows, metrics = [], {}
    for runtime, make in makers.items():
        networks = {name: make(model) for name, model in models.items()}
        for batch, at_once in splits(models["full"]):
            images = random_images(batch)
            contestants = {name: in_pieces(network, at_once, images) for name, network in networks.items()}
            seconds = alternate(contestants, rounds_at(batch, rounds))
            whole = "_whole" if at_once == batch > 1 else ""
            key = f"speedup_{runtime.lower().replace(' ', '_')}_{batch}{whole}"
            metrics[key] = median(seconds["full"]) / median(seconds["one class"])
            for name, values in seconds.items():
                row = {"runtime": runtime, "batch": batch, "at_once": at_once, "network": name}
                rows.append(row | spread(values))
    costs = [multiply_adds(model, IMAGE_SIZE).total for model in models.values()]
    metrics["fewer_multiply_adds"] = costs[0] / costs[1]
    return write_record(
        BENCHMARK, "latency", NETWORK,
        parameters={"rounds": rounds}, seed=0, checkpoint=None, metrics=metrics, beginning=beginning, points=rows,
    )  # fmt: skip


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


def profile_subnetwork(rounds: int) -> dict[str, Any]:
    """Time the parts of ResNeXt-29 (10×11d), whole and cut to one class, in PyTorch; write profile-….json.

    Args:
        rounds: alternations of the two that are timed at batch 1; a third of them at batch 64.
    """
    beginning = begin(describe_device(torch.device("cpu"), torch.float32))
    models = full_and_one_class()
    folded = {name: channels_last(model) for name, model in models.items()}
    costs = {name: costs_by_part(model) for name, model in models.items()}
    rows, metrics = [], {}
    for batch, at_once in splits(models["full"]):
        seconds: dict[str, list[dict[str, float]]] = {name: [] for name in models}
        contestants = {name: _profiled(model, at_once, batch, seconds[name]) for name, model in folded.items()}
        alternate(contestants, rounds_at(batch, rounds))
        for name, (_, *runs) in seconds.items():  # without the round that is not timed
            for part in PARTS:
                row = {"batch": batch, "at_once": at_once, "network": name, "part": part}
                cost = {"multiply_adds": batch * costs[name][part]}
                rows.append(row | spread([run[part] for run in runs]) | cost)
        full = {part: median(run[part] for run in seconds["full"][1:]) for part in PARTS}
        suffix = f"{batch}_whole" if at_once == batch > 1 else str(batch)
        metrics[f"uncut_percent_{suffix}"] = 100 * sum(full[part] for part in UNCUT) / sum(full.values())
    whole = costs["full"]
    metrics["uncut_percent_multiply_adds"] = 100 * sum(whole[part] for part in UNCUT) / sum(whole.values())
    return write_record(
        BENCHMARK, "profile", NETWORK,
        parameters={"rounds": rounds}, seed=0, checkpoint=None, metrics=metrics, beginning=beginning, points=rows,
    )  # fmt: skip


def _profiled(
    model: CodedResNeXt, at_once: int, batch: int, seconds: list[dict[str, float]]
) -> Callable[[], None]:
    """A function that runs a folded network on a batch and notes what its parts took."""
    answer = in_pieces(in_pytorch(model), at_once, random_images(batch))

    def run() -> None:
        with timed_parts(model) as parts:
            answer()
        seconds.append(parts)

    return run


# Early exits

BATCHES = (1, BATCH)
WHOLE = "whole network"


def time_exits(preset: str, name: str, rounds: int, images: int) -> dict[str, Any]:
    """Time whole networks and every calibrated target, and write data/results/<preset>/timing-<name>.json.

    All see the same test images, one by one, as a single request comes, and in batches of 64.

    Args:
        preset, name: of a coded run with a checkpoint, or else shipped weights, and a calibration.
        rounds: alternations that are timed.
        images: of the test set, the first ones.
    Raises:
        FileNotFoundError: no checkpoint or no calibration, saying what makes them.
    """
    run = _run(preset, name)
    folder = run.checkpoint.folder
    calibration = calibration_in(folder, run.model)
    if calibration is None:
        how = "run 10_early_exit first"
        if isinstance(run.checkpoint, ShippedCheckpoint):
            how = f"python -m coded_resnext calibrate {preset}-{name}"
        raise Missing(f"run {name} of preset {preset} is not calibrated: {how}")
    beginning = begin(describe_device(run.device, torch.float32))
    subset = run.test.subset(range(min(images, len(run.test))))
    whole_cost = multiply_adds(run.model, run.test.image_size).total

    contestants: dict[str, Callable[[Tensor], object]] = {WHOLE: run.model}
    contestants["routed, no exit"] = EarlyExit(run.model).predict
    about: dict[str, dict[str, Any]] = {key: {"multiply_adds": 100.0} for key in contestants}
    for key, plain in _plain_networks(preset).items():
        contestants[key] = plain
        about[key] = {"multiply_adds": 100 * multiply_adds(plain, run.test.image_size).total / whole_cost}
    for target in calibration.targets:
        if target.kind == "drop":
            router = EarlyExit(run.model, target.policy, target.thresholds, calibration)
            key = f"{target.policy}, {target.value:g} points"
            contestants[key] = router.predict
            parts = [router.predict(pixels) for pixels, _ in eval_batches(subset, BATCHES[-1], run.device)]
            exits = Exits(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))
            cost = router.rule.costs(run.model, run.test.image_size)
            about[key] = {
                "policy": target.policy,
                "drop": target.value,
                "multiply_adds": float(np.array(shares(exits, len(run.model.schemes))) @ cost),
            }
    curves = []
    for batch in BATCHES:
        batches = [pixels for pixels, _ in eval_batches(subset, batch, run.device)]
        runs = {key: _over(batches, answer) for key, answer in contestants.items()}
        for key, seconds in alternate(runs, rounds).items():
            each = [1e3 * value / len(subset) for value in seconds]
            curves.append({"network": key, "batch": batch, "milliseconds": each, **about[key]})
    return write_record(
        preset, "timing", name,
        parameters=run.training | {"rounds": rounds, "images": len(subset), "threads": torch.get_num_threads()}
        | {"shipped_weights": isinstance(run.checkpoint, ShippedCheckpoint)},
        seed=run.training["seed"],
        checkpoint=run.checkpoint.weights_hash,
        metrics={"images": len(subset)},
        beginning=beginning,
        curves=curves,
    )  # fmt: skip


def _run(preset: str, name: str) -> Run:
    checkpoint = trained_checkpoint(preset, name)
    if checkpoint is None:
        raise Missing(f"preset {preset} has no finished checkpoint of a run {name!r}: "
                      f"python -m coded_resnext train {preset} {name}")
    return Run(checkpoint)


def _plain_networks(preset: str) -> dict[str, CodedResNeXt]:
    """The preset's first plain run of every size, if it has been trained here or ships: by the name of its kind.

    That of the coded runs' own size is called "plain network".
    """
    networks: dict[str, CodedResNeXt] = {}
    for name in run_names(preset):
        checkpoint = trained_checkpoint(preset, name)
        if checkpoint is None:
            continue
        (kind,) = run_kinds([{"parameters": checkpoint.description.parameters}])
        if kind.startswith("plain"):
            networks.setdefault("plain network" if kind == "plain" else kind, Run(checkpoint).model)
    return networks


def _over(batches: Sequence[Tensor], answer: Callable[[Tensor], object]) -> Callable[[], None]:
    @torch.inference_mode()
    def run() -> None:
        for pixels in batches:
            answer(pixels)

    return run
