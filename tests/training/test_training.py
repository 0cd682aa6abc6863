"""Training: schedule, records, resuming, and what goes wrong."""

import dataclasses
import math
import os
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator

from coded_resnext import CodedResNeXt, load_images
from coded_resnext.data.sets import normalise
from coded_resnext.errors import CheckpointError, TrainingDiverged
from coded_resnext.reproduction.measure.train import is_trained, train
from coded_resnext.reproduction.records.kinds import run_kinds
from coded_resnext.reproduction.records.presets import check_against_preset, load_preset
from coded_resnext.training import epochs as epochs_of
from coded_resnext.training import fit as training
from coded_resnext.training.checkpoint import load_checkpoint, run_folder
from coded_resnext.training.ingredients import (
    choose_schemes,
    drop_at,
    learning_rate_at,
    network_options,
    training_images,
)
from coded_resnext.training.parameters import TrainingParameters, to_plain

TINY = TrainingParameters(
    name="tiny", layers=(1, 1, 1), width=4, branch_width=1, epochs=2, warmup_epochs=1, batch_size=32, norm_batch=32
)


@pytest.fixture
def tiny(request):
    """Parameters of a run that no other test has."""
    return dataclasses.replace(TINY, name=request.node.name.replace("[", "-").rstrip("]"))


def test_schedule():
    """A line up to the peak, then a cosine whose last step is next to the final rate."""
    p = dataclasses.replace(TINY, epochs=10, warmup_epochs=2, learning_rate=0.4, final_learning_rate=0.001)
    rates = [learning_rate_at(step, p, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([0.04 * (i + 1) for i in range(10)])
    assert max(rates) == pytest.approx(0.4)
    assert rates[30] == pytest.approx(0.001 + 0.399 / 2)  # halfway down the cosine
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.001 + 0.399 * (1 + math.cos(math.pi * 39 / 40)) / 2)


def test_a_run_leaves_a_checkpoint_and_a_record(tiny):
    record = train(tiny)
    checkpoint = load_checkpoint(run_folder(tiny.preset, tiny.name))
    assert record["checkpoint"] == checkpoint.weights_hash
    assert [row["epoch"] for row in record["history"]] == [1, 2]
    assert {"test_accuracy", "test_last_block_accuracy", "clean_train_accuracy"} == set(record["metrics"])
    assert checkpoint.description.schemes["layer2.0"][0] == "1010100011"  # class 0 of table 3
    assert checkpoint.description.data["classes"] == list("0123456789")
    assert is_trained(tiny)
    again = train(tiny)
    assert again == record  # its start time and seconds too: nothing was done
    assert not is_trained(dataclasses.replace(tiny, mu=1.0))


def test_a_run_of_few_images_looked_at_now_and_then(tiny):
    """The seed draws them from those not held out, for training and for what is evaluated on them later."""
    few = dataclasses.replace(tiny, images_per_class=20, epochs=3, evaluate_every=2)
    record = train(few)
    assert ["accuracy" in row for row in record["history"]] == [False, True, True]
    assert train(dataclasses.replace(few, evaluate_every=1)) == record
    images = load_images("digits", "train")
    learnt, held = training_images(few, images)
    assert learnt.labels.bincount().tolist() == [20] * 10
    assert held.labels.equal(training_images(tiny, images)[1].labels)
    assert not learnt.pixels.equal(training_images(dataclasses.replace(few, seed=1), images)[0].pixels)
    with pytest.raises(ValueError, match="images_per_class is 1000, but class 0 of digits has"):
        training_images(dataclasses.replace(tiny, images_per_class=1000), images)


def test_other_parameters_do_not_continue_a_checkpoint(tiny):
    train(tiny)
    with pytest.raises(CheckpointError, match=r"mu 6\.0 against 4\.0.*another name"):
        train(dataclasses.replace(tiny, mu=4.0))
    assert train(dataclasses.replace(tiny, mu=4.0), force=True)["parameters"]["mu"] == 4


@pytest.mark.parametrize("coded", [True, False])
def test_stopping_between_epochs_changes_nothing(tiny, coded, monkeypatch):
    """An exception after the first checkpoint; then the same weights, bit for bit, as in one go."""
    whole = dataclasses.replace(tiny, name=f"{tiny.name}-whole", coded=coded)
    stopped = dataclasses.replace(tiny, name=f"{tiny.name}-stopped", coded=coded)
    train(whole)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_print_row", lambda row, epochs: row["epoch"] == 2 and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(stopped)
    assert load_checkpoint(run_folder(stopped.preset, stopped.name)).description.epoch == 1
    assert train(stopped)["checkpoint"] == train(whole)["checkpoint"]


def test_a_diverging_run_keeps_its_last_good_checkpoint(tiny, monkeypatch):
    original = learning_rate_at
    steps = 300 // 32

    def explode(step, parameters, steps_per_epoch):
        return math.inf if step == steps + 2 else original(step, parameters, steps_per_epoch)

    monkeypatch.setattr(epochs_of, "learning_rate_at", explode)
    with pytest.raises(TrainingDiverged, match=r"epoch 2, step 4 of 9: lower learning_rate.*last checkpoint.*is kept"):
        train(tiny)
    kept = load_checkpoint(run_folder(tiny.preset, tiny.name))
    assert kept.description.epoch == 1
    assert all(torch.isfinite(value).all() for value in kept.weights().values())


@pytest.mark.parametrize("evaluate_every", [1, 3])
def test_a_run_that_diverges_in_an_epochs_last_step_is_not_kept(tiny, evaluate_every, monkeypatch):
    """The losses of all steps were finite; what the last one did to the weights shows in the answers alone."""
    original, last = learning_rate_at, 2 * (300 // 32) - 1

    def explode(step, parameters, steps_per_epoch):
        return 1e38 if step == last else original(step, parameters, steps_per_epoch)

    monkeypatch.setattr(epochs_of, "learning_rate_at", explode)
    with pytest.raises(TrainingDiverged, match="no finite numbers after this epoch"):
        train(dataclasses.replace(tiny, epochs=3, evaluate_every=evaluate_every))
    assert load_checkpoint(run_folder(tiny.preset, tiny.name)).description.epoch == 1


def test_how_a_machine_works_is_no_part_of_the_recipe(tiny):
    first = train(tiny)
    assert train(dataclasses.replace(tiny, workers=2)) == first
    listed = load_preset("digits").runs["coded-s0"]
    check_against_preset(dataclasses.replace(listed, workers=3))
    assert run_kinds([{"parameters": to_plain(dataclasses.replace(listed, compile=True))}]) == ["coded"]


def test_dropping_rises_over_a_share_of_the_epochs(tiny, monkeypatch):
    ramp = dataclasses.replace(tiny, epochs=4, drop_branch=0.3, drop_ramp=0.5)
    assert [drop_at(epoch, ramp) for epoch in range(4)] == pytest.approx([0, 0.15, 0.3, 0.3])
    assert drop_at(0, dataclasses.replace(ramp, drop_ramp=0.0)) == 0.3
    dropped, draw = [], CodedResNeXt._draw_drop

    def seen(model, x):
        drop = draw(model, x)
        dropped.append((model.training, (drop == 0).float().mean().item(), drop.max().item()))
        return drop

    monkeypatch.setattr(CodedResNeXt, "_draw_drop", seen)
    train(ramp)
    shares = torch.tensor([share for _, share, _ in dropped]).chunk(4)
    assert shares[0].max() == 0
    assert [share.mean().item() for share in shares[1:]] == pytest.approx([0.15, 0.3, 0.3], abs=0.05)
    assert dropped[-1][2] == pytest.approx(1 / 0.7)  # what keeps the expected sum


def test_floats_stored_in_bfloat16(tiny):
    """Weights, running statistics and momentum are bfloat16 numbers between steps, and the run learns otherwise."""
    stored = train(dataclasses.replace(tiny, precision="bfloat16-stored", name=f"{tiny.name}-stored"))
    checkpoint = load_checkpoint(run_folder(tiny.preset, stored["name"]))
    floats = [value for value in checkpoint.weights().values() if value.is_floating_point()]
    floats += [state["momentum_buffer"] for state in checkpoint.optimiser()["state"].values()]
    assert all(value.equal(value.bfloat16().float()) for value in floats)
    assert stored["history"] != train(dataclasses.replace(tiny, precision="bfloat16"))["history"]


def test_a_record_names_every_device_of_a_run(tiny, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "describe_device", lambda *_: "a card")
        patch.setattr(training, "_answers", _stop_after(training._answers, 1))
        with pytest.raises(KeyboardInterrupt):
            train(tiny)
    assert train(tiny)["environment"]["device"].startswith("a card, then 1 x CPU")


def _stop_after(function, calls):
    """The function, which stops the process like Ctrl-C once it was called so often."""
    counted = iter(range(calls))

    def stopping(*args):
        if next(counted, None) is None:
            raise KeyboardInterrupt
        return function(*args)

    return stopping


def test_more_images_in_a_batch_than_there_are(tiny):
    with pytest.raises(ValueError, match="batch_size 2048 is more than the 300"):
        train(dataclasses.replace(tiny, batch_size=2048))


def test_accumulated_portions_are_one_step(tiny):
    """Four portions of 8 make as many optimiser steps as batches of 32, with other batch statistics."""
    portions = train(dataclasses.replace(tiny, norm_batch=8, name=f"{tiny.name}-in-portions"))
    whole = train(tiny)
    rates = [[row["learning_rate"] for row in record["history"]] for record in (portions, whole)]
    assert rates[0] == rates[1]  # as many steps
    assert portions["checkpoint"] != whole["checkpoint"]


def test_portions_have_the_gradient_of_the_whole_batch(tiny):
    """With the batch norms' running statistics, which do not depend on the portion."""
    images = load_images("digits", "train")
    pixels = normalise(images.take(0, 128), images.mean, images.std)
    gradients = []
    for size in (128, 32):
        parameters = dataclasses.replace(tiny, batch_size=128, norm_batch=size, precision="float32")
        torch.manual_seed(0)
        model = CodedResNeXt(**network_options(parameters, images), schemes=choose_schemes(parameters, images)).eval()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        epochs = epochs_of.Epochs(parameters, model, optimiser, Accelerator(cpu=True), images, range(1))
        for start in range(0, 128, size):
            epochs._backward(pixels[start : start + size], images.labels[start : start + size])
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert gradients[0].norm() > 0
    assert torch.allclose(*gradients, atol=1e-6 * gradients[0].abs().max().item())  # float32 sums in another order


def test_a_compiled_network_in_bfloat16_learns(tiny, monkeypatch):
    """What `make cifar-gpu` does, but for the compiler's last step, which needs a C++ compiler on a CPU."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiled(model, backend="aot_eager", fullgraph=True))
    record = train(dataclasses.replace(tiny, compile=True, precision="bfloat16", epochs=4))
    assert record["environment"]["device"].endswith("bfloat16")
    assert record["metrics"]["test_accuracy"] > 20  # chance is 10


def test_a_class_number_that_no_scheme_ships_for_gets_one_designed(tmp_path, monkeypatch):
    from image_folders import make_folder

    make_folder(tmp_path, "shapes", [f"class{i}" for i in range(7)], per_class=6, size=(16, 16))
    script = (
        "from coded_resnext.reproduction.measure.train import train;"
        "from coded_resnext.training.parameters import TrainingParameters as P;"
        "r = train(P(name='shapes', data='shapes', holdout=0, layers=(1, 1, 1), width=4, branch_width=1, epochs=1,"
        "warmup_epochs=0, batch_size=16, norm_batch=16)); print(sorted(r['metrics']))"
    )
    environment = {**os.environ, "CODED_RESNEXT_DATA": str(tmp_path), "CODED_RESNEXT_OUT": str(tmp_path / "out")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert "test_last_block_accuracy" in done.stdout, done.stderr
    words = load_checkpoint(tmp_path / "out/data/runs/digits/shapes").description.schemes["layer3.0"]
    assert (len(words), {word.count("1") for word in words}) == (7, {3})


def test_a_block_inside_a_coded_stage_can_be_conventional():
    images = load_images("digits", "train")
    parameters = dataclasses.replace(TINY, layers=(1, 2, 1), active={"layer2": 5, "layer2.0": 10})
    model = CodedResNeXt(**network_options(parameters, images), schemes=choose_schemes(parameters, images))
    assert list(model.schemes) == ["layer2.1"]
    assert not model.layer2[0].coded
