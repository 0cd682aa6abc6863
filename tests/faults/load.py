"""Many predictions by several threads of one process: python -m faults.load PREDICTIONS SEED.

The answers are those of one image after another in one thread, and the memory comes back.
"""

import gc
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import Tensor, nn

from coded_resnext import CodedResNeXt, EarlyExit, extract_subnetwork, load_scheme, load_subnetwork, save_subnetwork
from coded_resnext.subnetworks.manifest import describe
from coded_resnext.subnetworks.onnx_file import OnnxNetwork, export_onnx

THREADS = 4
IMAGES = 50  # that take turns
WARM_UP = 0.1  # of the predictions, before memory is looked at: pools and caches are filled by then
IMAGE_SIZE = 8
NOT_INSTALLED = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]

Predictor = Callable[[Tensor], tuple[Tensor, ...]]


class Load(NamedTuple):
    """What so many predictions did.

    Attributes:
        same: answers that were those of one thread alone, bit for bit.
        growth: of the resident memory after the warm-up, percent.
    """

    predictions: int
    same: int
    growth: float


def predictors(folder: Path, seed: int) -> Iterator[tuple[str, Predictor]]:
    """Of one untrained network whose batch norms are as if it had seen images; the ONNX file where it can be made."""
    torch.manual_seed(seed)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    model = CodedResNeXt([1, 1, 1], 10, 10, 2, width=8, in_channels=1, schemes=schemes)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    router = EarlyExit(model.eval(), "margin", dict.fromkeys(model.schemes, 0.2))
    yield "early exit", lambda x: tuple(router.predict(x))
    cut = extract_subnetwork(model, [3, 8])
    manifest = describe(
        cut, model, class_names=("3", "8"), parent="", threshold=None,
        data={"name": "digits", "mean": (0.5,), "std": (0.025,), "image_size": IMAGE_SIZE, "crop": False},
    )  # fmt: skip
    save_subnetwork(folder / "cut", cut, manifest)
    loaded = load_subnetwork(folder / "cut").eval()
    yield "subnetwork", torch.inference_mode()(lambda x: (loaded(x),))
    if not NOT_INSTALLED:
        export_onnx(cut, folder / "cut.onnx", manifest, IMAGE_SIZE)
        network = OnnxNetwork(folder / "cut.onnx")
        yield "ONNX file", lambda x: (torch.from_numpy(network(x.numpy())[0]),)


def images(seed: int) -> list[Tensor]:
    """Batches of one, of which some are louder: they leave at different blocks."""
    generator = torch.Generator().manual_seed(seed)
    loud = 4 * torch.rand(IMAGES, 1, 1, 1, 1, generator=generator)
    return list(loud * torch.randn(IMAGES, 1, 1, IMAGE_SIZE, IMAGE_SIZE, generator=generator))


def put_under_load(predict: Predictor, count: int, given: list[Tensor]) -> Load:
    """So many predictions, in turn of the images that are given, by THREADS at once."""
    alone = [predict(x) for x in given]

    def is_same(i: int) -> bool:
        answer = predict(given[i % len(given)])
        return all(torch.equal(a, b) for a, b in zip(answer, alone[i % len(given)], strict=True))

    with ThreadPoolExecutor(THREADS) as pool:
        warm = round(WARM_UP * count)
        same = sum(pool.map(is_same, range(warm)))
        before = resident()
        same += sum(pool.map(is_same, range(warm, count)))
        growth = 100 * (resident() / before - 1)
    return Load(count, same, growth)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return psutil.Process().memory_info().rss


def main(count: int, seed: int) -> dict[str, Load]:
    with tempfile.TemporaryDirectory() as folder:
        return {name: put_under_load(predict, count, images(seed)) for name, predict in predictors(Path(folder), seed)}


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
