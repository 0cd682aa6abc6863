"""A small network that answers some of its images, and a page of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from coded_resnext import TrainingParameters, fit, load_images
from coded_resnext.explorer.measure import Subject, describe, open_subject
from coded_resnext.explorer.pictures import read_set, with_strangers


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A run of the digits, trained for seconds: it is right often and wrong often."""
    folder = tmp_path_factory.mktemp("run") / "digits-run"
    parameters = TrainingParameters(layers=(1, 2, 2), width=8, branch_width=2, epochs=4, warmup_epochs=1)
    fit(parameters, folder=folder)
    return folder


@pytest.fixture(scope="session")
def subject(run_folder) -> Subject:
    return open_subject(str(run_folder))


@pytest.fixture(scope="session")
def pictures(subject):
    return with_strangers(read_set(subject.data, subject.checkpoint.description.parameters["seed"], 300), subject.data)


@pytest.fixture(scope="session")
def data(subject, pictures):
    return describe(subject, pictures)


@pytest.fixture
def digit_folder(tmp_path):
    """Digits as files, in folders of their classes; a foreign folder; one image whose class nobody says."""
    images = load_images("digits", "test")
    root = tmp_path / "mine"
    for i in range(60):
        folder = root / str(int(images.labels[i]))
        folder.mkdir(parents=True, exist_ok=True)
        images.image(i).save(folder / f"{i}.png")
    (root / "noise").mkdir()
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(grey).save(root / "noise" / "a.png")
    Image.fromarray(grey.T.copy()).save(root / "loose.png")
    return root


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)
