"""What was measured on a card, or can be counted and measured without one, as records in data/results/benchmark.

    python record.py card FOLDER NAME [--beside PRESET/RUN]    FOLDER's probe-*.json and profile-*.txt: gpu-NAME.json
    python record.py rates FILE NAME --beside PRESET/RUN       the rates.txt of rates.sh: rates-NAME.json
    python record.py bytes                                     of a training step, see lowering.py: bytes-step.json
    python record.py loader                                    images that a core reads: loader-160px.json
    python record.py cpu                                       training on a CPU, eager and compiled: cpu-small.json

`--beside` names a training run of the same loan, whose environment and date are taken where there are no others.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from coded_resnext.data.batches import Augmentation, eval_batches, train_batches
from coded_resnext.data.sets import load_images
from coded_resnext.network.devices import alternate, describe_device
from coded_resnext.network.model import coded_resnext29_10x11d, coded_resnext50_32x4d
from coded_resnext.reproduction.records.records import Beginning, begin, read_record, write_record

BENCHMARK = "benchmark"
# A row of the profiler's table is an operation or a kernel, and the table is cut behind so many rows: the operations'
# times are whole, and what is in none of them is kernels that Inductor fused, the optimiser and copies.
OPERATIONS = {
    "aten::cudnn_convolution": "convolutions, forward",
    "aten::convolution_backward": "convolutions, backward",
    "aten::bmm": "Gram products",
}
REST = "fused norms and ReLUs, optimiser, copies"
KERNELS = {"fprop": "forward kernels", "dgrad": "dgrad kernels", "wgrad": "wgrad kernels"}  # cuDNN's, that are listed
ON_A_CPU = {  # what of an eager step the profiler counts where
    "aten::mkldnn_convolution": "convolutions, forward",
    "aten::convolution_backward": "convolutions, backward",
    "aten::native_batch_norm": "batch norms, forward",
    "aten::native_batch_norm_backward": "batch norms, backward",
    "aten::clamp_min_": "ReLUs",
    "aten::threshold_backward": "ReLUs",
    "aten::add": "additions",
    "aten::add_": "additions",
}
OTHER = "all else"
IMAGENET_SIZE = (500, 375)  # of most of its images
DRAWN = 64
COUNTED = 512  # images of the batch whose bytes are counted
STEPS = (
    ("resnext29", "plain", "grouped"), ("resnext29", "coded", "grouped"), ("resnext29", "coded", "dense"),
    ("resnext50", "plain", "grouped"), ("resnext50", "coded", "grouped"),
)  # fmt: skip


def milliseconds(text: str) -> float:
    """A time of the profiler's table, such as 7.487ms."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def profile(text: str) -> list[dict[str, Any]]:
    """Rows of a step's time on the card: `part`, `ms`, `calls`; those of KERNELS are parts of parts."""
    total = milliseconds(re.search(r"Self CUDA time total: (\S+)", text)[1])
    times = dict.fromkeys((*OPERATIONS.values(), *KERNELS.values()), 0.0)
    calls = dict.fromkeys(times, 0)
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if len(cells) != 11 or not re.fullmatch(r"[\d.]+(us|ms|s)", cells[6]):
            continue
        kernel = re.match(r"sm\d+_xmma_(fprop|dgrad|wgrad)", cells[0])
        part = KERNELS[kernel[1]] if kernel else OPERATIONS.get(cells[0])
        if part:
            times[part] += milliseconds(cells[6])
            calls[part] += int(cells[10])
    rows = [{"part": part, "ms": round(value, 3), "calls": calls[part]} for part, value in times.items()]
    rest = total - sum(times[part] for part in OPERATIONS.values())
    return [*rows, {"part": REST, "ms": round(rest, 3)}, {"part": "all", "ms": total}]


def card(folder: Path, name: str, beside: str | None) -> None:
    """One record of all that probe.py found."""
    machine = json.loads((folder / "probe-machine.json").read_text())
    files = sorted(folder.glob("probe-step-*.json"))
    steps = {path.stem.removeprefix("probe-step-"): json.loads(path.read_text()) for path in files}
    environment, started = machine.pop("environment", None), machine.pop("started", None)
    if environment is None:
        run = read_record(*_training(beside))
        environment, started = run["environment"], run["started"]
    metrics = {
        "copy_terabytes_per_second": machine.pop("copy, TB/s read and written"),
        "bfloat16_teraflops": machine.pop("bfloat16 product, TFLOP/s"),
    }
    forms, errors = [], []
    for key, value in machine.items():
        if found := re.fullmatch(r"conv2 (.+), tuned (True|False)", key):
            how = {"form": found[1], "tuned": found[2] == "True", "ms_by_shape": value["ms"]}
            forms.append({**how, "microseconds_an_image": value["all blocks, us an image"]})
        elif found := re.fullmatch(r"relative error, (.+)", key):
            errors.append({"how": found[1], **{what: float(error) for what, error in value.items()}})
        elif found := re.fullmatch(r"(.+), images/s", key):
            metrics[re.sub(r"\W+", "_", found[1]) + "_images_per_second"] = value
    rows = []
    for run, found in steps.items():
        kind = run.partition("-")[0]
        metrics[f"step_{kind}_gigabytes"] = found["step"]["GB"]
        metrics[f"step_{kind}_milliseconds_beside_others"] = found["step"]["ms"]
        rows += [{"run": run, **row} for row in profile((folder / f"profile-{run}.txt").read_text())]
    write_record(
        BENCHMARK, "gpu", name,
        parameters={"batch_size": 512, "beside": beside, "versions": machine["versions"]},
        seed=0, checkpoint=None, metrics=metrics,
        beginning=Beginning(datetime.fromisoformat(started), time.perf_counter(), environment),
        seconds=0.0, points=rows, forms=forms, errors=errors,
    )  # fmt: skip


def rates(file: Path, name: str, beside: str) -> None:
    """One record of how fast small runs train side by side on a card."""
    text = file.read_text()
    rows = summed_rates(text)
    kernels = re.search(r"=== a step's kernels: (\S+) ms in (\d+)", text)
    metrics = {"step_kernels_ms": float(kernels[1]), "step_kernels": int(kernels[2])} if kernels else {}
    run = read_record(*_training(beside))
    write_record(
        BENCHMARK, "rates", name, parameters={"beside": beside}, seed=0, checkpoint=None,
        metrics={f"{row['how']}_images_per_second": row["images_per_second"] for row in rows} | metrics,
        beginning=Beginning(datetime.fromisoformat(run["started"]), time.perf_counter(), run["environment"]),
        seconds=0.0, points=rows,
    )  # fmt: skip


def summed_rates(text: str) -> list[dict[str, Any]]:
    """Rows `how`, `processes`, `images_per_second` of all of them together; and of one alone."""
    found = re.findall(r"=== (\S+): (\d+) processes, (\d+) images/s together", text)
    found += [("alone", "1", sum_) for sum_ in re.findall(r"=== alone: \S+, (\d+) images/s", text)]
    return [{"how": how, "processes": int(count), "images_per_second": int(sum_)} for how, count, sum_ in found]


def _training(run: str) -> tuple[str, str, str]:
    preset, _, name = run.partition("/")
    return preset, "training", name


def count_bytes() -> None:
    """Bytes an image of training steps of the paper's networks for CIFAR-10 and ImageNet."""
    from lowering import training_traffic

    beginning = begin(describe_device(torch.device("cpu"), torch.bfloat16))
    metrics, rows = {}, []
    networks = {"resnext29": (coded_resnext29_10x11d, 32), "resnext50": (coded_resnext50_32x4d, 160)}
    for name, kind, form in STEPS:
        make, side = networks[name]
        model = make(coded=kind == "coded")
        for block in model.block_names:
            model.get_submodule(block).dense = form == "dense"
        for direction, part in training_traffic(model, COUNTED, side).items():
            for kernel, (calls, moved) in part.by_kind.items():
                row = {"network": name, "kind": kind, "form": form, "pass": direction, "kernel": kernel}
                rows.append({**row, "calls": calls, "megabytes": round(moved / COUNTED / 1e6, 2)})
            key = f"{name}_{kind}_{form}_megabytes"
            metrics[key] = round(metrics.get(key, 0) + part.bytes / COUNTED / 1e6, 2)
    write_record(
        BENCHMARK, "bytes", "step", parameters={"batch_size": COUNTED}, seed=0, checkpoint=None, metrics=metrics,
        beginning=beginning, points=rows,
    )  # fmt: skip


def time_loader() -> None:
    """Images of ImageNet's usual size that one core reads, cuts to 160 pixels and augments in a second of its own."""
    beginning = begin(describe_device(torch.device("cpu"), torch.float32))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for k in range(2):
            (Path(folder) / f"drawn/train/{k}").mkdir(parents=True)
            for i in range(DRAWN // 2):
                coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
                picture = np.asarray(coarse.resize(IMAGENET_SIZE, Image.Resampling.BICUBIC)).astype(np.int16)
                picture = (picture + rng.normal(0, 8, picture.shape)).clip(0, 255).astype(np.uint8)
                Image.fromarray(picture).save(Path(folder) / f"drawn/train/{k}/{i}.jpg", quality=90)
        kilobytes = sum(path.stat().st_size for path in Path(folder).rglob("*.jpg")) / DRAWN / 1e3
        images = load_images("drawn", "train", image_size=160, root=Path(folder))
        cpu = torch.device("cpu")
        ways = {
            "train": lambda: train_batches(
                images, Augmentation("rand-m10-n2", 0, True), DRAWN, seed=0, epochs=range(1), device=cpu
            ),
            "evaluation": lambda: eval_batches(images, DRAWN, cpu),
        }
        metrics = {"kilobytes_an_image": round(kilobytes, 1)}
        for way, batches in ways.items():
            list(batches())
            begun = time.process_time()  # what others on the machine do does not count
            for _ in range(3):
                list(batches())
            metrics[f"{way}_images_per_core_second"] = round(3 * DRAWN / (time.process_time() - begun), 1)
    write_record(
        BENCHMARK, "loader", "160px", parameters={"images": DRAWN, "size": list(IMAGENET_SIZE)}, seed=0,
        checkpoint=None, metrics=metrics, beginning=beginning,
    )  # fmt: skip


def time_cpu(rounds: int = 15, steps: int = 3) -> None:
    """The small CIFAR-10 network's training on this CPU, eager against compiled, and what an eager step is made of.

    Args:
        rounds: alternations of the two.
        steps: in each.
    """
    from steps import Training

    kinds = {how: Training("cifar10-small", "coded-s0", compiled=how == "compiled") for how in ("eager", "compiled")}
    eager = kinds["eager"].runner
    beginning = begin(describe_device(eager.device, eager.precision))
    contestants = {how: functools.partial(training.steps, steps) for how, training in kinds.items()}
    seconds = alternate(contestants, rounds)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
        kinds["eager"].steps(steps)
    shares = dict.fromkeys((*ON_A_CPU.values(), OTHER), 0.0)
    spent = {row.key: row.self_cpu_time_total for row in profiled.key_averages()}
    whole = sum(spent.values())
    for operation, its in spent.items():
        shares[ON_A_CPU.get(operation, OTHER)] += 100 * its / whole
    images = steps * kinds["eager"].parameters.batch_size
    write_record(
        BENCHMARK, "cpu", "small", parameters={"run": "cifar10-small/coded-s0", "rounds": rounds, "steps": steps},
        seed=0, checkpoint=None, beginning=beginning,
        metrics={
            "compiled_images_over_eager": median(seconds["eager"]) / median(seconds["compiled"]),
            **{f"{how}_images_per_second": images / median(values) for how, values in seconds.items()},
        },
        points=[{"part": part, "percent": round(share, 1)} for part, share in shares.items()],
        curves=[{"how": how, "images_per_second": [round(images / value, 1) for value in values]}
                for how, values in seconds.items()],
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    of_card = commands.add_parser("card")
    of_card.add_argument("folder", type=Path)
    of_card.add_argument("name")
    of_card.add_argument("--beside")
    of_rates = commands.add_parser("rates")
    of_rates.add_argument("file", type=Path)
    of_rates.add_argument("name")
    of_rates.add_argument("--beside", required=True)
    commands.add_parser("bytes")
    commands.add_parser("loader")
    commands.add_parser("cpu")
    asked = parser.parse_args()
    if asked.what == "card":
        card(asked.folder, asked.name, asked.beside)
    elif asked.what == "rates":
        rates(asked.file, asked.name, asked.beside)
    elif asked.what == "bytes":
        count_bytes()
    elif asked.what == "loader":
        time_loader()
    else:
        time_cpu()
