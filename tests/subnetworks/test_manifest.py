"""A subnetwork's folder: what it says is true, and what was changed is refused."""

import json
import shutil

import pytest
import torch

from coded_resnext import CodedResNeXt, extract_subnetwork, load_scheme, load_subnetwork, save_subnetwork
from coded_resnext.descriptions import SEAL
from coded_resnext.errors import CheckpointError
from coded_resnext.files import sha256
from coded_resnext.network.weights import WEIGHTS_FILE as WEIGHTS
from coded_resnext.subnetworks.manifest import MANIFEST, Manifest, class_indices, describe, read_manifest

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def network(seed, randomise_batch_norm):
    torch.manual_seed(seed)
    schemes = {"layer2": load_scheme(10, 10, 5), "layer3": load_scheme(10, 10, 3)}
    model = CodedResNeXt([1, 1, 2], 10, 10, 1, schemes=schemes, width=4)
    return randomise_batch_norm(model, seed).eval()


def saved(folder, full, classes):
    subnetwork = extract_subnetwork(full, classes)
    manifest = describe(
        subnetwork, full, class_names=[NAMES[k] for k in classes], parent="0" * 64,
        data={"name": "cifar10", "mean": (0.5,) * 3, "std": (0.25,) * 3, "image_size": 32, "crop": False},
        threshold=1.25 if len(classes) == 1 else None,
    )  # fmt: skip
    save_subnetwork(folder, subnetwork, manifest)
    return subnetwork, manifest


@pytest.fixture
def folder(tmp_path, randomise_batch_norm):
    saved(tmp_path / "cat", network(0, randomise_batch_norm), [3])
    return tmp_path / "cat"


def edit(folder, **changes):
    """As by hand: without the seal, which would refuse any change."""
    path = folder / MANIFEST
    content = json.loads(path.read_text()) | changes
    del content[SEAL]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("classes", [[3], [5, 3], list(range(10))])
def test_what_is_loaded_is_what_was_saved(classes, tmp_path, randomise_batch_norm):
    subnetwork, manifest = saved(tmp_path, network(0, randomise_batch_norm), classes)
    loaded = load_subnetwork(str(tmp_path))
    images = torch.randn(3, 3, 32, 32)
    assert not loaded.training
    assert torch.equal(loaded(images), subnetwork(images))
    assert loaded.schemes == subnetwork.schemes
    again = read_manifest(tmp_path)
    assert json.loads(again.to_json()) == json.loads(manifest.to_json())
    assert again.class_names == tuple(NAMES[k] for k in classes)


def test_the_manifest_tells_what_was_cut(folder, randomise_batch_norm):
    manifest = read_manifest(folder)
    full = network(0, randomise_batch_norm)
    assert manifest.codewords["layer3.1"] == [load_scheme(10, 10, 3).to_text().split()[3]]
    stored = sum(p.numel() for p in load_subnetwork(folder).parameters())
    assert manifest.parameters["total"] == stored
    expected = 100 * stored / sum(p.numel() for p in full.parameters())
    assert manifest.parameters["total_percent"] == pytest.approx(expected, abs=0.005)  # two decimals
    assert manifest.check["difference"] <= manifest.check["tolerance"] == 1e-10
    assert (folder / WEIGHTS).stat().st_size > 4 * stored


def test_no_subnetwork(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere is no subnetwork: there is no manifest\.json"):
        load_subnetwork(tmp_path / "nowhere")
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        load_subnetwork(folder)


def test_tampered_weights_are_refused(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not the file that manifest\.json names"):
        load_subnetwork(folder)


def test_weights_of_another_subnetwork_are_refused(folder, tmp_path, randomise_batch_norm):
    """Also when they have the same shapes: every single class has."""
    saved(tmp_path / "dog", network(0, randomise_batch_norm), [5])
    shutil.copy(tmp_path / "dog" / MANIFEST, folder)
    with pytest.raises(CheckpointError, match="another subnetwork's"):
        load_subnetwork(folder)


def test_a_manifest_that_does_not_match_its_weights_is_refused(folder):
    """The hash is right, but the network it describes has other shapes."""
    network = json.loads((folder / MANIFEST).read_text())["network"]
    edit(folder, network=network | {"branch_width": 2})
    with pytest.raises(CheckpointError, match=r"from another network: layer1\.0\.conv1\.weight is \(10, 4, 1, 1\)"):
        load_subnetwork(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ["cat", "dog"]}, r"at odds with itself: 1 classes, but 2 class_names"),
        ({"codewords": {"layer2.0": []}}, r"but 0 codewords of layer2\.0"),
        ({"codewords": {"layer2.0": ["0000000000"]}}, r"layer2\.0 has no codewords but 0000000000"),
        ({"codewords": {"layer2.0": ["10"]}}, r"codewords of layer2\.0 have 2 bits, the network has 10 branches"),
        ({"codewords": {"layer9.0": ["1000000000"]}}, r"unknown block 'layer9\.0'"),
        ({"network": {"layers": [1]}}, "has no 'num_classes'"),
        ({"network": {"layers": "1"}}, "layers is '1', no list"),
        ({"data": {}}, "has no 'image_size'"),
        ({"data": {"image_size": 8, "mean": [0.5], "std": [0.0]}}, "does not say how images are prepared"),
        ({"format": 2}, "has format 2, this version reads 1"),
    ],
)
def test_a_manifest_at_odds_with_itself_is_refused(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_subnetwork(folder)


def test_a_damaged_manifest_is_refused(folder):
    path = folder / MANIFEST
    text = path.read_text()
    path.write_text(text[:-20])
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        load_subnetwork(folder)
    path.write_text('{"format": 1, "weights": "%s"}' % sha256(folder / WEIGHTS))  # noqa: UP031 braces
    with pytest.raises(CheckpointError, match="has no 'classes'"):
        load_subnetwork(folder)


def test_a_seal_with_a_damaged_name_is_known_by_its_value(folder):
    path = folder / MANIFEST
    path.write_text(path.read_text().replace(f'"{SEAL}"', '"reel"'))
    with pytest.raises(CheckpointError, match="its seal is called 'reel'"):
        load_subnetwork(folder)


def test_other_keys_are_ignored():
    """A later version may say more."""
    fields = {"classes": [0], "class_names": ["a"], "codewords": {"layer2.0": ["10"]}}
    rest = {name: {} for name in ("network", "data", "parameters", "multiply_adds", "check")}
    text = json.dumps({"format": 1, "note": "more", "threshold": None, "parent": "", **fields, **rest})
    assert Manifest.from_json(text, "here").classes == (0,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cta"], "unknown class 'cta'; did you mean 'cat'"),
        ([], "at least one class; there are airplane, automobile"),
        (["cat", "dog", "cat"], "class 'cat' is named 2 times"),
    ],
)
def test_bad_class_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        class_indices(names, NAMES)
    assert class_indices(["dog", "cat"], NAMES) == [5, 3]
