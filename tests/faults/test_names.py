"""Names that climb out are refused; names of classes come out as they went in."""

import html
import json
import re
import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import point
from matplotlib.cbook import is_math_text

from coded_resnext import CodedResNeXt, extract_subnetwork, load_scheme, load_subnetwork, paths, save_subnetwork
from coded_resnext.__main__ import main
from coded_resnext.descriptions import read_json, to_json
from coded_resnext.errors import BadFile, CodedResNeXtError
from coded_resnext.files import write_atomically
from coded_resnext.network.weights import card_path, read_card
from coded_resnext.reproduction.figures import diagrams
from coded_resnext.reproduction.figures.paper import binary_classifiers, logit_histograms
from coded_resnext.reproduction.figures.style import shown_name
from coded_resnext.reproduction.figures.subnetworks import surgery
from coded_resnext.reproduction.figures.text import as_markdown, as_text
from coded_resnext.reproduction.notebooks.strict import read_notebook
from coded_resnext.reproduction.records.presets import EvaluationParameters, load_preset
from coded_resnext.subnetworks.classify import load_classifier
from coded_resnext.subnetworks.manifest import describe, read_manifest
from coded_resnext.training.checkpoint import Description, load_checkpoint, save_checkpoint
from coded_resnext.training.parameters import TrainingParameters

CLIMBING = (
    "..", "../out", "a/../../out", "/tmp/out", "a/b", "a\\b", "..\\out", "C:", "C:out", "C:\\out", "\\\\host\\out",
    "a\0b", "\0", "", ".", ".hidden", "~", "a\nb", "-o", "$(out)", "con|out",
)  # fmt: skip
STRANGE = (
    "<b>bold</b>", "<script>alert(1)</script>", "'single' \"double\"", "two\nlines", "tab\tbed", "$x^2$", "$", "a|b",
    "a\\|b", "*star*", "`code`", "[link](http://example.org)", "~~struck~~", "&lt;", "\x1b[31mred", "😀👩\u200d🚀",
    "שלום", "\u202eabc", "漢字", "back\\slash", "x" * 10_000, " ", "{0}", "%s", "nan",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path, monkeypatch):
    """Whatever is refused has made no file anywhere."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "out/data/runs")
    monkeypatch.chdir(tmp_path)
    yield
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("out", "in")] == []


@pytest.mark.parametrize("name", CLIMBING)
def test_names_that_climb_out_are_refused(name, tmp_path):
    for make in (
        lambda: TrainingParameters(preset=name),
        lambda: TrainingParameters(name=name),
        lambda: EvaluationParameters(preset=name),
        lambda: load_preset(name),
        lambda: read_notebook(name),
        lambda: paths.remember("data", name, tmp_path),
        lambda: paths.remember("preset", name, tmp_path),
    ):
        with pytest.raises(CodedResNeXtError):
            make()
    assert paths.recall("preset", name) is None


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("place", ["run", "notebook", "data"])
def test_a_preset_file_names_nothing_outside(place, name, tmp_path):
    content = {"training": {}, "runs": {"a-s0": {}}, "notebooks": []}
    if place == "run":
        content["runs"] = {name: {}}
    elif place == "notebook":
        content["notebooks"] = [name]
    else:
        (tmp_path / "in/images").mkdir(parents=True)
        content |= {"folder": "images", "training": {"data": name}}
    path = tmp_path / "in" / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    with pytest.raises(CodedResNeXtError):
        load_preset(str(path))


def test_what_files_say_of_files_stays_inside(tmp_path, monkeypatch):
    """checkpoint.json names its two files and no other; a card is of the weights beside it."""
    folder = tmp_path / "in"
    data = {"name": "digits", "classes": list("01"), "mean": [0.5], "std": [0.5], "image_size": 8}
    save_checkpoint(folder, {"w": torch.zeros(2)}, {}, Description({"epochs": 1}, {}, {}, data))
    content = read_json(folder / "checkpoint.json", "")
    content["files"]["../../etc/passwd"] = "0" * 64
    (folder / "checkpoint.json").write_text(to_json(content))
    with pytest.raises(BadFile, match=r"it names .*\.\./\.\./etc/passwd"):
        load_checkpoint(folder)
    name = "cifar10-small-coded-s0"
    card = read_json(card_path(name), "")
    monkeypatch.setattr(paths, "WEIGHTS", folder)
    card_path(name).write_text(to_json(card | {"name": "../../elsewhere"}))
    with pytest.raises(BadFile, match=r"is the card of '\.\./\.\./elsewhere'"):
        read_card(name)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    """What is written stays in its folder, whoever has laid a link there; and a name leads through none."""
    outside = tmp_path / "in/outside"
    outside.mkdir(parents=True)
    (outside / "file").write_text("before")
    folder = paths.RUNS / "digits"
    folder.mkdir(parents=True)
    (folder / "file").symlink_to(outside / "file")
    write_atomically(folder / "file", b"after")
    assert (outside / "file").read_text() == "before"
    assert not (folder / "file").is_symlink()
    (folder / "link").symlink_to(outside)
    for name in ("link/run", "link/../run"):
        with pytest.raises(CodedResNeXtError):
            TrainingParameters(name=name)


def test_the_command_line_makes_no_folder_outside(tmp_path, capsys):
    for name in ("../out", "/tmp/out", "a\nb"):
        assert main(["run", "04_accuracy", "-p", f"preset={json.dumps(name)}"]) == 1
        assert main(["train", "digits", name, "-p", "epochs=1"]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.fixture
def cut(tmp_path, randomise_batch_norm):
    """A subnetwork of the first classes, whose names are given, in its folder."""

    def make(names):
        torch.manual_seed(0)
        model = CodedResNeXt([1, 1], 10, 10, 1, width=4, in_channels=1, schemes={"layer2": load_scheme(10, 10, 3)})
        subnetwork = extract_subnetwork(randomise_batch_norm(model).eval(), range(len(names)))
        manifest = describe(
            subnetwork, model, class_names=names, parent="", threshold=None,
            data={"name": "d", "mean": (0.5,), "std": (0.25,), "image_size": 8, "crop": False},
        )  # fmt: skip
        save_subnetwork(tmp_path / "out/cut", subnetwork, manifest)
        return subnetwork, manifest, tmp_path / "out/cut"

    return make


@pytest.mark.parametrize("names", [STRANGE[:10], STRANGE[10:20], STRANGE[15:25]])
def test_classes_keep_their_names_in_files_and_answers(names, cut, tmp_path, capsys):
    from PIL import Image

    folder = cut(names)[2]
    assert read_manifest(folder).class_names == names
    assert load_subnetwork(folder).class_names == names
    picture = tmp_path / "out/a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(picture)
    assert main(["predict", str(picture), "--model", str(folder)]) == 0
    assert main(["predict", str(picture), "--model", str(folder), "--json"]) == 0
    words, answer = capsys.readouterr().out.splitlines()
    assert {row["name"] for row in json.loads(answer)["classes"]} == set(names)
    assert words.isprintable() or "\u200d" in words or "\u202e" in words


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="not installed: onnxscript (the extra [export])")
def test_classes_keep_their_names_in_an_onnx_file(cut, tmp_path):
    from coded_resnext.subnetworks.onnx_file import export_onnx

    names = STRANGE[:10]
    subnetwork, manifest, _ = cut(names)
    export_onnx(subnetwork, tmp_path / "out/a.onnx", manifest, 8)
    assert load_classifier(tmp_path / "out/a.onnx").class_names == names


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
@pytest.mark.parametrize("name", STRANGE)
def test_a_class_keeps_its_name_in_figures(name):
    """Drawn to the end as `shown_name` has it, without a letter that is missing, and no `$` makes a formula of it."""
    rows = pd.DataFrame([point(name), point("other")]).rename(columns={"name": "class"}).assign(kind="coded")
    histogram = {"class": name, "edges": [-1.0, 0.0, 1.0], "positives": [1, 5], "negatives": [50, 2]}
    shares = ("own", "own_after", "others", "others_without", "others_after")
    relearned = pd.DataFrame([{"class": k, **dict.fromkeys(shares, 90.0)} for k in (name, "other")])
    figures = [
        binary_classifiers(rows),
        logit_histograms([histogram], {name: 0.0}, 0),
        diagrams.codebook(load_scheme(10, 10, 3), [name, *"123456789"]),
        surgery(relearned),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Glyph")
        for figure in figures:
            figure.canvas.draw()
            texts = figure.findobj(match=lambda artist: hasattr(artist, "get_parse_math"))
            shown = [text for text in texts if text.get_text() == shown_name(name)]
            assert shown
            assert not any(is_math_text(text.get_text()) for text in shown)


def read_as_markdown(cell):
    """A cell of GitHub's tables: pipes first, then escapes, line breaks and entities; no markup may be left."""
    assert not re.search(r"(?<!\\)(\\\\)*\|", cell)
    cell = cell.replace("\\|", "|")
    pieces = re.split(r"\\([!-/:-@\[-`{-~])", cell)  # every other one was escaped
    for i in range(0, len(pieces), 2):
        pieces[i] = pieces[i].replace("<br>", "\n")
        assert not re.search(r"[$*`\[\]]|~.*~|<[A-Za-z/!?]", pieces[i])
        pieces[i] = html.unescape(pieces[i])
    return "".join(pieces)


@pytest.mark.parametrize("name", STRANGE)
def test_a_class_keeps_its_name_in_tables(name):
    frame = pd.DataFrame({"class": [name, "other"], "accuracy": [1.0, 2.0]})
    lines = as_markdown(frame).splitlines()
    assert len(lines) == 4
    assert len(as_text(frame).splitlines()) == 4
    cell = lines[2].removeprefix("| ").removesuffix(" | 1 |")
    assert read_as_markdown(cell) == name
    shown = frame.to_html()
    assert not re.search("<script>|<b>", shown)
