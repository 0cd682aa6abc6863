"""Files of every kind, damaged at random places, and what their loaders make of them."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from coded_resnext import CodedResNeXt, CodingScheme, load_checkpoint, load_subnetwork, paths
from coded_resnext.data.prepare import read_image
from coded_resnext.early_exit.calibration import load_calibration
from coded_resnext.errors import CodedResNeXtError
from coded_resnext.network.weights import card_path, read_card, weights_path
from coded_resnext.reproduction.measure.ship import calibrate_named, file_weights
from coded_resnext.reproduction.measure.train import train
from coded_resnext.reproduction.records.presets import load_preset, preset_name
from coded_resnext.reproduction.records.records import read_record, record_path
from coded_resnext.subnetworks.export import cut_out
from coded_resnext.subnetworks.manifest import read_manifest, save_subnetwork
from coded_resnext.training.checkpoint import run_folder
from coded_resnext.training.parameters import TrainingParameters, recipe, to_plain

REFUSED, SAME, TOLD = "refused by name", "nothing changed", "changed and told"
UNNAMED, FOREIGN, CHANGED = "refused without a name", "another program's error", "changed without a word"
OUTCOMES = (REFUSED, SAME, TOLD, UNNAMED, FOREIGN, CHANGED)
BAD = (UNNAMED, FOREIGN, CHANGED)
TINY = TrainingParameters(
    name="flips-s0", layers=(1, 1, 1), width=4, branch_width=1, epochs=1, warmup_epochs=0, batch_size=64, norm_batch=64
)


class Kind(NamedTuple):
    """A kind of file: `load` reads it the way users do and returns what they would get, which can be compared.

    `name` is what an error must have in it; `told` says whether a difference is told to the user later, and how.
    """

    path: Path
    load: Callable[[], Any]
    name: str
    told: Callable[[Any, Any], bool] = lambda before, after: False


def kinds(folder: Path) -> dict[str, Kind]:
    """One file of every kind, of a run that is trained for this. paths.WEIGHTS and OWN_WEIGHTS are temporary."""
    train(TINY)
    run = run_folder(TINY.preset, TINY.name)
    checkpoint = load_checkpoint(run)
    calibrate_named(run)
    file_weights(TINY.preset, TINY.name)
    shipped = f"{TINY.preset}-{TINY.name}"
    subnetwork, manifest = cut_out(checkpoint, ["3", "8"])
    save_subnetwork(folder / "cut", subnetwork, manifest)
    model, images = checkpoint.network(), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    scheme = shutil.copy(paths.PACKAGE / "codes/schemes/10x10-3.txt", folder / "scheme.txt")
    preset = shutil.copy(paths.PRESETS / "digits.yaml", folder / "mine.yaml")
    (folder / "there").mkdir()
    paths.remember("data", "there", folder / "there")
    picture = folder / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)).save(picture)

    def whole() -> Any:
        read = load_checkpoint(run)
        if read is None:
            return None
        return dataclasses.asdict(read.description), plain(read.network().state_dict()), plain(read.optimiser())

    def thresholds() -> Any:
        return dataclasses.asdict(load_calibration(run, model))

    def cut() -> Any:
        return dataclasses.asdict(read_manifest(folder / "cut")), plain(load_subnetwork(folder / "cut").state_dict())

    def pretrained() -> Any:
        return read_card(shipped), plain(CodedResNeXt.from_pretrained(shipped).state_dict())

    def own_preset() -> Any:
        read = load_preset(preset_name(str(preset)))
        runs = {name: recipe(to_plain(values)) for name, values in read.runs.items()}
        return runs, read.notebooks, read.settings

    found = {
        "weights of a checkpoint": Kind(run / "model.safetensors", whole, "model.safetensors"),
        "its optimiser": Kind(run / "optimiser.pt", whole, "optimiser.pt"),
        "checkpoint.json": Kind(run / "checkpoint.json", whole, "checkpoint.json"),
        "calibration.json": Kind(run / "calibration.json", thresholds, "calibration.json"),
        "weights of a subnetwork": Kind(folder / "cut/model.safetensors", cut, "model.safetensors"),
        "its manifest": Kind(folder / "cut/manifest.json", cut, "manifest.json"),
        "shipped weights": Kind(weights_path(shipped), pretrained, shipped),
        "their card": Kind(card_path(shipped), pretrained, shipped),
        "record": Kind(
            record_path(TINY.preset, "training", TINY.name),
            lambda: read_record(TINY.preset, "training", TINY.name),
            f"training-{TINY.name}.json",
        ),
        "scheme": Kind(Path(scheme), lambda: CodingScheme.load(scheme).words.tolist(), "scheme.txt"),
        "preset": Kind(Path(preset), own_preset, "mine", told=_listed_otherwise),
        "place of one's own data": Kind(
            paths.RUNS / ".own/data/there.json", lambda: str(paths.recall("data", "there")), "there.json"
        ),
        "PNG image": Kind(picture, lambda: np.asarray(read_image(picture)).tolist(), "picture.png"),
    }
    if not any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
        from coded_resnext.subnetworks.onnx_file import OnnxNetwork, export_onnx

        file = folder / "3-8.onnx"
        export_onnx(subnetwork, file, manifest, 8, energies=True)

        def answers() -> Any:
            network = OnnxNetwork(file)
            logits, energies = network(images.numpy())
            return dataclasses.asdict(network.manifest), logits.tolist(), {k: v.tolist() for k, v in energies.items()}

        found["ONNX file"] = Kind(file, answers, "3-8.onnx")
    return found


def plain(value: Any) -> Any:
    """Tensors as lists, in whatever holds them."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _listed_otherwise(before: Any, after: Any) -> bool:
    """Whether every difference of two presets is one of runs: records and checkpoints hold all parameters of a run, so
    one that is there is refused as listed otherwise, and a new one says what it was trained with.
    """
    return before[0] != after[0]


def damages(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The content with one bit flipped, three times, then cut short, and so on, at places that the seed draws."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        place = int(rng.integers(len(content)))
        if i % 4 == 3:
            yield content[:place]
        else:
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            yield bytes(changed)


def count_damages(kind: Kind, count: int, seed: int) -> tuple[Counter, list[str]]:
    """How often each outcome came, and what was bad about those that must not be."""
    content = kind.path.read_bytes()
    expected, outcomes, reasons = kind.load(), Counter(), []
    for i, damaged in enumerate(damages(content, count, seed)):
        kind.path.write_bytes(damaged)
        outcome, reason = _outcome(kind, expected)
        outcomes[outcome] += 1
        if outcome in BAD:
            reasons.append(f"{kind.path.name}, damage {i} of seed {seed}: {outcome} {reason}")
    kind.path.write_bytes(content)
    assert kind.load() == expected
    return outcomes, reasons


def _outcome(kind: Kind, expected: Any) -> tuple[str, str]:
    try:
        found = kind.load()
    except CodedResNeXtError as error:
        return (REFUSED if kind.name in str(error) else UNNAMED), str(error)
    except Exception as error:  # what must not come
        return FOREIGN, repr(error)
    if found == expected:
        return SAME, ""
    return (TOLD if kind.told(expected, found) else CHANGED), ""
