"""The tour's pictures and its beginning."""

import pytest
from PIL import Image

from coded_resnext import load_scheme, paths, predict
from coded_resnext.reproduction.figures.tour import nearest_codewords, way_of_an_image
from coded_resnext.reproduction.measure.tour import corrected_on_the_way, start

NAMES = [str(k) for k in range(10)]


def test_a_codeword_is_nearest_to_itself():
    scheme = load_scheme(10, 10, 3)
    table = nearest_codewords(scheme.words[7].astype(float), scheme, NAMES)
    assert table.iloc[0].to_dict() == {"class": "7", "codeword": "0100010001", "distance": 0.0}
    assert table["distance"].is_monotonic_increasing


def test_every_coded_block_has_a_panel():
    schemes = {"layer2.0": load_scheme(10, 10, 5), "layer3.0": load_scheme(10, 10, 3)}
    energies = {name: scheme.words[4].astype(float) for name, scheme in schemes.items()}
    figure = way_of_an_image(Image.new("L", (8, 8)), energies, schemes, NAMES, 4)
    image, *panels = figure.axes
    assert image.get_title() == "class 4"
    assert [axes.get_title() for axes in panels] == ["c3.1: 4", "c4.1: 4"]
    assert [len(axes.patches) for axes in panels] == [10, 10]


def test_it_starts_from_shipped_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    run, rule = start("digits")
    assert set(rule.thresholds) <= set(run.model.schemes)
    predictions = predict(run.model, run.test, run.batch_size, run.device)
    number = corrected_on_the_way(run, predictions)
    energies = predictions.energies
    first, *_, last = energies
    label = int(run.test.labels[number])
    says = [nearest_codewords(energies[name][number].numpy(), run.model.schemes[name], NAMES)["class"][0]
            for name in (first, last)]  # fmt: skip
    assert int(says[0]) != label == int(says[1])


def test_without_a_network_it_says_what_makes_one(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="make reproduce PRESET=digits"):
        start("digits")
