"""Several processes train one network, and it is the one that a single process trains."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from image_folders import make_folder

from coded_resnext import CodedResNeXt, load_images, paths
from coded_resnext.descriptions import read_json, to_json
from coded_resnext.errors import Refused
from coded_resnext.files import sha256
from coded_resnext.training import epochs as epochs_of
from coded_resnext.training import fit as training
from coded_resnext.training.checkpoint import DESCRIPTION, load_checkpoint
from coded_resnext.training.fit import fit
from coded_resnext.training.ingredients import choose_schemes, decayed, network_options
from coded_resnext.training.parameters import TrainingParameters, to_plain

# Four portions a step; nothing dropped, which every process draws for itself.
PORTIONS = TrainingParameters(
    name="shared", layers=(1, 1, 1), width=4, branch_width=1, epochs=2, warmup_epochs=1, batch_size=128, norm_batch=32,
    drop_branch=0.0, precision="float32",
)  # fmt: skip
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node")
ACCELERATE = (
    "accelerate.commands.launch", "--multi_gpu", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no",
    "--main_process_port=0", "--num_processes",
)  # fmt: skip


def train_in(processes, parameters, out, launcher=TORCHRUN, data=None):
    """Run the command line in so many processes; returns its standard error."""
    default = to_plain(TrainingParameters())
    changed = {key: value for key, value in to_plain(parameters).items() if value != default[key]}
    name = changed.pop("name")
    command = [sys.executable, "-m", *launcher, str(processes), "-m", "coded_resnext", "train", "digits", name]
    for key, value in changed.items():
        command += ["-p", f"{key}={json.dumps(value)}"]
    environment = {**os.environ, "CODED_RESNEXT_OUT": str(out), "OMP_NUM_THREADS": "1"}
    if data:
        environment["CODED_RESNEXT_DATA"] = str(data)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stderr


def assert_same_training(folder, expected):
    """Gradients are sums of the same four portions in another order.

    Their rounding, 1e-7 in float32, grows some hundred times over sixteen steps; losses are recorded to 1e-5.
    """
    found = load_checkpoint(folder)
    for row, other in zip(found.description.history, expected.description.history, strict=True):
        for key in ("loss", "coding_loss"):
            assert row[key] == pytest.approx(other[key], abs=5e-5)
        assert row["train_accuracy"] == pytest.approx(other["train_accuracy"], abs=0.4)  # four of 1,024 images
    weights, others = found.weights(), expected.weights()
    for key in ("conv1.weight", "layer2.0.conv2.weight", "fc.weight"):
        assert (weights[key] - others[key]).norm() < 1e-2 * others[key].norm()


def test_two_processes_train_what_one_trains(tmp_path):
    """One record, and weights that both processes agreed on; one process takes the portions one after another."""
    warnings = train_in(2, PORTIONS, tmp_path)
    assert "Warning" not in warnings
    folder = tmp_path / "data/runs/digits/shared"
    assert_same_training(folder, fit(PORTIONS, folder=tmp_path / "alone"))
    record = (tmp_path / "data/results/digits/training-shared.json").read_text()
    assert '"device": "2 x CPU' in record
    assert sha256(folder / "model.safetensors") in record


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "processes"), [(TORCHRUN, 4), (ACCELERATE, 2)])
def test_four_processes_and_another_launcher(launcher, processes, tmp_path):
    train_in(processes, PORTIONS, tmp_path, launcher)
    assert_same_training(tmp_path / "data/runs/digits/shared", fit(PORTIONS, folder=tmp_path / "alone"))


def test_going_on_with_more_processes_and_their_evaluation(tmp_path, monkeypatch):
    """Says what changes. Images on disk are read by workers, and the answers are one process's to the image."""
    classes = [f"class{i}" for i in range(10)]
    make_folder(tmp_path, "shapes", classes, per_class=7, size=(20, 24))
    monkeypatch.setattr(paths, "RAW", tmp_path)
    parameters = dataclasses.replace(
        PORTIONS, data="shapes", image_size=16, holdout=0, batch_size=32, norm_batch=16, workers=1
    )
    folder = tmp_path / "data/runs/digits/shared"
    with monkeypatch.context() as patch:
        patch.setattr(training, "_print_row", lambda row, epochs: row["epoch"] == 2 and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(parameters, folder=folder)
    assert load_checkpoint(folder).description.epoch == 1
    said = train_in(2, parameters, tmp_path, data=tmp_path)
    assert "the checkpoint is of 1 process, this is 2: each step has the same images" in said
    shared = load_checkpoint(folder).description
    assert (shared.epoch, shared.processes) == (2, 2)
    description = read_json(folder / DESCRIPTION, "")
    (folder / DESCRIPTION).write_text(to_json({**description, "metrics": {}}))  # as if stopped before
    assert fit(parameters, folder=folder).description.metrics == shared.metrics


def test_stopping_between_epochs_of_portions_changes_nothing(tmp_path, monkeypatch):
    """1,097 images are 34 portions and 8 steps of 4: the two that are left were the next epoch's first."""
    with monkeypatch.context() as patch:
        patch.setattr(training, "_print_row", lambda row, epochs: row["epoch"] == 2 and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(PORTIONS, folder=tmp_path / "stopped")
    stopped, whole = (fit(PORTIONS, folder=tmp_path / name) for name in ("stopped", "whole"))
    assert stopped.weights_hash == whole.weights_hash


class _SmallCard:
    """Stands in for a GPU that asks for the whole batch and has no room for more than a portion."""

    def __init__(self, monkeypatch, fits):
        self.asked = []
        backward = epochs_of.Epochs._backward

        def on_a_small_card(epochs, images, labels):
            self.asked.append(len(images))
            if len(images) > fits:
                epochs.model(images)  # running statistics have moved when memory runs out
                raise torch.OutOfMemoryError("CUDA out of memory")
            return backward(epochs, images, labels)

        monkeypatch.setattr(epochs_of.Epochs, "_backward", on_a_small_card)
        monkeypatch.setattr(epochs_of, "_at_once", lambda share, norm_batch, device: share)


def test_a_batch_that_a_card_has_no_memory_for_goes_by_portions(tmp_path, monkeypatch, capsys):
    expected = fit(dataclasses.replace(PORTIONS, drop_branch=0.2), folder=tmp_path / "by portions")
    card = _SmallCard(monkeypatch, fits=32)
    found = fit(dataclasses.replace(PORTIONS, drop_branch=0.2), folder=tmp_path / "small card")
    assert card.asked[:3] == [128, 32, 32]
    assert card.asked.count(128) == 1
    said = "128 images at once do not fit into the GPU's memory: training goes by portions of 32"
    assert said in capsys.readouterr().err
    assert found.weights_hash == expected.weights_hash


def test_a_card_without_memory_for_a_portion_says_so(tmp_path, monkeypatch):
    _SmallCard(monkeypatch, fits=16)
    with pytest.raises(torch.OutOfMemoryError):
        fit(PORTIONS, folder=tmp_path)


def test_several_processes_do_not_go_by_portions(monkeypatch):
    """One cannot leave a step while another waits for its gradients."""
    _SmallCard(monkeypatch, fits=32)
    images = load_images("digits", "train")
    model = CodedResNeXt(**network_options(PORTIONS, images), schemes=choose_schemes(PORTIONS, images))
    accelerator = Accelerator(cpu=True)
    epochs = epochs_of.Epochs(PORTIONS, model, torch.optim.SGD(model.parameters()), accelerator, images, range(1))
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(Refused, match="128 images at once do not fit into a GPU's memory: share batch_size 128 among"):
        epochs.train(0)


@pytest.mark.parametrize("decay_norms", [True, False])
def test_which_parameters_decay(decay_norms):
    """timm's own filter finds the same."""
    from timm.optim import param_groups_weight_decay

    images = load_images("digits", "train")
    parameters = dataclasses.replace(PORTIONS, decay_norms=decay_norms)
    model = CodedResNeXt(**network_options(parameters, images), schemes=choose_schemes(parameters, images))
    decay = {id(weight): group["weight_decay"] for group in decayed(model, parameters) for weight in group["params"]}
    if decay_norms:
        assert set(decay.values()) == {parameters.weight_decay}
    else:
        groups = param_groups_weight_decay(model, parameters.weight_decay)
        assert decay == {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    assert len(decay) == len(list(model.parameters()))


def test_gains_that_do_not_decay(tmp_path):
    """With a decay that leaves nothing of what it reaches, and next to no learning otherwise."""
    heavy = dataclasses.replace(PORTIONS, weight_decay=5.0, learning_rate=0.05, epochs=2, mu=0.0)
    gains = []
    for decay_norms in (True, False):
        run = fit(dataclasses.replace(heavy, decay_norms=decay_norms), folder=tmp_path / str(decay_norms))
        gains.append(np.abs(run.weights()["bn1.weight"].numpy()).mean())
    assert gains[0] < 0.5 < gains[1]
