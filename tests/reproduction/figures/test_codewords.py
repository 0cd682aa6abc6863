"""Codewords in records: those that are not built in are written, and figures find them again."""

import numpy as np
import pytest

from coded_resnext.codes.scheme import CodingScheme, load_scheme
from coded_resnext.errors import NothingToShow
from coded_resnext.reproduction.figures.codewords import schemes_of
from coded_resnext.reproduction.measure.codewords import not_built_in

BUILT_IN = {active: load_scheme(10, 10, active).to_text().split() for active in (5, 3)}


def record(**more):
    return {
        "name": "coded-s0", "stage": "early",
        "parameters": {"num_branches": 10, "active": {"layer2": 5, "layer3": 3}, "scheme": "permuted"}, **more,
    }  # fmt: skip


def test_built_in_words_are_not_repeated():
    assert not_built_in({"layer2.0": BUILT_IN[5], "layer3.0": BUILT_IN[3]}) == {}


def test_other_words_come_back():
    dealt = BUILT_IN[5][1:] + BUILT_IN[5][:1]
    kept = not_built_in({"layer2.0": dealt, "layer2.1": dealt, "layer3.0": BUILT_IN[3]})
    assert list(kept["codewords"]) == ["5"]
    with pytest.raises(NothingToShow, match="repeat stage early"):  # an order that nobody wrote down
        schemes_of(record(), ["layer2.0"], 10)
    schemes = schemes_of(record(**kept), ["layer2.0", "layer2.1"], 10)
    assert schemes["layer2.0"].to_text().split() == schemes["layer2.1"].to_text().split() == dealt


def test_words_of_sizes_that_no_file_has():
    words = CodingScheme(np.stack([np.roll(np.arange(7) < 3, place) for place in range(7)]))
    kept = not_built_in({"layer2.0": words.to_text().split()})
    has = {"num_branches": 7, "active": {"layer2": 3}, "scheme": ""}
    assert np.array_equal(schemes_of(record() | {"parameters": has} | kept, ["layer2"], 7)["layer2"].words, words.words)
