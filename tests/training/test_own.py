"""Images of one's own: what a folder says of them, the recipe that the rules make of it, and its preset file."""

import dataclasses
import re
import shlex
from pathlib import Path

import drawn
import numpy as np
import pytest
import yaml
from image_folders import make_folder

from coded_resnext import CodedResNeXt, paths
from coded_resnext.__main__ import _preset, main
from coded_resnext.data.prepare import read_image
from coded_resnext.early_exit.calibration import load_calibration, save_calibration
from coded_resnext.reproduction.records.presets import EvaluationParameters, load_preset, own_preset, preset_name
from coded_resnext.training.own import LARGEST, Survey, branches_for, recipe_for, survey
from coded_resnext.training.parameters import TrainingParameters, build

TINY = ["layers=[1,1,1]", "width=8", "branch_width=1", "epochs=2", "warmup_epochs=1", "evaluate_every=1"]


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Names that were given to folders are forgotten with the test."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")


def test_grey_clothes(tmp_path):
    seen = survey(drawn.clothes(tmp_path / "clothes", per_class=10, test=2))
    assert (len(seen.classes), seen.train, seen.test, seen.notes) == (7, 70, 14, ())
    recipe, notes = recipe_for(seen)
    assert (recipe["image_size"], recipe["num_branches"], recipe["holdout"], recipe["epochs"]) == (0, 10, 7, 200)
    assert not notes


@pytest.mark.usefixtures("elsewhere")
def test_forty_three_classes_need_more_than_ten_branches():
    """In ten branches two of so many words are two bits apart at most: no single wrong bit could be told."""
    n, active, notes = branches_for(43)
    assert (n, active) == (12, {"layer2": 6, "layer3": 4})
    assert notes == ["43 classes in 10 branches would be 2 apart: more branches are taken"]


def test_signs_in_a_flat_folder_are_split(tmp_path):
    seen = survey(drawn.signs(tmp_path / "signs", per_class=5))
    assert (len(seen.classes), seen.train, seen.test) == (43, 43 * 4, 43)
    assert "a fifth of each class is tested" in seen.notes[0]


@pytest.mark.parametrize(
    ("images", "epochs", "batch", "holdout"), [(60, 200, 8, 10), (600, 200, 32, 60), (45000, 20, 128, 4500)]
)
def test_epochs_batch_and_holdout_follow_the_number_of_images(images, epochs, batch, holdout):
    seen = Survey(tuple("0123456789"), images, 10, ((500, 300), (40, 90), (120, 120)), ())
    recipe, _ = recipe_for(seen)
    assert (recipe["epochs"], recipe["batch_size"], recipe["holdout"]) == (epochs, batch, holdout)
    assert recipe["image_size"] == LARGEST
    assert recipe["stem"] == "7x7/2"
    build(TrainingParameters, recipe, "here")


def test_folders_that_cannot_be_trained_on_say_why(tmp_path):
    make_folder(tmp_path, classes=("a", "b"), splits=("train",))
    with pytest.raises(ValueError, match=r"has train/ but no test/, val/ or validation/"):
        survey(tmp_path / "shapes")
    make_folder(tmp_path, classes=("a", "c"), splits=("test",))
    with pytest.raises(ValueError, match=r"other classes .*: b only in train; c only in test"):
        survey(tmp_path / "shapes")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", ["2024-05-01", "2024", "no"])
def test_folders_whose_names_yaml_reads_otherwise(name, tmp_path):
    path = own_preset(make_folder(tmp_path, name, per_class=6) / name)
    assert load_preset(str(path)).runs["coded-s0"].data == name


@pytest.mark.usefixtures("elsewhere")
def test_a_preset_is_made_once_and_edited(tmp_path, capsys, monkeypatch):
    folder = make_folder(tmp_path, "my shapes", per_class=6) / "my shapes"
    path = own_preset(folder, {"mu": 2.0})
    assert path == tmp_path / "my-shapes.yaml"
    text = path.read_text().replace("epochs: 200", "epochs: 7").replace("warmup_epochs: 20", "warmup_epochs: 1")
    path.write_text(text)
    assert own_preset(folder) == path
    assert "the preset that is there is used" in capsys.readouterr().err
    assert preset_name(str(path)) == "my-shapes"
    for given in (str(path), "my-shapes"):  # by its path once, by its name from then on
        run = load_preset(given).runs["coded-s0"]
        assert (run.preset, run.data, run.epochs, run.mu) == ("my-shapes", "my-shapes", 7, 2.0)
    assert EvaluationParameters(str(path)).preset == "my-shapes"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-shapes").symlink_to(folder)  # a folder that is called as its preset is
    assert _preset("my-shapes", {}) == "my-shapes"
    assert _preset("my-shapes", {"init": "cifar10-small"}) == "my-shapes-from-cifar10-small"
    started = own_preset(folder, {"init": "cifar10-small"})  # beside the one that starts from nothing
    assert started == tmp_path / "my-shapes-from-cifar10-small.yaml"
    assert load_preset(str(started)).runs["coded-s0"].init == "cifar10-small"
    with pytest.raises(ValueError, match=r"unknown preset 'my-shape'; did you mean 'my-shapes'"):
        load_preset("my-shape")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: [", "mine.yaml is no YAML"),
        ("nothing", "is no preset: expected the keys title, about"),
        ("training: {}", "preset mine has no 'runs'"),
        ("training: []\nruns: {}", "'training' must be a dict"),
        ("training: {}\nruns: {}", "lists no run"),
        ("training: {}\nruns: {a-s0: {}}\nfolder: gone", "names the folder gone, which is not there"),
        ("training: {}\nruns: {a-s0: {}}\ndefault: a-s1", "unknown run 'a-s1' for preset mine, default"),
        ("training: {}\nrun: {}", "unknown key 'run' for preset mine; did you mean 'runs'"),
    ],
)
def test_broken_presets_give_one_line(text, message, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(text)
    assert main(["train", str(tmp_path / "mine.yaml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.usefixtures("elsewhere")
def test_from_photographs_to_answers(tmp_path, capsys):
    """A folder of photographs of odd sizes, modes and names: trained on, calibrated, asked, cut."""
    folder = drawn.photographs(tmp_path / "my photos", per_class=8)
    options = [part for option in TINY for part in ("-p", *option.split("="))]  # as papermill has them
    assert main(["train", "--data", str(folder), *options]) == 0
    said = capsys.readouterr()
    assert "test_accuracy" in said.out
    assert "my-photos: 21 images to train on, 3 held out, 12 to test; 3 classes of 7 images; 64x64 colour; " in said.err
    assert said.err.count("Thumbs.db") == 6
    assert main(["calibrate", "my-photos/coded-s0"]) == 0
    assert main(["predict", str(folder / "val"), "--model", "my-photos/coded-s0"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 13  # one of calibrate
    assert said.err.count("resized to 64x64") == 1
    assert "exit" in said.out
    run = paths.RUNS / "my-photos" / "coded-s0"
    model = CodedResNeXt.from_pretrained(str(run))
    assert "猫" in model.class_names
    older = dataclasses.replace(load_calibration(run, model), weights="0" * 64)  # as after a training once more
    save_calibration(run, older)
    assert main(["predict", str(folder / "val"), "--model", "my-photos/coded-s0"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 12
    assert "note: without early exit: the calibration is of weights 000000000000…" in said.err
    picture = read_image(sorted(Path(folder).rglob("*.jpg"))[0])
    assert model(model.preprocess([picture, picture])).shape == (2, 3)
    assert yaml.safe_load((tmp_path / "my-photos.yaml").read_text())["training"]["width"] == 8
    assert main(["export", "--model", "my-photos/coded-s0", "--classes", "猫", "--classes", "l'été $5",
                 "--out", str(tmp_path / "two")]) == 0  # fmt: skip
    cut = CodedResNeXt.from_pretrained(tmp_path / "two")
    assert cut.class_names == ("猫", "l'été $5")
    assert cut(cut.preprocess(picture)).shape == (1, 2)


def test_the_readmes_section_runs(tmp_path, monkeypatch, capsys):
    """Its commands as they stand there, but for a network that trains in seconds; each prints what is said of it."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    section = (paths.ROOT / "README.md").read_text(encoding="utf-8").split("## Your own images")[1].split("```")[1]
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("test", 6)):
        for name, sides in (("cat", 3), ("dog", 40)):
            place = tmp_path / "photos" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                drawn.shape(sides, 90, rng).save(place / f"{i}.jpg")
    drawn.shape(3, 100, rng).resize((640, 480)).save("holiday.jpg")
    commands = [line for line in section.splitlines() if line.startswith("python")]
    assert len(commands) == 6
    said = []
    for line in commands:
        arguments = shlex.split(line.removeprefix("python -m coded_resnext"))
        tiny = [part for option in TINY for part in ("-p", option)] if arguments[0] == "train" else []
        assert main([*arguments, *tiny]) == 0, line
        captured = capsys.readouterr()
        said.append(captured.out + captured.err)
    for text, expected in zip(
        said,
        (
            r"photos: 43 images to train on, 5 held out, 12 to test; 2 classes of 2\d to 2\d images; 64x64 colour; 10",
            r"\d+ targets from 5 held-out images: .*calibration\.json",
            r"holiday\.jpg: (cat|dog) [\d.]+ %, (cat|dog) [\d.]+ % \(codeword [\d.]+ away, (no )?early exit",
            r'{"file": "holiday\.jpg", "size": \[640, 480\], "classes": \[{"name": "',
            r"cat: [\d,]+ parameters, [\d.]+ % of the full network",
            r"holiday\.jpg: (not )?cat \(logit -?[\d.]+, threshold -?[\d.]+\)",
        ),
        strict=True,
    ):
        assert re.search(expected, text), text
