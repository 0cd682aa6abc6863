"""Damaged, foreign and dangerous checkpoints, and a disk that is full."""

import dataclasses
import os
import pickle
import resource
import shutil

import pytest
import torch

from coded_resnext.descriptions import read_json, to_json
from coded_resnext.errors import CheckpointError
from coded_resnext.files import sha256
from coded_resnext.network.weights import load_weights, read_weights
from coded_resnext.reproduction.measure.train import train
from coded_resnext.training.checkpoint import Description, load_checkpoint, run_folder, save_checkpoint
from coded_resnext.training.parameters import TrainingParameters

TINY = TrainingParameters(
    name="faults", layers=(1, 1, 1), width=4, branch_width=1, epochs=1, warmup_epochs=0, batch_size=256, norm_batch=256
)


@pytest.fixture
def folder(tmp_path):
    """A copy of a good checkpoint, to be damaged."""
    train(TINY)
    return shutil.copytree(run_folder(TINY.preset, TINY.name), tmp_path / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.pt"])
def test_a_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=f"{name} is not the file.*cut short.*--force"):
        load_checkpoint(folder)


def test_a_missing_file_is_named(folder):
    (folder / "optimiser.pt").unlink()
    with pytest.raises(CheckpointError, match=r"optimiser\.pt is missing"):
        load_checkpoint(folder)


def test_a_damaged_description_is_named(folder):
    (folder / "checkpoint.json").write_text('{"epoch": 1,')
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged"):
        load_checkpoint(folder)


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_weights_of_another_network_are_refused(folder):
    checkpoint = load_checkpoint(folder)
    wider = dataclasses.replace(TINY, name="wider", width=8)
    train(wider)
    network = load_checkpoint(run_folder("digits", "wider")).network()
    with pytest.raises(CheckpointError, match=r"conv1\.weight is \(4, 1, 3, 3\) there and \(8, 1, 3, 3\)"):
        load_weights(network, checkpoint.weights(), "these weights")
    incomplete = {key: value for key, value in checkpoint.weights().items() if key != "fc.weight"}
    with pytest.raises(CheckpointError, match=r"fc\.weight is nothing there"):
        load_weights(checkpoint.network(), incomplete, "these weights")


class Payload:
    def __reduce__(self):
        return (os.mkdir, ("pickle-was-run",))


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_pickle_is_never_opened(tmp_path, by_torch, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    if by_torch:
        torch.save({"w": Payload()}, path)
    else:
        path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError, match="is a pickle, which can run code"):
        read_weights(path)
    assert not (tmp_path / "pickle-was-run").exists()


def test_code_in_an_optimiser_file_is_not_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save({"state": Payload()}, folder / "optimiser.pt")
    with pytest.raises(CheckpointError, match="cannot be read safely"):
        load_checkpoint_unverified(folder).optimiser()
    assert not (folder / "pickle-was-run").exists()


def load_checkpoint_unverified(folder):
    """As if somebody had also forged the hash and the seal."""
    description = read_json(folder / "checkpoint.json", "")
    description["files"]["optimiser.pt"] = sha256(folder / "optimiser.pt")
    (folder / "checkpoint.json").write_text(to_json(description))
    return load_checkpoint(folder)


def test_a_full_disk_keeps_the_old_checkpoint(folder):
    """The kernel refuses to let a file grow past a limit, in the middle of a write, as a full disk does."""
    before = load_checkpoint(folder)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, old[1]))
    try:
        with pytest.raises(OSError, match=r"could not write \S*model\.safetensors.*what was there before is kept"):
            save_checkpoint(folder, {"w": torch.zeros(5000)}, {}, Description({}, {}, {}, {}, epoch=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert load_checkpoint(folder).weights_hash == before.weights_hash
    assert not list(folder.glob("*.new*"))
