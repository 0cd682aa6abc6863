"""Batches: what an epoch sees is a function of (seed, epoch), and augmentation does what it says."""

import pickle
import random

import numpy as np
import pytest
import torch
from image_folders import make_folder
from PIL import Image

from coded_resnext.data.batches import Augmentation, crop_and_flip, eval_batches, rand_augment, seeds, train_batches
from coded_resnext.data.sets import load_images

CPU = torch.device("cpu")


def epoch_of(images, augmentation, batch_size=64, **options):
    options = {"seed": 0, "epochs": range(1), "device": CPU, **options}
    return list(train_batches(images, augmentation, batch_size, **options))


def same(first, second) -> bool:
    return all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return load_images("shapes", "train", root=make_folder(tmp_path_factory.mktemp("data"), per_class=8, size=(16, 16)))


def test_an_epoch_repeats_and_epochs_differ():
    digits = load_images("digits", "train")
    augmentation = Augmentation(pad=1, flip=True)
    assert same(epoch_of(digits, augmentation), epoch_of(digits, augmentation))
    assert not same(epoch_of(digits, augmentation), epoch_of(digits, augmentation, epochs=range(1, 2)))
    assert not same(epoch_of(digits, augmentation), epoch_of(digits, augmentation, seed=1))


@pytest.mark.parametrize("workers", [0, 2])
def test_one_loader_serves_all_epochs_and_each_is_the_same_alone(photos, workers):
    """So a run that is resumed sees what an undisturbed one saw."""
    augmentation = Augmentation("rand-m4-n3", pad=2, flip=True)
    together = epoch_of(photos, augmentation, 4, epochs=range(3), workers=workers)
    alone = [batch for e in range(3) for batch in epoch_of(photos, augmentation, 4, epochs=range(e, e + 1))]
    assert same(together, alone)


def test_no_two_purposes_and_no_two_keys_share_numbers():
    """numpy pads a short key with zeros: without its length (7, 3) and (7, 3, 0) were one generator."""
    keys = [("order", 7, 3), ("order", 7, 3, 0), ("order", 7, 3, 0, 0), ("order", 7), ("crop and flip", 7, 3)]
    drawn = {seeds(*key).integers(2**63) for key in keys}
    assert len(drawn) == len(keys)
    assert seeds("order", 7, 3).integers(2**63) in drawn


def test_workers_do_not_change_what_is_seen(photos):
    """RandAugment by two processes or none; and the caller's generators are left alone."""
    augmentation = Augmentation("rand-m4-n3", pad=2, flip=True)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    alone = epoch_of(photos, augmentation, 4)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert same(alone, epoch_of(photos, augmentation, 4, workers=2))


def test_every_image_once_and_full_batches_only():
    digits = load_images("digits", "train")
    batches = epoch_of(digits, Augmentation())
    assert [len(labels) for _, labels in batches] == [64] * (500 // 64)
    images = torch.cat([x for x, _ in batches]).flatten(1)
    distinct = digits.pixels.flatten(1).unique(dim=0).shape[0]
    assert images.unique(dim=0).shape[0] >= 64 * (500 // 64) - (500 - distinct)


def test_evaluation_reads_the_same_with_workers(tmp_path):
    """Images on disk, in order and whole, the incomplete last batch too."""
    images = load_images("shapes", "test", image_size=8, root=make_folder(tmp_path, per_class=5, size=(14, 11)))
    alone, shared = (list(eval_batches(images, 4, CPU, workers=workers)) for workers in (0, 2))
    assert [len(labels) for _, labels in alone] == [4, 4, 2]
    assert same(alone, shared)
    assert torch.cat([labels for _, labels in alone]).equal(images.labels)


def test_processes_see_the_batches_of_one():
    """Cropped and mirrored at the same places; an incomplete last step is left out."""
    digits = load_images("digits", "train")
    augmentation = Augmentation(pad=1, flip=True)
    whole = epoch_of(digits, augmentation, 32, portions=4, epochs=range(2))
    assert len(whole) == 2 * (len(digits) // 128) * 4
    shares = [epoch_of(digits, augmentation, 32, portions=2, epochs=range(2), rank=r, world=2) for r in (0, 1)]
    assert same([share for pair in zip(*shares, strict=True) for share in pair], whole)


def test_processes_share_the_epoch():
    digits = load_images("digits", "train")
    whole = [labels for _, labels in epoch_of(digits, Augmentation(), 32)]
    shares = [[labels for _, labels in epoch_of(digits, Augmentation(), 32, rank=r, world=2)] for r in (0, 1)]
    dealt = [share for pair in zip(*shares, strict=True) for share in pair]
    assert all(torch.equal(a, b) for a, b in zip(dealt, whole[: len(dealt)], strict=True))


def test_crop_and_flip_against_one_image_at_a_time():
    """Each result is one of the (2·pad+1)² crops, mirrored or not, of its own image; all of them occur."""
    image = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)
    padded = torch.zeros(5, 5, dtype=torch.uint8)
    padded[1:4, 1:4] = image[0, 0]
    crops = {tuple(padded[i : i + 3, j : j + 3].flatten().tolist()) for i in range(3) for j in range(3)}
    mirrored = {tuple(torch.tensor(c).view(3, 3).flip(1).flatten().tolist()) for c in crops}
    seen = crop_and_flip(image.expand(2000, 1, 3, 3), 1, True, seeds("test", 0))
    assert {tuple(row.flatten().tolist()) for row in seen} == crops | mirrored
    unflipped = crop_and_flip(image.expand(500, 1, 3, 3), 1, False, seeds("test", 0))
    assert {tuple(row.flatten().tolist()) for row in unflipped} == crops


def test_posterize_to_no_bits_is_black(photos):
    """timm asks for 0 bits at magnitude 2, which Pillow refuses."""
    transform = rand_augment("rand-m2-n1", (0.5, 0.5, 0.5), 16)
    (posterize,) = [op for op in transform.ops if op.name == "Posterize"]
    posterize.prob = 1.0
    assert np.array(posterize(photos.image(0))).max() == 0


def test_rand_augment_is_timms():
    """rand-m4-n3: three operations of magnitude 4, each applied with probability 0.5, filled with the mean."""
    transform = rand_augment("rand-m4-n3", (0.4914, 0.4822, 0.4465), 32)
    assert transform.num_layers == 3
    assert {(op.magnitude, op.prob) for op in transform.ops} == {(4, 0.5)}
    assert transform.ops[0].kwargs["fillcolor"] == (125, 123, 114)


def test_rand_augment_needs_colour():
    with pytest.raises(ValueError, match=r"RGB.*1 channel"):
        epoch_of(load_images("digits", "train"), Augmentation("rand-m4-n3"))


def test_images_on_disk_are_cropped_at_random(tmp_path):
    images = load_images("shapes", "train", image_size=16, root=make_folder(tmp_path, per_class=4, size=(60, 30)))
    first = epoch_of(images, Augmentation(flip=True), 4)
    assert first[0][0].shape == (4, 3, 16, 16)
    assert same(first, epoch_of(images, Augmentation(flip=True), 4, workers=2))
    Image.new("RGB", (2000, 1)).save(tmp_path / "shapes/train/circle/0.png")  # no crop of the usual shapes fits
    assert len(epoch_of(images, Augmentation(), 4)) == 2


def test_workers_that_are_spawned_get_the_transform(photos):
    """As on macOS, and on Linux from Python 3.14 on: the data set is pickled for each of them."""
    transform = rand_augment("rand-m1-n3", photos.mean, 16)
    again = pickle.loads(pickle.dumps(transform))
    assert [op.name for op in again.ops] == [op.name for op in transform.ops]
    black = next(op for op in again.ops if op.name.startswith("Posterize")).aug_fn(Image.new("RGB", (4, 4), "white"), 0)
    assert black.getextrema() == ((0, 0),) * 3
