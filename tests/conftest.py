"""Tests never write into the checkout: what the package writes goes to a temporary folder."""

import io
import os
import subprocess
import tarfile
import tempfile

# Before the package is imported, since its folders are constants. Tests that run side by side have a folder each.
_scratch = tempfile.TemporaryDirectory()
os.environ["CODED_RESNEXT_OUT"] = _scratch.name

import pytest  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from coded_resnext import CodedResNeXt, load_images, load_scheme, paths  # noqa: E402


@pytest.fixture
def randomise_batch_norm():
    """A function that gives every batch norm of a module random parameters and statistics.

    A fresh block has gamma 0 in its last batch norm: whatever its branches do, nothing would show.
    """

    def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for m in module.modules():
            if isinstance(m, nn.BatchNorm2d):
                for tensor, low, high in (
                    (m.weight, 0.5, 1.5), (m.bias, -0.5, 0.5), (m.running_mean, -0.5, 0.5), (m.running_var, 0.5, 2.0),
                ):  # fmt: skip
                    with torch.no_grad():
                        tensor.uniform_(low, high, generator=generator)
        return module

    return randomise


@pytest.fixture(scope="session", autouse=True)
def committed_results(tmp_path_factory):
    """The records in git, whatever a reproduction in this checkout has made of them since; returns their folder."""
    command = ["git", "archive", "HEAD", "data/results"]
    archive = subprocess.run(command, cwd=paths.ROOT, capture_output=True)
    if archive.returncode == 0:  # else no checkout but an archive of one
        folder = tmp_path_factory.mktemp("committed")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        paths.COMMITTED_RESULTS = folder / "data" / "results"
    return paths.COMMITTED_RESULTS


@pytest.fixture
def no_records(monkeypatch, tmp_path):
    """Neither own nor committed records, and figures that go elsewhere."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "own")
    monkeypatch.setattr(paths, "COMMITTED_RESULTS", tmp_path / "committed")
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")


@pytest.fixture
def network(randomise_batch_norm):
    """An untrained network for the digits, of three coded blocks under two schemes, in evaluation mode."""
    torch.manual_seed(0)
    model = CodedResNeXt(
        [1, 2, 1], 10, 10, 2, width=8, in_channels=1,
        schemes={"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)},
    )  # fmt: skip
    return randomise_batch_norm(model).eval()


@pytest.fixture(scope="session")
def digits():
    """Sixty test images."""
    return load_images("digits", "test").subset(range(60))
