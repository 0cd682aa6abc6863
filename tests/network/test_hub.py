"""Networks in the layout of the Hugging Face Hub, on a local folder."""

import json

import pytest
import torch
from PIL import Image

from coded_resnext import CodedResNeXt, HubCodedResNeXt, extract_subnetwork
from coded_resnext.errors import CheckpointError


@pytest.mark.parametrize("name", ["cifar10-small", "cifar10-small-plain"])
def test_to_a_folder_and_back(name, tmp_path):
    model = CodedResNeXt.from_pretrained(name)
    HubCodedResNeXt.of(model).save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"config.json", "model.safetensors"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["data"]["classes"][3] == "cat"

    again = HubCodedResNeXt.from_pretrained(tmp_path)
    assert isinstance(again, CodedResNeXt)
    assert not again.training
    for what in ("class_names", "schemes", "preparation", "options"):
        assert getattr(again, what) == getattr(model, what)
    pixels = model.preprocess(Image.effect_noise((32, 32), 80).convert("RGB"))
    with torch.inference_mode():
        assert torch.equal(again(pixels), model(pixels))


def test_an_untrained_network_knows_no_images(tmp_path):
    model = CodedResNeXt([1, 1], 4, 4, 2, width=4)
    HubCodedResNeXt.of(model).save_pretrained(tmp_path)
    again = HubCodedResNeXt.from_pretrained(tmp_path)
    assert again.preparation is None
    assert again.options == model.options


def test_a_subnetwork_has_a_format_of_its_own():
    with pytest.raises(CheckpointError, match="this model is from another network"):
        HubCodedResNeXt.of(extract_subnetwork(CodedResNeXt.from_pretrained("cifar10-small"), [3]))
