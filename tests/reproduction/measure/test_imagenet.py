"""The preset for ImageNet from images on disk to records, on a thousand classes of drawn images."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from coded_resnext import paths
from coded_resnext.reproduction.measure.stages import evaluate_run
from coded_resnext.reproduction.records.presets import EvaluationParameters, load_preset
from coded_resnext.reproduction.records.records import read_record
from coded_resnext.training.checkpoint import load_checkpoint, run_folder

# A network of the same stem, stages, branches and codewords, thin enough for a CPU.
SMALL = (
    "layers=[1, 1, 1, 2]", "width=8", "branch_width=1", "epochs=2", "warmup_epochs=1", "batch_size=64", "norm_batch=32",
    "compile=false", "workers=1",
)  # fmt: skip


def draw_images(root):
    """Stripes whose width and colour are the class's, in images of several sizes and shapes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 1)):
        for k in range(1000):
            folder = root / "imagenet" / split / f"n{k:08d}"
            folder.mkdir(parents=True)
            for i in range(count):
                width, height = rng.integers(40, 90, 2)
                stripes = (np.arange(width) // (1 + k % 10) % 2)[None, :, None] * np.array([k // 100, k // 10 % 10, 9])
                pixels = np.broadcast_to(stripes * 28, (height, width, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.JPEG")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coded", "plain"])
def test_two_processes_train_and_what_they_made_is_evaluated(kind, tmp_path, monkeypatch):
    draw_images(tmp_path)
    monkeypatch.setattr(paths, "RAW", tmp_path)
    listed = load_preset("imagenet").runs[f"{kind}-s0"]
    assert (listed.image_size, listed.decay_norms, listed.active) == (160, False, {"layer3": 16, "layer4": 8})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "coded_resnext", "train", "imagenet", f"{kind}-drawn", "--like", f"{kind}-s0"]
    command += [word for pair in SMALL for word in ("-p", pair)]
    environment = {**os.environ, "CODED_RESNEXT_DATA": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr

    checkpoint = load_checkpoint(run_folder("imagenet", f"{kind}-drawn"))
    description = checkpoint.description
    assert (description.processes, len(description.data["classes"])) == (2, 1000)
    assert len(description.schemes) == (3 if kind == "coded" else 0)
    losses = [row["loss"] for row in description.history]
    assert losses[1] < losses[0]
    for stage in ("accuracy", "early") if kind == "coded" else ("accuracy",):
        evaluate_run(stage, f"{kind}-drawn", checkpoint, EvaluationParameters("imagenet"))
        assert read_record("imagenet", stage, f"{kind}-drawn")["checkpoint"] == checkpoint.weights_hash
    # One process with another batch: equal to the image, but for ties that rounding decides.
    accuracy = read_record("imagenet", "accuracy", f"{kind}-drawn")["metrics"]["accuracy"]
    assert accuracy == pytest.approx(description.metrics["test_accuracy"], abs=0.11)
