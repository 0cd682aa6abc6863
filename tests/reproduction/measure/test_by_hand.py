"""One image worked through by hand says what the library says, from the records in git and shipped weights."""

import numpy as np
import pandas as pd
import pytest
import torch

from coded_resnext import paths
from coded_resnext.early_exit.stopping import StoppingRule
from coded_resnext.reproduction.measure import by_hand
from coded_resnext.reproduction.measure.by_hand import (
    ALL_BLOCKS,
    CANDIDATES,
    bits,
    branches_left,
    decoded_together,
    evidence_of_block,
    example,
    margins,
    nearest_of,
)
from coded_resnext.reproduction.records.records import SHOWN_DROP

PRESETS = ("digits", "cifar10-small")  # whose records, weights and calibrations are in git


@pytest.fixture(autouse=True)
def only_committed(monkeypatch, committed_results):
    """Whatever other tests wrote is not there."""
    monkeypatch.setattr(paths, "RESULTS", committed_results)


@pytest.fixture(params=PRESETS)
def image(request):
    return example(request.param, "wrong early", "late", "easy")


def test_it_is_of_the_first_group_that_has_one():
    assert example("digits", "no such group", "easy").label is not None
    foreign = example("digits", "foreign")
    assert foreign.label is None
    assert foreign.name == "no class"
    assert foreign.picture.size == (by_hand.PIXELS, by_hand.PIXELS)


def test_there_is_none_without_a_record_a_group_or_weights(monkeypatch, tmp_path):
    assert example("cifar100", "easy") is None
    assert example("digits", "no such group") is None
    monkeypatch.setattr(by_hand, "calibration_in", lambda folder, model: None)
    assert example("digits", "easy") is None
    monkeypatch.setattr(by_hand, "trained_checkpoint", lambda preset, name: None)
    assert example("digits", "easy") is None


def test_it_leaves_where_the_rule_lets_it_go(image):
    table = margins(image)
    thresholds = image.calibration.thresholds("margin", "drop", SHOWN_DROP)
    rule = StoppingRule(image.schemes, "margin", thresholds, image.calibration)
    energies = {block: torch.from_numpy(spent)[None] for block, spent in image.energies.items()}
    left = int(rule.simulate(energies, torch.zeros(1, len(image.classes), dtype=torch.float64)).exits)
    assert next(iter(np.flatnonzero(table["leaves"])), len(table)) == left
    second = [image.nearest(block).iloc[1] - image.nearest(block).iloc[0] for block in image.schemes]
    np.testing.assert_allclose(table["margin"], second, rtol=1e-9)  # two ways to a root in float64


def test_evidence_is_the_sum_over_a_codewords_ones(image):
    says = bits(image, image.first).loc["speaks for a 1"].to_numpy()
    table = evidence_of_block(image, image.first)
    sums = [says[[bit == "1" for bit in word]].sum() for word in table["codeword"]]
    np.testing.assert_allclose(table["evidence"], sums, rtol=1e-9)
    assert table["distance"].is_monotonic_increasing


def test_blocks_together_end_where_their_sum_does(image):
    table = decoded_together(image)
    total = sum(evidence_of_block(image, block).set_index("class")["evidence"] for block in image.schemes)
    assert table["together"].iloc[-1] == total.idxmax()
    assert table["alone"].iloc[-1] == image.nearest(list(image.schemes)[-1]).index[0]
    assert (table[f"of {image.name}"] <= table["probability"]).all()


def test_all_blocks_are_one_long_codeword(image):
    table = nearest_of({"this": image, "nothing": None})
    assert list(table.index) == [*image.schemes, ALL_BLOCKS]
    words = np.hstack([scheme.words for scheme in image.schemes.values()])
    distances = np.linalg.norm(np.hstack(list(image.energies.values())) - words, axis=1)
    assert table.loc[ALL_BLOCKS, ("this", "distance")] == pytest.approx(distances.min())
    assert table.loc[ALL_BLOCKS, ("this", "nearest")] == image.classes[int(distances.argmin())]
    assert nearest_of({"nothing": None}).empty


def test_candidates_use_the_union_of_their_paths(image):
    table = branches_left(image)
    assert list(table["candidates"]) == [1, 2, CANDIDATES]
    last = list(image.schemes)[-1]
    assert table[last].iloc[0] == image.schemes[last].num_active
    assert table[list(image.schemes)[1:]].diff().dropna().ge(0).all(axis=None)


def test_two_classes_are_enough(image):
    """Of one's own images there may be no more."""
    first, second = image.nearest(image.first).index[:2]
    kept = [image.classes.index(name) for name in (first, second)]
    schemes = {block: type(scheme)(scheme.words[kept]) for block, scheme in image.schemes.items()}
    few = image._replace(classes=[first, second], label=0, schemes=schemes)
    assert list(branches_left(few)["candidates"]) == [1, 2]
    assert len(margins(few)) == len(decoded_together(few)) == len(schemes)
    assert isinstance(nearest_of({"this": few}), pd.DataFrame)
