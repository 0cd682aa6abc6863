"""Data sets, image folders and their faults."""

from urllib.error import URLError

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout
from image_folders import make_folder
from PIL import Image

from coded_resnext.data.sets import (
    ImageSet,
    check_classes,
    has_partner,
    images_drawn_to_test,
    load_images,
    normalise,
    out_of_distribution,
    split_holdout,
)


def test_digits():
    """500 and 1,297 images that share none, every class in both, and constants of the training images."""
    train, test = load_images("digits", "train"), load_images("digits", "test")
    assert (len(train), len(test)) == (500, 1297)
    assert train.pixels.shape[1:] == (1, 8, 8)
    assert train.pixels.dtype == torch.uint8
    assert train.pixels.max() == 255
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    assert train.mean == test.mean
    normalised = normalise(train.pixels, train.mean, train.std)
    assert abs(normalised.mean().item()) < 1e-3  # constants have four decimals
    assert abs(normalised.std().item() - 1) < 1e-3


@pytest.mark.parametrize("seed", [0, 3])
def test_a_seed_splits_the_digits(seed):
    """Every digit is trained on (or held out) or tested, in the set's order; another seed splits otherwise."""
    from sklearn.datasets import load_digits

    whole = torch.from_numpy(np.rint(load_digits().images * (255 / 16)).astype(np.uint8))
    tested = images_drawn_to_test("digits", seed)
    train, test = (load_images("digits", split, seed=seed) for split in ("train", "test"))
    assert torch.equal(test.pixels[:, 0], whole[tested])
    assert torch.equal(train.pixels[:, 0], whole[~tested])
    assert (tested != images_drawn_to_test("digits", seed + 1)).any()
    assert images_drawn_to_test("cifar10", seed) is None


def test_photo_patches_are_the_partner_of_digits():
    patches = out_of_distribution("digits", image_size=8, crop=False)
    assert patches.pixels.shape == (500, 1, 8, 8)
    assert torch.equal(patches.pixels, out_of_distribution("digits", image_size=8, crop=False).pixels)
    assert patches.pixels.unique(dim=0).shape[0] > 490  # sky repeats a little, the draw does not


def test_a_set_without_partner_has_none(tmp_path):
    assert out_of_distribution("shapes", image_size=32, crop=False, root=tmp_path) is None


def test_image_folder(tmp_path):
    images = load_images("shapes", "test", root=make_folder(tmp_path))
    assert images.classes == ("circle", "square")
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    first = np.array(Image.open(tmp_path / "shapes/test/circle/0.png"))
    assert np.array_equal(images.pixels[0].permute(1, 2, 0), first)
    assert np.array_equal(np.array(images.image(0)), first)


def test_images_of_several_sizes_are_cropped_when_read(tmp_path):
    images = load_images("shapes", "train", image_size=16, root=make_folder(tmp_path, size=(40, 24)))
    assert images.pixels is None
    assert images.take(1, 4).shape == (3, 3, 16, 16)
    assert images.subset([5, 0]).labels.tolist() == [1, 0]
    folder = tmp_path / "shapes/train"
    assert list(images.files) == [folder / name / f"{i}.png" for name in ("circle", "square") for i in range(3)]
    assert list(images.subset([5, 0]).files) == [folder / "square/2.png", folder / "circle/0.png"]
    with pytest.raises(ValueError, match="40x24: set image_size"):
        load_images("shapes", "train", root=tmp_path)


def test_files_whose_names_are_not_ascii(tmp_path):
    make_folder(tmp_path, classes=("größe", "площадь"), size=(9, 9))
    images = load_images("shapes", "train", image_size=8, root=tmp_path)
    assert images.classes == ("größe", "площадь")
    assert images.take(0, 6).shape == (6, 3, 8, 8)


def test_cifar_comes_from_its_folder(tmp_path):
    images = load_images("cifar10", "test", root=make_folder(tmp_path, "cifar10", size=(32, 32)))
    assert images.mean == (0.4914, 0.4822, 0.4465)
    make_folder(tmp_path, "cifar100", size=(32, 32), splits=("test",))
    assert out_of_distribution("cifar10", image_size=32, crop=False, root=tmp_path).name == "cifar100"


def test_a_folder_of_images_of_no_class(tmp_path):
    """Of any size and in any folder below; not one of the classes, and cropped to what the network sees."""
    make_folder(tmp_path)
    assert not has_partner("shapes", root=tmp_path)
    make_folder(tmp_path / "shapes", "Foreign", classes=("a", "b"), size=(40, 24), splits=("deep",))
    assert has_partner("shapes", root=tmp_path)
    foreign = out_of_distribution("shapes", image_size=8, crop=True, root=tmp_path)
    assert (len(foreign), foreign.classes, foreign.take(0, 6).shape) == (6, ("Foreign",), (6, 3, 8, 8))
    assert load_images("shapes", "train", root=tmp_path).classes == ("circle", "square")
    own, small = (Image.open(tmp_path / f"shapes/test/circle/{i}.png") for i in (0, 1))
    for i, file in enumerate(sorted(foreign.files)):
        (small if i else own).save(file)
    whole = out_of_distribution("shapes", image_size=own.width, crop=False, root=tmp_path)
    assert np.array_equal(whole.pixels[0].permute(1, 2, 0), np.array(own))  # as the network's own, to the pixel
    for file in foreign.files:
        file.unlink()
    with pytest.raises(ValueError, match="has no image of no class"):
        out_of_distribution("shapes", image_size=8, crop=True, root=tmp_path)


def test_in_a_flat_folder_foreign_is_a_class(tmp_path):
    make_folder(tmp_path, "flat", classes=("foreign", "own"), splits=(".",))
    assert load_images("flat", "train", root=tmp_path).classes == ("foreign", "own")
    assert not has_partner("flat", root=tmp_path)


def test_holdout_is_stratified_and_disjoint():
    train = load_images("digits", "train")
    kept, held = split_holdout(train, 200, seed=0)
    assert (len(kept), len(held)) == (300, 200)
    counts = held.labels.bincount()
    assert counts.max() - counts.min() <= 2  # of 48 to 51 images of a class
    again = split_holdout(train, 200, seed=0)[1]
    assert torch.equal(held.pixels, again.pixels)
    together = torch.cat([kept.pixels, held.pixels]).flatten(1)
    counted = (p.flatten(1).unique(dim=0, return_counts=True) for p in (together, train.pixels))
    for found, expected in zip(*counted, strict=True):
        assert torch.equal(found, expected)
    assert split_holdout(train, 0, seed=0) == (train, None)
    with pytest.raises(ValueError, match="got 5"):
        split_holdout(train, 5, seed=0)


@pytest.mark.parametrize("count", [100, 900])
def test_a_rare_class_is_on_both_sides_of_a_holdout(count):
    """Stratified by shares alone, three images of a thousand would all be on one side."""
    labels = torch.tensor([0] * 3 + [1] * 997)
    images = ImageSet("made-up", labels, ("rare", "common"), (0.5,), (0.5,), 1, torch.arange(1000)[:, None, None, None])
    kept, held = split_holdout(images, count, seed=0)
    assert (len(kept), len(held)) == (1000 - count, count)
    assert all((side.labels.bincount(minlength=2) > 0).all() for side in (kept, held))
    assert sorted(torch.cat([kept.pixels, held.pixels]).flatten().tolist()) == list(range(1000))
    assert all(torch.equal(side.labels, labels[side.pixels.flatten()]) for side in (kept, held))


def test_classes_that_are_no_longer_those_of_the_training_are_refused():
    images = load_images("digits", "test")
    check_classes(images, images.classes, "run a")
    with pytest.raises(ValueError, match=r"digits has 10 classes now, run a was .* on 10; .* is 0, and was zero"):
        check_classes(images, ("zero", *images.classes[1:]), "run a")
    with pytest.raises(ValueError, match=r"on 9; the first that differs is 9, and was none"):
        check_classes(images, images.classes[:9], "run a")


def test_a_subset_may_be_empty():
    images = load_images("digits", "test")
    assert [len(images.subset(nothing)) for nothing in ([], range(3, 3), np.array([], dtype=int))] == [0, 0, 0]


def test_a_class_may_be_called_test(tmp_path):
    """Three classes are no split, whatever they are called."""
    make_folder(tmp_path, "trial", classes=("control", "placebo", "test"), splits=(".",))
    for split in ("train", "test"):
        assert load_images("trial", split, root=tmp_path).classes == ("control", "placebo", "test")


def test_unknown_data_set_says_where_it_is_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no data set 'cifra10'.*digits, cifar10 and cifar100"):
        load_images("cifra10", "train", root=tmp_path)
    with pytest.raises(ValueError, match="CODED_RESNEXT_DATA"):
        load_images("/somewhere/else", "train", root=tmp_path)
    with pytest.raises(ValueError, match="'valid'"):
        load_images("digits", "valid")


@pytest.mark.parametrize(("image_size", "when"), [(0, "loaded"), (8, "read")])
def test_a_file_that_is_no_image_is_named(tmp_path, image_size, when):
    make_folder(tmp_path)
    (tmp_path / "shapes/train/circle/notes.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"notes\.png is no image"):
        load_images("shapes", "train", image_size=image_size, root=tmp_path).take(0, 6)


@pytest.mark.parametrize(
    ("classes", "per_class", "message"),
    [((), 0, "0 class folders"), (("only",), 2, "1 class folders"), (("a", "b"), 0, "is empty")],
)
def test_bad_folders(tmp_path, classes, per_class, message):
    make_folder(tmp_path, classes=classes, per_class=per_class)
    for split in ("train", "test"):
        (tmp_path / "shapes" / split).mkdir(parents=True, exist_ok=True)
    with pytest.raises(ValueError, match=message):
        load_images("shapes", "train", root=tmp_path)


def test_one_process_downloads_at_a_time(tmp_path, monkeypatch):
    def download(self):
        with pytest.raises(Timeout):  # held by whoever downloads
            FileLock(tmp_path / ".cifar10.lock", timeout=0).acquire()
        raise URLError("seen")

    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", download)
    with pytest.raises(FileNotFoundError, match="seen"):
        load_images("cifar10", "train", root=tmp_path)


def test_no_network_says_where_to_put_the_files(tmp_path, monkeypatch):
    def refuse(self):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.CIFAR10.download", refuse)
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded.*no route.*cifar10/train/<class>"):
        load_images("cifar10", "train", root=tmp_path)


def test_images_that_do_not_decode_are_all_named_at_once(tmp_path):
    folder = make_folder(tmp_path, per_class=6) / "shapes/train"
    broken = [folder / "circle/0.png", *(folder / f"square/{i}.png" for i in range(6))]
    broken[0].write_bytes(broken[0].read_bytes()[:60])
    for path in broken[1:]:
        path.write_bytes(b"text")
    with pytest.raises(ValueError, match="and 2 more") as refused:
        load_images("shapes", "train", root=tmp_path)
    assert all(str(path) in str(refused.value) for path in broken[:5])
