"""A user's path: train, cut out, export, classify an image file; and all that can be wrong with what is given."""

import json
import re
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from coded_resnext import CodedResNeXt, load_images, load_subnetwork, paths
from coded_resnext.__main__ import main
from coded_resnext.data.prepare import Preparation, centre_crop, normalise, read_image, to_uint8
from coded_resnext.descriptions import SEAL
from coded_resnext.errors import CheckpointError, Refused
from coded_resnext.reproduction.measure.stages import evaluate, recorded_threshold
from coded_resnext.reproduction.records.presets import EvaluationParameters
from coded_resnext.subnetworks.classify import load_classifier
from coded_resnext.subnetworks.export import cut_out
from coded_resnext.subnetworks.manifest import read_manifest, save_subnetwork
from coded_resnext.subnetworks.onnx_file import (
    ENERGIES,
    METADATA,
    OPSET,
    OnnxNetwork,
    export_onnx,
    export_program,
    sealed,
)
from coded_resnext.training import run as trained
from coded_resnext.training.checkpoint import load_checkpoint, run_folder

missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (the extra [export])")
# Enough to know digits, in seconds.
TRAINED = {"name": "user", "layers": [1, 1, 1], "width": 8, "branch_width": 2, "epochs": 25, "warmup_epochs": 1}


@pytest.fixture(scope="module")
def run():
    """The folder of a run that was trained by the command line."""
    options = [f"{key}={json.dumps(value)}" for key, value in TRAINED.items() if key != "name"]
    arguments = ["train", "digits", TRAINED["name"], "--like", "coded-s0"]
    assert main([*arguments, *(part for option in options for part in ("-p", option))]) == 0
    return run_folder("digits", "user")


@pytest.fixture(scope="module")
def digits():
    return load_images("digits", "test")


@pytest.fixture(scope="module")
def onnx_file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "3-8.onnx"
    assert main(["export", "--checkpoint", str(run), "--classes", "3,8", "--onnx", str(path), "--energies"]) == 0
    return path


def save_digit(digits, digit, path):
    digits.image(int((digits.labels == digit).nonzero()[0])).save(path)
    return str(path)


@needs_onnx
def test_from_training_to_a_classified_png_by_an_onnx_file(onnx_file, digits, tmp_path, capsys):
    """The file alone: the run's folder is not asked."""
    images = [save_digit(digits, digit, tmp_path / f"{digit}.png") for digit in (3, 8)]
    assert main(["predict", *images, "--model", str(onnx_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1].split()[0] for line in lines] == ["3", "8"]
    assert all(line.endswith(" away)") for line in lines)


@pytest.mark.parametrize("kind", ["run", "subnetwork"])
def test_every_kind_of_model_classifies(kind, run, digits, tmp_path, capsys):
    if kind == "run":
        model, expected = run, "0 "
    else:
        model, expected = tmp_path / "zero", "0 (logit "
        assert main(["export", "--checkpoint", str(run), "--classes", "0", "--out", str(model)]) == 0
        assert "% of the full network" in capsys.readouterr().out
    assert main(["predict", save_digit(digits, 0, tmp_path / "0.png"), "--model", str(model)]) == 0
    assert f"0.png: {expected}" in capsys.readouterr().out


def test_the_threshold_is_the_records_or_found_in_the_same_way(run):
    """Without a record of these weights the training images are asked, and give what the record will have."""
    checkpoint = load_checkpoint(run)
    before = cut_out(checkpoint, ["4"])[1].threshold
    (record,) = [record for record in evaluate("binary", EvaluationParameters()) if record["name"] == "user"]
    after = cut_out(checkpoint, ["4"], recorded_threshold(run, ["4"]))[1].threshold
    assert recorded_threshold(run, ["4", "5"]) is None
    assert after == record["points"][4]["threshold"]
    assert before == pytest.approx(after, rel=1e-5)  # float32 logits of the cut and the masked network
    assert cut_out(checkpoint, ["4", "5"])[1].threshold is None


def test_without_the_training_images_there_is_no_threshold_and_it_is_said(run, digits, tmp_path, capsys, monkeypatch):
    def moved(*_, **__):
        raise Refused("data set '/photos' is no folder")

    monkeypatch.setattr(trained, "load_images", moved)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)  # another test may have made the record that has it
    assert main(["export", "--checkpoint", str(run), "--classes", "0", "--out", str(tmp_path / "zero")]) == 0
    assert "no threshold: the training images are gone, or others\n" in capsys.readouterr().out
    assert main(["predict", save_digit(digits, 0, tmp_path / "0.png"), "--model", str(tmp_path / "zero")]) == 0
    assert "0 with logit " in capsys.readouterr().out


def test_a_subnetwork_in_float64_classifies(run, digits, tmp_path):
    subnetwork, manifest = cut_out(load_checkpoint(run), ["3", "8"])
    image = digits.image(0)
    save_subnetwork(tmp_path / "single", subnetwork, manifest)
    save_subnetwork(tmp_path / "double", subnetwork.double(), manifest)
    single, double = (load_classifier(tmp_path / name).classify(image) for name in ("single", "double"))
    assert double.probabilities == pytest.approx(single.probabilities, abs=1e-5)


@needs_onnx
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_onnx_runtime_answers_as_pytorch_on_real_images(batch, onnx_file, run, digits):
    subnetwork, _ = cut_out(load_checkpoint(run), ["3", "8"])
    network = OnnxNetwork(onnx_file)
    data = network.manifest.data
    images = normalise(digits.take(0, batch), data["mean"], data["std"])
    with torch.inference_mode():
        expected, energies = subnetwork(images, return_energies=True)
    logits, found = network(images.numpy())
    assert np.abs(logits - expected.numpy()).max() <= 1e-4 * expected.abs().max().item()
    assert list(found) == list(energies)
    for name, value in energies.items():
        assert np.abs(found[name] - value.numpy()).max() <= 1e-4 * value.max().item()


@needs_onnx
def test_an_onnx_file_prepares_images_as_its_network(onnx_file, run):
    network, model = OnnxNetwork(onnx_file), CodedResNeXt.from_pretrained(run)
    assert network.class_names == ("3", "8")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    assert np.array_equal(network.preprocess([photo, photo]), model.preprocess([photo, photo]).numpy())
    with pytest.raises(ValueError, match="look like 0 … 255"):
        network(np.asarray(photo.resize((8, 8)).convert("L"), dtype=np.float32)[None, None])
    with pytest.raises(ValueError, match="is an ONNX file, which holds no PyTorch network"):
        CodedResNeXt.from_pretrained(onnx_file)


@needs_onnx
def test_the_file_says_what_made_it(onnx_file):
    import onnx

    proto = onnx.load(onnx_file)
    notes = {entry.key: entry.value for entry in proto.metadata_props}
    assert proto.producer_name == "coded-resnext"
    assert [entry.version for entry in proto.opset_import if entry.domain == ""] == [OPSET]
    assert notes["opset"] == str(OPSET)
    assert f"torch {torch.__version__}".split("+")[0] in notes["producers"]
    assert json.loads(notes[METADATA])["class_names"] == ["3", "8"]
    names = [output.name for output in proto.graph.output]
    assert names == ["logits", ENERGIES + "layer2.0", ENERGIES + "layer3.0"]
    onnx.checker.check_model(proto, full_check=True)


@needs_onnx
def test_a_fixed_batch_is_fixed(run, tmp_path):
    subnetwork, manifest = cut_out(load_checkpoint(run), ["7"])
    export_onnx(subnetwork, tmp_path / "7.onnx", manifest, 8, batch=2)
    network = OnnxNetwork(tmp_path / "7.onnx")
    assert network.session.get_inputs()[0].shape == [2, 1, 8, 8]
    images = np.random.default_rng(0).standard_normal((5, 1, 8, 8), np.float32)
    logits = network(images)[0]  # in pieces of two, the last one filled up
    expected = subnetwork(torch.from_numpy(images)).detach().numpy()
    assert np.allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    assert network.energies == []


def test_an_exported_program_is_the_subnetwork(run, tmp_path):
    """torch.export's own file, at other batch sizes than it was traced with."""
    subnetwork, _ = cut_out(load_checkpoint(run), ["3", "8"])
    torch.export.save(export_program(subnetwork, 8, energies=True), tmp_path / "3-8.pt2")
    program = torch.export.load(tmp_path / "3-8.pt2").module()
    for batch in (1, 5):
        images = torch.randn(batch, 1, 8, 8)
        logits, energies = subnetwork(images, return_energies=True)
        for found, expected in zip(program(images), [logits, *energies.values()], strict=True):
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)  # float32


@needs_onnx
def test_onnx_files_of_other_networks_are_refused(onnx_file, tmp_path):
    import onnx

    (tmp_path / "none.onnx").write_bytes(b"no protobuf")
    with pytest.raises(CheckpointError, match=r"none\.onnx is no ONNX file"):
        OnnxNetwork(tmp_path / "none.onnx")
    proto = onnx.load(onnx_file)
    notes = {entry.key: entry for entry in proto.metadata_props}
    manifest = json.loads(notes[METADATA].value)
    manifest["class_names"], manifest["classes"] = ["a"], [0]
    manifest["codewords"] = {name: rows[:1] for name, rows in manifest["codewords"].items()}
    del manifest[SEAL]
    notes[METADATA].value = json.dumps(manifest)
    onnx.save(proto, tmp_path / "changed.onnx")
    with pytest.raises(CheckpointError, match=r"changed\.onnx is damaged"):
        OnnxNetwork(tmp_path / "changed.onnx")
    del proto.metadata_props[-1]  # its seal
    onnx.save(proto, tmp_path / "unsealed.onnx")
    with pytest.raises(CheckpointError, match=r"carries no hash of its content.*Export it again"):
        OnnxNetwork(tmp_path / "unsealed.onnx")
    (tmp_path / "other.onnx").write_bytes(sealed(proto.SerializeToString()))
    with pytest.raises(CheckpointError, match=r"has logits of \[2\], its manifest says \[1\]"):
        OnnxNetwork(tmp_path / "other.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="ONNX file of another network: it carries no manifest"):
        OnnxNetwork(tmp_path / "foreign.onnx")


def test_bad_files_are_told_at_the_end_and_the_others_answered(run, digits, tmp_path, capsys):
    """A resize is said once; the exit status tells that not all went well."""
    folder = tmp_path / "to see"
    folder.mkdir()
    save_digit(digits, 3, folder / "a.png")
    for name, mode in (("b 'quoted'.png", "RGB"), ("ç.png", "L")):
        digits.image(int((digits.labels == 5).nonzero()[0])).convert(mode).resize((40, 30)).save(folder / name)
    (folder / "bad.png").write_bytes(b"text")
    (folder / ".hidden.png").write_bytes(b"text")
    assert main(["predict", str(folder), str(tmp_path / "none.png"), "--model", str(run)]) == 1
    said = capsys.readouterr()
    answered = [re.search(r"(\S+\.png): \d \d", line)[1] for line in said.out.splitlines()]
    assert [name.split("/")[-1] for name in answered] == ["a.png", "'quoted'.png", "ç.png"]
    note, bad, missing = said.err.splitlines()
    assert re.fullmatch(r"note: images are .* resized to 8x8, as .*quoted'\.png of 40x30", note)
    assert "bad.png is no image that Pillow can read" in bad
    assert "there is no image" in missing


def test_answers_as_json(run, digits, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"text")
    paths = [save_digit(digits, 3, tmp_path / "a.png"), str(tmp_path / "bad.png")]
    assert main(["predict", *paths, "--model", str(run), "--json"]) == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert good["answer"] == good["classes"][0]["name"] == "3"
    assert sum(row["probability"] for row in good["classes"]) == pytest.approx(1, abs=1e-5)  # float32
    assert good["distance"] > 0
    assert good["exit"] is None  # nothing was calibrated
    assert bad["file"] == paths[1]
    assert "no image" in bad["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "3", "--out", "x", "--checkpoint", "nowhere"], "unknown model 'nowhere'. Shipped: "),
        (["--classes", "33", "--out", "x"], "unknown class '33'; did you mean '3'"),
        (["--classes", ",", "--out", "x"], "name at least one class; there are 0, 1"),
        (["--classes", "3,3", "--out", "x"], "class '3' is named 2 times"),
        (["--classes", "3"], "where to"),
        (["--classes", "3", "--out", "x", "--energies"], "about an ONNX file"),
    ],
)
def test_bad_exports_are_refused(arguments, message, run, capsys):
    assert main(["export", "--checkpoint", str(run), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_models_that_are_none_are_refused(tmp_path, digits, capsys):
    image = save_digit(digits, 1, tmp_path / "1.png")
    for model, message in ((tmp_path, "is no model: expected"), (tmp_path / "x.onnx", "there is no file")):
        assert main(["predict", image, "--model", str(model)]) == 1
        assert message in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "2.png"), "--model", str(tmp_path)]) == 1


def test_images_on_disk_are_cut_as_in_evaluation(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    data = {"image_size": 16, "mean": (0.5,) * 3, "std": (0.25,) * 3, "crop": True}
    expected = normalise(to_uint8(centre_crop(Image.fromarray(noise), 16))[None], data["mean"], data["std"])
    assert torch.equal(Preparation.of(data)(read_image(tmp_path / "a.png")), expected)


def test_a_subnetwork_needs_no_run(run, tmp_path):
    assert main(["export", "--checkpoint", str(run), "--classes", "5", "--out", str(tmp_path / "five")]) == 0
    assert read_manifest(tmp_path / "five").parent == load_checkpoint(run).weights_hash
    assert load_subnetwork(tmp_path / "five")(torch.zeros(1, 1, 8, 8)).shape == (1, 1)
