"""Image folders as people have them."""

import os

import pytest
from image_folders import make_folder

from coded_resnext import paths
from coded_resnext.data.folders import find_layout, image_files
from coded_resnext.data.sets import load_images


def test_a_folder_is_read_by_its_path_with_its_test_images_under_any_name(tmp_path):
    for name in ("test", "val", "Validation"):
        folder = make_folder(tmp_path, name, splits=("train", name)) / name
        assert load_images(str(folder), "test").classes == ("circle", "square")
        assert find_layout(folder).test.name == name
    (folder / "valid").mkdir()
    assert find_layout(folder).unused == ("Validation",)
    with pytest.raises(ValueError, match="is no folder: give the path"):
        load_images(str(tmp_path / "none"), "train")


def test_a_flat_folder_is_split_and_every_class_is_on_both_sides(tmp_path):
    make_folder(tmp_path, "", per_class=9, splits=("flat",))
    train, test = (load_images(str(tmp_path / "flat"), split) for split in ("train", "test"))
    assert train.labels.bincount().tolist() == [7, 7]
    assert test.labels.bincount().tolist() == [2, 2]
    pixels = [set(images.pixels.flatten(1).sum(1).tolist()) for images in (train, test)]
    assert not pixels[0] & pixels[1]
    make_folder(tmp_path, "", per_class=2, splits=("few",))
    with pytest.raises(ValueError, match=r"class circle of .* has 2 images"):
        load_images(str(tmp_path / "few"), "train")


def test_what_is_no_image_is_named_and_left_out(tmp_path, capsys):
    folder = make_folder(tmp_path) / "shapes"
    circle = folder / "train" / "circle"
    (circle / "notes.txt").write_text("no image")
    (circle / ".DS_Store").write_bytes(b"no image")
    (circle / "0.png").rename(circle / "without a suffix")
    (circle / "deeper" / "still").mkdir(parents=True)
    (circle / "1.png").rename(circle / "deeper" / "still" / "1 é.PNG")
    os.symlink(circle, circle / "deeper" / "again")  # a circle, which is not walked for ever
    images = load_images(str(folder), "train")
    assert len(images) == 6
    said = capsys.readouterr().err
    assert "left out of" in said
    assert "notes.txt" in said
    assert ".DS_Store" in said
    load_images(str(folder), "train")
    assert not capsys.readouterr().err  # said once
    assert [path.name for path in image_files(circle)[0]] == ["2.png", "without a suffix", "1 é.PNG"]


def test_a_name_stands_for_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    one, other = (make_folder(tmp_path / side, "mine") / "mine" for side in ("one", "other"))
    paths.remember("data", "mine", one)
    paths.remember("data", "mine", one)
    assert len(load_images("mine", "test")) == 6
    with pytest.raises(ValueError, match=r"'mine' is .* already"):
        paths.remember("data", "mine", other)
    one.rename(tmp_path / "moved")
    paths.remember("data", "mine", other)
    assert paths.remembered("data") == ["mine"]
